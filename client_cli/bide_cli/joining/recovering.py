"""Coming back by a recovery phrase: the network and the file of `bide.replica.joining.recovering`, inside the making of a home.

All of it happens before the home is put in place: who is killed in between has no home yet, and begins anew with the same
words.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bide.errors import BideError, InputError, NotFound, RelayUnreachable
from bide.ids import Clock, Randomness, SpaceId, SystemClock, SystemRandomness
from bide.replica.joining.recovering import (
    TakenOver,
    leave_out,
    move_in,
    not_found,
    open_anchor,
    open_others,
    read_anchor,
    take_over,
)
from bide.replica.own_devices.phrases import no_more
from bide.replica.spaces.addresses import host_of
from bide.replica.spaces.stance import LEFT, read_stances
from bide.replica.sync.bundles import HOST, read_bundle
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import find_space
from bide_cli.syncing.carrying import Carrier, Outcome
from bide_cli.syncing.progress import Progress
from bide_cli.syncing.transport import dialled
from bide_cli.terminal.zone import local_zone

if TYPE_CHECKING:
    from bide.crypto.recovery import RecoveryPhrase
    from bide.storage.base import SpaceRecord, Storage
    from bide_cli.terminal.shell import Shell

_REVOKED = "revoked"
_BUSY = ("rate_limited", "too_many_connections")
_PAUSES_S = (5, 25, 40)
"""A relay lets one address connect so often in a minute, and each space is a connection."""


class Recovery:
    """One recovery, from the words to a storage that a home can be made of."""

    def __init__(
        self,
        shell: Shell,
        phrase: RecoveryPhrase,
        *,
        device_name: str,
        relay_url: str,
        bundle: str,
        without_missing: bool,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> None:
        """Prepare.

        Args:
            shell: where progress is shown.
            phrase: the words.
            device_name: what the new device is called.
            relay_url: where everything is; empty: only in the file.
            bundle: a bundle file; empty: none.
            without_missing: go on without spaces that can't be had.
            clock: where time comes from.
            randomness: where random bytes come from.
        """
        self._shell = shell
        self._phrase = phrase
        self._device_name = device_name
        self._relay_url = relay_url
        self._bundle = bundle
        self._without_missing = without_missing
        self._clock = clock or SystemClock()
        self._randomness = randomness or SystemRandomness()
        self.left_out = 0
        """Spaces that could not be had, though they are somewhere."""
        self._unreached: set[SpaceId] = set()
        """Those whose relay is away."""
        self.taken: TakenOver | None = None

    def fill(self, storage: Storage) -> None:
        """Bring everything here, take over, and tell the relay.

        Raises:
            NotFound: what the words lead to is not there.
            NotAllowed: they count no more.
            VerificationFailed: what came is not genuine, or the words are of another journal.
            RelayUnreachable: the relay is away. Nothing was changed anywhere, unless it broke off at the very end.
        """
        asyncio.run(self.bring_back(storage))

    async def bring_back(self, storage: Storage) -> None:
        """`fill`, for who has an event loop."""
        await self._bring(storage, [open_anchor(storage, self._phrase, relay_url=self._relay_url)])
        if not read_anchor(storage):
            await self._bring(storage, storage.spaces())
            read_anchor(storage)
        await self._bring(storage, open_others(storage, self._phrase))
        self._settle_missing(storage)
        self.taken = take_over(
            storage,
            self._phrase,
            device_name=self._device_name,
            relay_url=self._relay_url,
            zone=local_zone(),
            clock=self._clock,
            randomness=self._randomness,
        )
        if self._relay_url:
            await self._sync(storage, [space for space in self.taken.former if space.relay_url])

    def fill_begun(self, storage: Storage) -> None:
        """`fill` for a home in which nothing was written yet, which stays as it is until all has come. Raises as `fill`."""
        from bide.storage.memory import MemoryStorage

        apart = MemoryStorage()
        self.fill(apart)
        move_in(apart, storage)
        storage.close()

    async def _bring(self, storage: Storage, spaces: list[SpaceRecord]) -> None:
        if self._bundle and spaces:
            self._read_file(storage, {space.space_id: space for space in spaces})
        if not self._relay_url:
            return
        # What the file had is open now, with the same keys.
        now = {space.space_id: space for space in storage.spaces()}
        await self._sync(storage, [now[space.space_id] for space in spaces], patient=bool(self._bundle))

    def _settle_missing(self, storage: Storage) -> None:
        left = {space for space, stance in read_stances(storage).items() if stance == LEFT}
        for space in not_found(storage):
            # Where a relay takes no private entries they are on none: that is told, and is no error. And of what was left
            # quietly nothing was sent any more, not even that these words open it.
            if space.space_id not in left and (space.kind == "pair" or space.space_id in self._unreached):
                self.left_out += 1
                if not self._without_missing:
                    raise NotFound(
                        "One of your journals can't be had: the relay that it is on doesn't hold it, or is away.",
                        hint="Try again later. To go on without it, for good: --without-missing",
                    )
            leave_out(storage, space.space_id)

    # From a file

    def _read_file(self, storage: Storage, spaces: dict[SpaceId, SpaceRecord]) -> None:
        def session_for(space: SpaceId, beside: Storage) -> SpaceSync | None:
            return self._session(beside, spaces[space], host=HOST) if space in spaces else None

        try:
            with self._open_file() as file:
                for taken in read_bundle(file.read, storage, session_for):
                    if taken is not None and taken.error is not None:
                        raise taken.error
        except OSError:
            raise InputError("The bundle file can't be read.", hint="Look at its name and whose it is.") from None

    def _open_file(self) -> BinaryIO:
        return Path(self._bundle).open("rb")

    def _session(self, storage: Storage, space: SpaceRecord, *, host: str) -> SpaceSync:
        return SpaceSync(storage, space, host=host, live=False, randomness=self._randomness)

    # From the relay, and to it

    async def _sync(self, storage: Storage, spaces: list[SpaceRecord], *, patient: bool = False) -> None:
        """Sync these as the paper. Of several, one that its relay does not have is left as it is."""
        left = spaces
        for pause in (*_PAUSES_S, 0):
            outcomes = [Outcome(space, []) for space in left]
            progress = Progress(self._shell)
            try:
                await self._sync_all(storage, outcomes, progress)
            finally:
                progress.end()
            left = [outcome.space for outcome in outcomes if _is_busy(outcome)]
            for outcome in outcomes:
                self._judge(storage, outcome, last=not pause, patient=patient)
            if not left:
                return
            await asyncio.sleep(pause)

    def _judge(self, storage: Storage, outcome: Outcome, *, last: bool, patient: bool) -> None:
        error = outcome.error
        if error is None or (_is_busy(outcome) and not last):
            return
        if outcome.sync is not None and outcome.sync.refusal == _REVOKED:
            raise no_more()
        pending = {space.space_id for space in storage.spaces() if space.pending}
        unreachable = isinstance(error, RelayUnreachable)
        if unreachable and outcome.space.space_id in pending and outcome.space.space_id != self._phrase.anchor:
            self._unreached.add(outcome.space.space_id)
            return  # it may be left out: see _settle_missing
        if unreachable and patient and outcome.space.space_id not in pending:
            return  # it came from the file
        raise error

    async def _sync_all(self, storage: Storage, outcomes: list[Outcome], progress: Progress) -> None:
        async def one(outcome: Outcome) -> None:
            for url in dict.fromkeys((outcome.space.relay_url, self._relay_url)):
                if not url:
                    continue
                try:
                    outcome.error = None
                    session = outcome.sync = self._session(storage, outcome.space, host=host_of(url))
                    async with dialled(url) as connection:
                        await Carrier(connection, session).run(lambda: progress.show(outcomes))
                except BideError as error:
                    outcome.error = error
                    continue
                if not session.refusal:
                    # A journal that has moved is where the others are.
                    with storage.transaction():
                        now = find_space(storage, outcome.space.space_id)
                        storage.put_space(now._replace(relay_url=url))
                    return

        await asyncio.gather(*(one(outcome) for outcome in outcomes))


def _is_busy(outcome: Outcome) -> bool:
    if not isinstance(outcome.error, RelayUnreachable):
        return False
    refusal = outcome.sync.refusal if outcome.sync is not None else ""
    return refusal in _BUSY or outcome.error.template == "The relay is busy just now."
