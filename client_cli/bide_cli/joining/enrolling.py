"""Adding a device at the terminal: the same talk as for two people, with what else there is to do on each side."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bide.errors import BideError, Phrase
from bide.ids import SpaceId
from bide.replica.joining.enrolling import AddingSession, DeviceAdded, DeviceAdmitted, NewDeviceSession, SpacesReady
from bide.replica.joining.pairing import Paired, WordsReady
from bide_cli.joining.pairing import PairingTalk
from bide_cli.language import _
from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from bide.replica import Replica
    from bide.replica.joining.pairing import PairingSession
    from bide_cli.syncing.carrying import Outcome

SYNC_TRIES = 5
SYNC_PAUSE_S = 1.0


class DeviceTalk(PairingTalk):
    """One adding, from dialling to the end."""

    def __init__(
        self,
        shell: Shell,
        session: AddingSession | NewDeviceSession,
        *,
        words_verified: bool,
        meanwhile: Callable[[], None],
        replica: Replica | None = None,
    ) -> None:
        """Prepare.

        Args:
            shell: where to talk.
            session: the exchange.
            words_verified: a script has compared, or will compare, the words.
            meanwhile: on the device that is here: brings it to the relay that the other was let in. On the new one: makes its
                home, before it names its keys.
            replica: of the device that is here.
        """
        adding = isinstance(session, AddingSession)
        super().__init__(shell, replica, session, initiator=adding, words_verified=words_verified)
        self._meanwhile = meanwhile

    def _again(self) -> Phrase:
        return Phrase("For a new code, on the device that has your journal: bide device add")

    def _handle(self, event: object, connection: ClientConnection) -> None:
        session: PairingSession = self._session
        match event:
            case SpacesReady():
                assert isinstance(session, NewDeviceSession)  # only such a one tells it
                self._meanwhile()
                session.enrol()
            case DeviceAdmitted():
                assert isinstance(session, AddingSession)  # only such a one tells it
                self._meanwhile()
                for further in session.finish():
                    self._handle(further, connection)
            case DeviceAdded(name):
                self._paired = Paired(SpaceId(b""), name)
            case WordsReady(name, words):
                # The person is at both screens, so the other one is the other device, whoever it calls itself.
                shown = name if self._initiator else _("the other device")
                super()._handle(WordsReady(shown, words), connection)
            case _:
                super()._handle(event, connection)

    def _show_code(self, code: str) -> None:
        if self._shell.as_json:
            self._shell.emit("device", code=code)
            return
        self._shell.out(_("On the new device:  bide device join"))
        self._shell.out(_("Then type there:  {code}").format(code=code))
        sys.stdout.flush()
        self._shell.say(_("It works once, for ten minutes. Waiting … (Ctrl-C to stop)"))


def sync_in(shell: Shell, replica: Replica) -> BideError | None:
    """Bring everything to a new device, with the progress shown; the other one may still be busy letting it in.

    Returns:
        What is wrong, if anything is.
    """
    from bide_cli.syncing.carrying import sync_once, worst_error
    from bide_cli.syncing.progress import Progress

    error: BideError | None = None
    for left in range(SYNC_TRIES - 1, -1, -1):
        progress = Progress(shell)
        outcomes: list[Outcome] = []
        try:
            outcomes = sync_once(replica, shell.home, on_frame=progress.show)
            error = worst_error(outcomes)
        except BideError as busy:
            error = busy
        finally:
            progress.end()
        if error is None and not any(space.pending for space in replica.spaces()):
            return None
        if left:
            time.sleep(SYNC_PAUSE_S)
    return error
