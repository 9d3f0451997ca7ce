"""Holding before sending: what was written waits in the outbox of this device, and can be taken back as if it never was.

A log is signed and append-only, so what is held is in no log: the outbox keeps *what is to be done* (a `Deed`), and letting it
go does it. Both happen in one transaction, so that two processes at once never send the same thing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.entries.fields import show_field
from bide.entries.hearing import Verdict
from bide.entries.kinds import ANSWER, HEARING, KINDS, RECEPTION, REPAIR
from bide.entries.records import EntryRecord
from bide.entries.repair import Phase, Step
from bide.errors import BideError, InputError, NotAllowed, NotFound, NotPaired, StorageError
from bide.ids import (
    CODE_CHARS,
    Clock,
    EntryId,
    Randomness,
    entry_code,
    format_entry_id,
    new_entry_id,
    normalize_code,
    parse_entry_id,
)
from bide.projections.timeline import rfc3339
from bide.storage.base import HeldRecord, SpaceRecord, Storage, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.writing import Writer, Written
    from bide.replica.views.reading import Reader

HELD_MAX = 1000
HOLD_MIN_MAX = 7 * 24 * 60
"""Minutes for which something can be held: a week."""
_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS
_WORDLESS = (Step.ACCEPT, Step.SETTLE, Step.LATER, Step.REST, Step.RETURN, Step.WITHDRAW)
_REPLIES = (HEARING.name, ANSWER.name, RECEPTION.name)
UNEXPECTED = "unexpected"
WITHDRAWN, RETRACTED = "withdrawn", "retracted"


class Do(StrEnum):
    """What a deed does."""

    WRITE = "write"
    INVITE = "invite"
    REPLY = "reply"
    STEP = "step"
    VERDICT = "verdict"
    """Say of a hearing whether it fits."""
    RELEASE = "release"


class Deed(NamedTuple):
    """Something to write, as the outbox keeps it: nothing but text."""

    do: Do
    kind: str
    """Of the entry that it makes or adds to."""
    values: Mapping[str, Any] = {}
    about: str = ""
    """The id of the entry it is about, whole or short."""
    step: str = ""
    """For `Do.STEP`: the name of the step."""
    known: Mapping[str, int] | None = None
    """For an agreement: what its writer knew, as `bide.replica.authoring.writing.Writer.repair_step` takes it."""

    @property
    def has_words(self) -> bool:
        """Whether it says anything that a person might want back."""
        if self.do is Do.STEP and Step[self.step.upper()] in _WORDLESS:
            return False
        if self.do is Do.VERDICT or self.step == "answer":
            return bool(self.values.get("verdict") == Verdict.NOT_QUITE)
        return True


class Held(NamedTuple):
    """What is held, as the person is told; the first fields are those of `bide.replica.authoring.writing.Written`."""

    id: str
    code: str
    kind: str
    visibility: str
    shared_with: list[str]
    due: str
    """When it is to go, RFC 3339 in UTC."""
    waits_for: str
    """The id of the entry that has to arrive first; empty: none."""


class _Tried(Exception):
    """A deed went well enough to be done later; everything it did is undone."""


class _At:
    """A clock that stands still."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms


class Holding:
    """The outbox of a replica, and everything that comes by way of it."""

    def __init__(
        self, storage: Storage, reader: Reader, writer: Callable[[], Writer], *, clock: Clock, randomness: Randomness
    ) -> None:
        """Prepare.

        Args:
            storage: of the replica.
            reader: of the replica.
            writer: gives the writer of the replica, which brings the heavy imports.
            clock: where time comes from.
            randomness: where random bytes come from.
        """
        self._storage = storage
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._randomness = randomness

    # Into it

    def put(self, deed: Deed, *, minutes: int = 0, space: SpaceRecord | None = None) -> Written | Held:
        """Do something now, or hold it.

        A reply to an entry that is not on this device is held until that one has arrived, if its whole id is given.

        Args:
            deed: what to do.
            minutes: how long to hold it; 0: not at all.
            space: where, for what begins an entry; else it is where the entry is that the deed is about.

        Raises:
            NotAllowed: it isn't possible now, or too much is held already.
            InputError, NotFound, NotPaired: as if it was written now. What could not be written is not held either.
        """
        if not 0 <= minutes <= HOLD_MIN_MAX:
            raise InputError("It can be held for {most} minutes at most.", most=HOLD_MIN_MAX)
        waits_for = self._missing(deed)
        if waits_for is None and not minutes:
            return self._do(deed, space, None)
        if waits_for is not None:
            space = self._space_of_reply()
            deed = deed._replace(values=self._checked_reply(deed), about=format_entry_id(waits_for))
        elif deed.about:
            about = self._reader.find(deed.about)
            if deed.do is Do.REPLY and deed.kind == HEARING.name and about.kind == REPAIR.name:
                deed = deed._replace(do=Do.STEP, kind=REPAIR.name, step="hear")
            if deed.do is Do.RELEASE:
                deed = deed._replace(kind=about.kind)
            else:
                space = find_space(self._storage, about.space_id)
            known = self._known(about) if deed.step == "agree" else None
            deed = deed._replace(about=format_entry_id(about.entry_id), known=known)
            self._require_first(deed)
        if space is None:
            raise NotPaired
        now = max(0, self._clock.now_ms())
        due = now + minutes * _MINUTE_MS
        # The other gets to see the id, and when something was written is nobody's business but the writer's. The minute at
        # which it is due would tell, since most people hold for as long as is usual.
        held_id = new_entry_id(_At(due - due % _DAY_MS), self._randomness, slot=space.slot)
        if waits_for is None:
            deed = self._tried(deed, space, held_id)
        text = json.dumps(deed._asdict(), ensure_ascii=False)
        record = HeldRecord(held_id, space.space_id, text, now, due, waits_for)
        with self._storage.transaction():
            if len(self._storage.outbox()) >= HELD_MAX:
                raise NotAllowed(
                    "{most} things wait in the outbox, and no more fit.",
                    hint="bide outbox shows them; bide send --all lets them go.",
                    most=HELD_MAX,
                )
            self._storage.put_held(record)
        return self._told(record)

    def _require_first(self, deed: Deed) -> None:
        """See to it that what can be done once to an entry is not held twice.

        Raises:
            NotAllowed: it is held already.
        """
        if deed.do is not Do.RELEASE and not (deed.do is Do.REPLY and deed.kind == ANSWER.name):
            return
        held = map(_deed, self._storage.outbox())
        if any((other.do, other.kind, other.about) == (deed.do, deed.kind, deed.about) for other in held):
            raise NotAllowed("That waits here already.", hint="bide outbox shows it.")

    def _missing(self, deed: Deed) -> EntryId | None:
        """The entry that a reply is to, if it is not on this device."""
        about = parse_entry_id(deed.about) if deed.do is Do.REPLY else None
        if about is None or self._storage.entries_with_id(about):
            return None
        # One's own question and one's own answer to it may both be held.
        if self._storage.held(about) is not None and deed.kind != ANSWER.name:
            raise NotAllowed("That one is yours, and still waits here.", hint="bide outbox shows it.")
        return about

    def _space_of_reply(self) -> SpaceRecord:
        """A space for a reply to what has not arrived. Only its slot counts: the reply goes where its entry turns out to be."""
        people = self._reader.people()
        if not people:
            raise NotPaired
        return people[-1].space

    def _checked_reply(self, deed: Deed) -> Mapping[str, Any]:
        if deed.kind not in _REPLIES:
            raise InputError("There is no kind of reply called {kind!r}.", kind=deed.kind[:40])
        return self._writer().cleaned(KINDS[deed.kind], deed.values)

    def _known(self, about: EntryRecord) -> dict[str, int]:
        places = self._storage.places([about.entry_id]).get((about.space_id, about.entry_id), {})
        return {log.hex(): seq for log, seq in places.items()}

    def _tried(self, deed: Deed, space: SpaceRecord, held_id: EntryId) -> Deed:
        """The deed with its words cleaned, after it was done and undone: what could never go is refused now, not in an hour."""
        if deed.do in (Do.WRITE, Do.REPLY) and deed.kind in KINDS:
            # Feelings too: the language they were given in may be another one when it goes.
            deed = deed._replace(values=self._writer().cleaned(KINDS[deed.kind], deed.values))
        try:
            with self._storage.transaction():
                self._do(deed, space, held_id)
                raise _Tried
        except _Tried:
            return deed

    # Out of it

    def send(self, held_id: EntryId) -> Written | None:
        """Let something go now.

        Returns:
            What was written; None: another process was quicker.

        Raises:
            BideError: it can't go, and stays where it is.
        """
        try:
            with self._storage.transaction():
                record = self._storage.held(held_id)
                if record is None:
                    return None
                self._storage.remove_held(held_id)
                space = find_space(self._storage, record.space_id)
                return self._do(_deed(record), space, held_id)
        except StorageError:
            raise  # that says nothing about what is held
        except BideError as error:
            self._hinder(held_id, error.code)
            raise
        except Exception:
            self._hinder(held_id, UNEXPECTED)
            raise

    def send_due(self) -> list[Written]:
        """Let go of everything whose time has come. What can't go stays, with a mark; it is tried again next time.

        Raises:
            StorageError: the database can't be written just now.
        """
        sent: list[Written] = []
        for record in self._storage.outbox():
            now = self._clock.now_ms()
            if record.held_ms > now + _MINUTE_MS:
                self._hold_anew(record, now)
            elif record.due_ms <= now and (record.waits_for is None or self._storage.entries_with_id(record.waits_for)):
                try:
                    written = self.send(record.held_id)
                except StorageError:
                    raise
                except Exception:  # noqa: S112 it was marked, and the others have nothing to do with it
                    continue
                if written is not None:
                    sent.append(written)
        return sent

    def take_back(self, held_id: EntryId) -> dict[str, Any] | None:
        """Take something back entirely.

        Returns:
            What it was, as `shown` has it, since the words are nowhere else; None: it is not there any more.
        """
        with self._storage.transaction():
            record = self._storage.held(held_id)
            if record is None:
                return None
            shown = self._shown(record)
            self._storage.remove_held(held_id)
            return shown

    def _hold_anew(self, record: HeldRecord, now: int) -> None:
        """Count from now: the clock was set back after it was held, and nobody knows how long it has been."""
        with self._storage.transaction():
            if self._storage.held(record.held_id) == record:
                due = now + record.due_ms - record.held_ms
                self._storage.put_held(record._replace(held_ms=now, due_ms=due))

    def _hinder(self, held_id: EntryId, code: str) -> None:
        with self._storage.transaction():
            record = self._storage.held(held_id)
            if record is not None:
                self._storage.put_held(record._replace(hindrance=self._reason(record) or code))

    def _reason(self, record: HeldRecord) -> str:
        """What has become of the entry that it is about, if that is why."""
        try:
            about = self._reader.find(_deed(record).about)
        except (BideError, ValueError, KeyError):
            return ""
        if about.state == Phase.WITHDRAWN:
            return WITHDRAWN
        return RETRACTED if json.loads(about.body).get("retracted") else ""

    def _do(self, deed: Deed, space: SpaceRecord | None, held_id: EntryId | None) -> Written:
        writer = self._writer()
        if deed.do in (Do.WRITE, Do.INVITE, Do.RELEASE) and space is None:
            raise NotPaired
        if deed.do is Do.WRITE and space is not None:
            return writer.write(deed.kind, deed.values, space=space, entry_id=held_id)
        if deed.do is Do.INVITE and space is not None:
            values = dict(deed.values)
            calm = values.pop("calm", True) is True
            return writer.invite_to_repair(values, calm=calm, space=space, entry_id=held_id)
        about = self._reader.find(deed.about)
        if deed.do is Do.RELEASE and space is not None:
            return writer.release(about, to=space, entry_id=held_id)
        if deed.do is Do.REPLY:
            slot = find_space(self._storage, about.space_id).slot
            return writer.reply(deed.kind, about, deed.values, entry_id=_in_slot(held_id, slot))
        if deed.do is Do.VERDICT:
            verdict, clarification = (str(deed.values.get(name, "")) for name in ("verdict", "clarification"))
            return writer.answer_hearing(about, verdict=verdict, clarification=clarification)
        return writer.repair_step(about, Step[deed.step.upper()], deed.values, known=deed.known)

    # Looking at it

    def find(self, text: str) -> list[HeldRecord]:
        """What is held under an id, a short code or the beginning of one; else all that is about the entry of that id.

        Raises:
            InputError: several things are held under what was given of the code.
        """
        records = self._storage.outbox()
        wanted = parse_entry_id(text)
        code = normalize_code(text) if wanted is None else None
        found = [r for r in records if r.held_id == wanted or (code and entry_code(r.held_id).startswith(code))]
        if len(found) > 1:
            codes = ", ".join(entry_code(record.held_id)[: CODE_CHARS + 2] for record in found)
            raise InputError("More than one entry fits that.", hint="Give more of it: {codes}", codes=codes)
        if found or not records:
            return found
        try:
            about = format_entry_id(self._reader.find(text).entry_id) if wanted is None else format_entry_id(wanted)
        except (NotFound, InputError):
            return []
        return [record for record in records if _deed(record).about == about]

    def shown(self) -> list[dict[str, Any]]:
        """Everything that is held, what goes first before the rest; see docs/cli-json.md for the shape."""
        return [self._shown(record) for record in self._storage.outbox()]

    def show(self, held_id: EntryId) -> dict[str, Any] | None:
        """One of the things held; None: it is not there."""
        record = self._storage.held(held_id)
        return self._shown(record) if record is not None else None

    def _told(self, record: HeldRecord) -> Held:
        shown = self._shown(record)
        return Held(shown["id"], shown["code"], shown["kind"], "shared", shown["shared_with"], shown["due"], shown["waits_for"])

    def _shown(self, record: HeldRecord) -> dict[str, Any]:
        deed = _deed(record)
        kind = KINDS[deed.kind]
        return {
            "id": format_entry_id(record.held_id),
            "code": f"{kind.prefix}-{entry_code(record.held_id)[:CODE_CHARS]}",
            "kind": kind.name,
            "step": deed.step or deed.do.value,
            "space": record.space_id.hex(),
            "about": deed.about,
            # Whom a reply goes to is known once the entry is here that it is to.
            "shared_with": [] if record.waits_for is not None else self._reader.view().others(record.space_id),
            "fields": self._fields(deed),
            "held": rfc3339(record.held_ms),
            "due": rfc3339(record.due_ms),
            "waits_for": format_entry_id(record.waits_for) if record.waits_for is not None else "",
            "hindrance": record.hindrance,
        }

    def _fields(self, deed: Deed) -> dict[str, Any]:
        values = deed.values
        if deed.do is Do.RELEASE:
            try:
                values = json.loads(self._reader.find(deed.about).body)["fields"]
            except BideError:
                return {}
        fields = {field.name: field for field in KINDS[deed.kind].fields}
        said = {name: value for name, value in values.items() if isinstance(value, str) and value and name != "verdict"}
        return {name: show_field(fields[name], value) if name in fields else value for name, value in said.items()}


def _deed(record: HeldRecord) -> Deed:
    stored: dict[str, Any] = json.loads(record.deed)
    return Deed(**{**stored, "do": Do(stored["do"])})


def _in_slot(held_id: EntryId | None, slot: int) -> EntryId | None:
    """An id with the author's slot in its last bit, which no short code that is shown reaches to."""
    return None if held_id is None else EntryId(held_id[:-1] + bytes([(held_id[-1] & 0xFE) | slot]))
