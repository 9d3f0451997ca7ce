"""Pairing at the terminal: the code, the six words, what both are told. The protocol is in `bide.replica.joining.pairing`."""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from bide.errors import BideError, CodeMismatch, InputError, NotAllowed, Phrase, RelayUnreachable, VerificationFailed
from bide.ids import SpaceId
from bide.replica.joining.pairing import CodeReady, Paired, PairingEvent, PairingSession, WordsReady
from bide.replica.spaces.addresses import check_url
from bide_cli.language import N_, _, sentence
from bide_cli.syncing.transport import as_frame, dialled_blocking
from bide_cli.terminal.asking import ask
from bide_cli.terminal.shell import Shell, clean_line, write_talk

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from bide.replica import Replica

CODE_LASTS_S = 10 * 60
LAST_WORD_S = 10
"""How long to wait for the relay to end a pairing that is done."""
TRIES = 2
WHICH_WORD = (
    N_("Which word is the first one on {name}'s screen?"),
    N_("Which word is the second one on {name}'s screen?"),
    N_("Which word is the third one on {name}'s screen?"),
    N_("Which word is the fourth one on {name}'s screen?"),
    N_("Which word is the fifth one on {name}'s screen?"),
    N_("Which word is the sixth one on {name}'s screen?"),
)
_HIDDEN = "·····"
UNFINISHED = "The connection ended before the other device had let this one in."
UNFINISHED_HINT = (
    "If bide people shows you there, bide sync finishes it. If not, begin again: one runs bide pair, the other bide join."
)
POLL_S = 0.1
EXPIRED = "The code has expired after ten minutes. Nothing was shared."


class Result(NamedTuple):
    """A pairing that worked, or broke off so late that a sync may finish it."""

    name: str
    safety_words: tuple[str, ...]
    complete: bool
    known: frozenset[SpaceId]
    """The spaces that were here before."""


def require_way_to_compare(shell: Shell, *, words_verified: bool) -> None:
    """See to it, before a code is spent, that somebody can compare the words.

    Raises:
        InputError: nobody is there, and no script vouches for it.
    """
    if not words_verified and not shell.may_ask:
        raise InputError(
            "Somebody has to compare the safety words, and there is no terminal here.",
            hint="A script that compares them itself says --words-verified.",
        )


class PairingTalk:
    """One pairing, from dialling to the end."""

    def __init__(
        self, shell: Shell, replica: Replica | None, session: PairingSession, *, initiator: bool, words_verified: bool
    ) -> None:
        """Prepare.

        Args:
            shell: where to talk.
            replica: who pairs; None on a device that has no home yet.
            session: the pairing.
            initiator: made the code.
            words_verified: a script has compared, or will compare, the words.
        """
        self._shell = shell
        self._session = session
        self._initiator = initiator
        self._words_verified = words_verified
        self._known = frozenset(space.space_id for space in replica.spaces()) if replica is not None else frozenset()
        self._name = ""
        self._words: tuple[str, ...] = ()
        self._paired: Paired | None = None

    def run(self) -> Result:
        """Pair.

        Returns:
            How far it came: a connection that breaks after the space was saved here is no failure.

        Raises:
            CodeMismatch: the code was wrong.
            VerificationFailed: the words differ.
            NotAllowed: the code expired, or the other side broke off.
            RelayUnreachable: the connection can't be had or broke off too early.
        """
        check_url(self._session.relay_url)
        try:
            with dialled_blocking(self._session.relay_url) as connection:
                try:
                    self._talk(connection)
                except BideError:
                    self._flush(connection)
                    raise
                except KeyboardInterrupt:
                    self._session.refuse()
                    self._flush(connection)
                    raise
        except (RelayUnreachable, NotAllowed, CodeMismatch) as error:
            if isinstance(error, NotAllowed | CodeMismatch):
                again = self._again()
                error.advise(again.template, **again.values)
            elif not self._session.saved:
                error.advise("Nothing was shared. {again}", again=self._again())
            if not self._session.saved or isinstance(error, CodeMismatch):
                raise
        name = self._paired.name if self._paired is not None else self._name
        return Result(name, self._words, self._paired is not None, self._known)

    def _again(self) -> Phrase:
        """How to begin anew, for this side."""
        if self._initiator:
            return Phrase("For a new code: bide pair")
        if not self._name:
            return Phrase("Ask the other person to run: bide pair")
        return Phrase("Ask {name} to run: bide pair", {"name": clean_line(self._name)})

    def _talk(self, connection: ClientConnection) -> None:
        deadline = time.monotonic() + CODE_LASTS_S
        while True:
            self._flush(connection)
            if self._paired is not None and (self._initiator or self._session.closed):
                return
            if self._session.closed:
                raise NotAllowed("The pairing was broken off; nothing was shared.")
            message = self._receive(connection, deadline)
            if message is None:
                return
            for event in self._session.receive_data(message):
                self._flush(connection)
                self._handle(event, connection)
                if isinstance(event, Paired):
                    deadline = time.monotonic() + LAST_WORD_S

    def _receive(self, connection: ClientConnection, deadline: float) -> bytes | None:
        """The next frame; None if nothing comes any more and the pairing is done."""
        try:
            return as_frame(connection.recv(timeout=max(0.0, deadline - time.monotonic())))
        except TimeoutError:
            if self._paired is not None:
                return None
            self._session.refuse()
            raise NotAllowed(EXPIRED) from None
        except Exception as error:
            from websockets.exceptions import ConnectionClosed

            if isinstance(error, ConnectionClosed) and self._paired is not None:
                return None
            raise

    def _flush(self, connection: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        for message in self._session.data_to_send():
            try:
                connection.send(message)
            except ConnectionClosed:
                return  # the next receive tells it

    def _handle(self, event: object, connection: ClientConnection) -> None:
        match event:
            case CodeReady(code):
                self._show_code(code)
            case WordsReady(name, words):
                self._name, self._words = name, words
                early = self._compare(name, words, connection)
                for further in [*self._session.confirm_words(), *early]:
                    self._handle(further, connection)
            case Paired():
                self._paired = event

    def _show_code(self, code: str) -> None:
        if self._shell.as_json:
            self._shell.emit("pair", code=code)
            return
        import sys

        self._shell.out(_("Say to the other:  {code}").format(code=code))
        sys.stdout.flush()
        self._shell.say(_("They run bide join and type it: one use, ten minutes. Waiting … (Ctrl-C to stop)"))

    def _compare(self, name: str, words: tuple[str, ...], connection: ClientConnection) -> list[PairingEvent]:
        """Let the person prove that they looked at the other screen.

        Each side leaves out the word it asks for, and the two sides ask for different ones: it can't be copied from here.

        Returns:
            What the other side sent meanwhile.
        """
        if self._words_verified:
            return []
        early: list[PairingEvent] = []
        # The initiator asks for the first, third or fifth, the other for the second, fourth or sixth.
        position = 2 * secrets.randbelow(3) + (0 if self._initiator else 1)
        shown = " ".join(_HIDDEN if index == position else word for index, word in enumerate(words))
        name = clean_line(name)
        _print_talk(_("Both screens now show six words, each with one left out.\nHere:  {words}").format(words=shown))
        _print_talk(_("All the others must be the same on {name}'s screen. If not, press Ctrl-C.").format(name=name))
        for left in range(TRIES - 1, -1, -1):
            with _Listener(self._session, connection, early):
                typed = ask(self._shell, _(WHICH_WORD[position]).format(name=name)).strip().casefold()
            if typed == words[position]:
                _print_talk(_("Waiting for {name} …").format(name=name))
                return early
            if left:
                _print_talk("  " + _("That is not the word. Ask once more, letter by letter."))
        self._session.refuse()
        again = self._again()
        raise VerificationFailed(
            "The words differ, so somebody else may be in between. Nothing was shared.", hint=again.template, **again.values
        )


class _Listener:
    """Hears the other side while a person is asked: when it stops, the question is broken off.

    The session is this thread's alone while it runs. Interrupting the question takes a signal, as Ctrl-C does; where that is
    ignored, what happened is told once the person has answered.
    """

    def __init__(self, session: PairingSession, connection: ClientConnection, events: list[PairingEvent]) -> None:
        self._session = session
        self._connection = connection
        self._events = events
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        interrupted = False
        try:
            self._thread.join()
        except KeyboardInterrupt:
            interrupted = True
            self._thread.join()
        if self._error is not None:
            if kind is not None or interrupted:
                _print_talk("")  # the question's line
            raise self._error
        if interrupted:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        try:
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    self._events += self._session.receive_data(as_frame(self._connection.recv(timeout=POLL_S)))
        except Exception as error:  # whatever it is, it is raised where the person was asked
            self._error = error
            if not self._ended.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _print_talk(text: str) -> None:
    """Talk that is needed to go on, with ``--json`` too."""
    write_talk(text)


def finish(shell: Shell, replica: Replica, command: str, result: Result, relay_url: str) -> None:
    """After a pairing: keep the relay, sync once, and tell both what they can and can't see.

    Raises:
        RelayUnreachable: the other side has not admitted this device yet.
    """
    from bide_cli.syncing.carrying import sync_once, worst_error

    if not replica.relay():
        replica.set_relay(relay_url)
    try:
        error = worst_error(sync_once(replica, shell.home))
    except BideError as busy:
        error = busy
    person = next((person for person in replica.reader.people() if person.space.space_id not in result.known), None)
    paired = result.complete or person is not None
    # As they are called here: a second Robin is "Robin (2)".
    name = person.name if person is not None else result.name
    if shell.as_json:
        shell.emit(
            command,
            paired=paired,
            **{"with": name},
            safety_words=list(result.safety_words),
            synced=error is None,
        )
    if not paired:
        raise RelayUnreachable(UNFINISHED, hint=UNFINISHED_HINT)
    _tell_paired(shell, clean_line(name), error, complete=result.complete)
    _tell_several(shell, replica, clean_line(name), same_name=name != result.name)


def _tell_paired(shell: Shell, name: str, error: BideError | None, *, complete: bool) -> None:
    shell.tell(_("Paired. From here on you and {name} both see what either of you shares.").format(name=name))
    shell.tell(_("Nothing that was written earlier is shared."))
    shell.tell(_("{name} can't see when you read, or whether you are online.").format(name=name))
    shell.tell(_("Either of you can pause or leave at any time, without a reason: bide pause, bide leave"))
    if error is not None and not complete:
        shell.say(_("Almost done: bide sync finishes it."))
    elif isinstance(error, RelayUnreachable):
        shell.say(_("The relay can't be reached just now; syncing goes on by itself."))
    elif error is not None:
        shell.say(_("Syncing: {why}").format(why=sentence(error)[0]))
    shell.say(_("Next: bide thank, bide checkin. To exchange things as they happen: bide sync --watch"))


def _tell_several(shell: Shell, replica: Replica, name: str, *, same_name: bool) -> None:
    """What is different for whoever shares with several people."""
    if len(replica.reader.people()) < 2:
        return
    if same_name:
        shell.say(_("You share with somebody of that name already, so here this one is called {name}.").format(name=name))
    shell.say(_("To write to {name}: --with '{name}'. To do so unasked: bide people default '{name}'").format(name=name))
