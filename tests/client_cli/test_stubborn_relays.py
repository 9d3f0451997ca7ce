"""A relay that talks and brings nothing forward, spaces that can't be synced, and pairings that break off late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from bide.errors import BideError, ForkDetected, NotAllowed, RelayUnreachable, VerificationFailed
from bide.ids import SpaceId
from bide_cli import failures
from bide_cli.joining.pairing import UNFINISHED, PairingTalk, Result, finish
from bide_cli.syncing import watching
from bide_cli.syncing.carrying import Carrier
from bide_cli.syncing.watching import Watcher
from bide_cli.terminal.shell import Shell


class Talker:
    """A connection on which a frame comes every so often."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s

    async def recv(self) -> bytes:
        if self._every_s:
            await asyncio.sleep(self._every_s)
        return b"frame"

    async def send(self, message: bytes) -> None:
        pass


class Session:
    """A sync session that comes forward with its first few frames only."""

    live = closed = False

    def __init__(self, progress_max: int = 0, *, finished_at: int = -1) -> None:
        self.progress = 0
        self.frames = 0
        self._progress_max = progress_max
        self._finished_at = finished_at

    @property
    def finished(self) -> bool:
        return self.frames == self._finished_at

    def receive_data(self, message: bytes) -> None:
        self.frames += 1
        self.progress = min(self.frames, self._progress_max)

    def data_to_send(self) -> list[bytes]:
        return []


def carry(connection: Talker, session: Session, *, stall_max_s: float) -> float:
    begun = time.monotonic()
    asyncio.run(Carrier(cast(Any, connection), cast(Any, session)).run(lambda: None, stall_max_s=stall_max_s))
    return time.monotonic() - begun


@pytest.mark.parametrize("every_s", [0.0, 0.02, 60.0], ids=["at once", "now and then", "never"])
def test_a_relay_that_brings_nothing_forward_is_given_up(every_s: float) -> None:
    begun = time.monotonic()
    with pytest.raises(RelayUnreachable):
        carry(Talker(every_s), Session(), stall_max_s=0.3)
    assert time.monotonic() - begun < 5


def test_a_slow_relay_that_comes_forward_is_not_given_up() -> None:
    assert carry(Talker(0.2), Session(8, finished_at=8), stall_max_s=1.0) > 1.0


def test_coming_forward_wins_time_only_once() -> None:
    session = Session(3)
    with pytest.raises(RelayUnreachable):
        carry(Talker(0.05), session, stall_max_s=0.3)
    assert session.frames < 15


class Space:
    """A space as far as a watcher looks."""

    relay_url = "ws://127.0.0.1:1"
    kind = "pair"

    def __init__(self, number: int) -> None:
        self.space_id = SpaceId(bytes([number]) * 16)


class Nothing:
    """An outbox with nothing in it."""

    def send_due(self) -> list[Any]:
        return []


class Replica:
    """Two spaces."""

    storage = None
    holding = Nothing()

    def __init__(self) -> None:
        self.all = [Space(1), Space(2)]

    def spaces(self) -> list[Space]:
        return self.all

    def resting(self) -> set[SpaceId]:
        return set()


def watch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: Callable[[int], Exception],
    *,
    caught_up: bool = False,
) -> tuple[list[tuple[str, int, str]], dict[int, int], int]:
    """Watch two spaces, of which the first fails each time and the second stays connected."""
    told: list[tuple[str, int, str]] = []
    tries = {1: 0, 2: 0}
    watcher = Watcher(
        cast(Any, Replica()), tmp_path, lambda what, space, count, words: told.append((what, space.space_id[0], words))
    )

    async def connect(space: Any, state: Any) -> None:
        number = space.space_id[0]
        tries[number] += 1
        if number == 2:
            await asyncio.Event().wait()
        state.caught_up = caught_up
        raise errors(tries[1])

    async def run() -> int:
        running = asyncio.create_task(watcher.run())
        await asyncio.sleep(1.0)
        watched = len([task for task in watcher._tasks.values() if not task.done()])
        watcher._stop.set()
        await asyncio.wait_for(running, 5)
        return watched

    monkeypatch.setattr(watcher, "_heard_own", True)
    monkeypatch.setattr(watcher, "_connect", connect)
    monkeypatch.setattr(watcher, "pause_s", lambda tries: 0.02 * 2 ** min(tries, 10))
    return told, tries, asyncio.run(run())


@pytest.mark.parametrize("error", [ForkDetected("Two pasts."), NotAllowed("No room."), ZeroDivisionError("secret words")])
@pytest.mark.parametrize("caught_up", [False, True])
def test_a_space_that_fails_is_told_and_tried_ever_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, caught_up: bool
) -> None:
    told, tries, watched = watch(tmp_path, monkeypatch, lambda _: error, caught_up=caught_up)
    assert watched == 2
    assert tries[2] == 1
    assert 2 <= tries[1] <= 7
    words = error.message if isinstance(error, BideError) else failures.UNEXPECTED
    assert set(told) == {("lost", 1, words)}
    assert len(told) == (tries[1] if caught_up else 1)
    assert capfd.readouterr() == ("", "")


def test_a_new_reason_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, _, _ = watch(tmp_path, monkeypatch, lambda number: RelayUnreachable() if number == 1 else VerificationFailed("Odd."))
    assert [words for _, _, words in told] == [RelayUnreachable().message, "Odd."]


def test_a_wake_that_fails_is_of_one_space_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Session):
        live = True

        def wake(self) -> None:
            raise ZeroDivisionError

    @contextlib.asynccontextmanager
    async def dialled(url: str) -> AsyncIterator[Talker]:
        yield Talker(60)

    told: list[tuple[str, str]] = []
    replica = Replica()
    replica.sync_session = lambda *_, **__: Broken()  # type: ignore[attr-defined]
    watcher = Watcher(cast(Any, replica), tmp_path, lambda what, space, count, words: told.append((what, words)))
    monkeypatch.setattr(watcher, "_heard_own", True)
    monkeypatch.setattr(watching, "dialled", dialled)

    async def run() -> None:
        running = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.2)
        watcher._wake()
        await asyncio.sleep(0.2)
        watcher._stop.set()
        await asyncio.wait_for(running, 5)

    asyncio.run(run())
    assert told == [("lost", failures.UNEXPECTED)] * 2


def test_nobody_reading_ends_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(*_: Any) -> None:
        raise BrokenPipeError

    async def connect(space: Any, state: Any) -> None:
        raise RelayUnreachable

    watcher = Watcher(cast(Any, Replica()), tmp_path, tell)
    monkeypatch.setattr(watcher, "_heard_own", True)
    monkeypatch.setattr(watcher, "_connect", connect)
    with pytest.raises(BrokenPipeError):
        asyncio.run(asyncio.wait_for(watcher.run(), 5))


class Pairing:
    """A pairing session whose connection ends."""

    relay_url = "ws://127.0.0.1:1"
    closed = True

    def __init__(self, *, saved: bool) -> None:
        self.saved = saved

    def data_to_send(self) -> list[bytes]:
        return []


class PairSpace:
    """A space that a pairing made."""

    kind = "pair"
    space_id = SpaceId(bytes(16))
    relay_url = ""

    def __init__(self, *, pending: bool) -> None:
        self.pending = pending


class Robin:
    """Who was met."""

    name = "Robin\n"
    space = PairSpace(pending=False)


class Paired:
    """A replica with what a pairing made."""

    def __init__(self, *spaces: PairSpace) -> None:
        self._spaces = list(spaces)
        self.reader = self

    def spaces(self) -> list[PairSpace]:
        return self._spaces

    def people(self) -> list[Robin]:
        return [Robin() for space in self._spaces if not space.pending]

    def relay(self) -> str:
        return "ws://127.0.0.1:1"


def test_a_pairing_that_breaks_off_before_anything_was_saved_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def dialled(url: str) -> Any:
        yield None

    monkeypatch.setattr("bide_cli.joining.pairing.dialled_blocking", dialled)

    def run(*, saved: bool) -> Result:
        session = cast(Any, Pairing(saved=saved))
        return PairingTalk(Shell(Path()), cast(Any, Paired()), session, initiator=True, words_verified=True).run()

    with pytest.raises(NotAllowed):
        run(saved=False)
    assert not run(saved=True).complete


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("pending", [False, True])
def test_a_pairing_that_breaks_off_late_says_how_it_ends(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pending: bool, as_json: bool
) -> None:
    def sync_once(*_: Any) -> list[Any]:
        raise RelayUnreachable

    monkeypatch.setattr("bide_cli.syncing.carrying.sync_once", sync_once)
    result = Result("Robin\n", ("a",) * 6, complete=False, known=frozenset())
    replica = cast(Any, Paired(PairSpace(pending=pending)))
    shell = Shell(Path(), as_json=as_json)
    if pending:
        with pytest.raises(RelayUnreachable, match=UNFINISHED) as caught:
            finish(shell, replica, "pair", result, "ws://127.0.0.1:1")
        assert failures.exit_code(caught.value) == 5
        assert "bide sync finishes it" in caught.value.hint
    else:
        finish(shell, replica, "pair", result, "ws://127.0.0.1:1")
    out, err = capfd.readouterr()
    if as_json:
        assert f'"paired": {"false" if pending else "true"}' in out
    elif not pending:
        assert out.startswith("Paired. From here on you and Robin  both see")
        assert "Almost done: bide sync finishes it." in err
