"""Reading: the timeline, one entry, status, digests. Imports nothing heavy; see `bide.projections.timeline`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bide.entries.kinds import ERASED, KINDS, PERSON
from bide.entries.records import EntryRecord, Standing
from bide.errors import InputError, NotAllowed, NotFound, NotPaired
from bide.ids import CODE_CHARS, EntryId, SpaceId, entry_code, normalize_code, parse_entry_id
from bide.projections.search import words
from bide.projections.timeline import View, show_entry
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.people import NAME_CHARS_MAX, Person, find_person, folded, listed, read_people
from bide.replica.spaces.removal import is_removed, require_let_in
from bide.replica.spaces.stance import ENDED
from bide.storage.base import EntryQuery, MemberRecord, SpaceRecord, Storage, find_own_space, find_space

HERE, ON_RELAY, ON_THEIRS = "here", "on the relay", "on a device of theirs"
ALL, LATER_PART = "all", "later part"
"""What of an entry was not sent."""
_REPLIES_BATCH = 500
_REPLIES_DEPTH = 2
_CLOSED_STATES = ("settled", "withdrawn", "folded")


class Reader:
    """Answers questions about a replica."""

    def __init__(self, storage: Storage, *, with_default: str = "") -> None:
        self._storage = storage
        self.with_default = with_default
        """Whom to write to where nobody is named and there are several."""

    # People and spaces

    def view(self) -> View:
        """Who is looking, and what everybody is called."""
        spaces = self._storage.spaces()
        own_name = self._storage.meta("name")
        names = {(space.space_id, space.slot): own_name for space in spaces}
        names |= {(person.space.space_id, 1 - person.space.slot): person.name for person in read_people(self._storage)}
        own_slots = {space.space_id: space.slot for space in spaces}
        return View(names, own_slots, frozenset(space.space_id for space in spaces if space.kind == "own"))

    def people(self) -> list[Person]:
        """The people I share a space with, in the order of pairing."""
        return [person for person in read_people(self._storage) if person.current]

    def former(self) -> list[Person]:
        """The people with whom I shared a space that has ended or that I left, in the order of pairing."""
        return [person for person in read_people(self._storage) if person.former]

    def person(self, with_name: str = "") -> Person:
        """The person of that name, or of a beginning of it that fits no other; else the default; else the only one.

        Raises:
            NotPaired: there is nobody, or what was shared with them is over.
            NotAllowed: there is nobody, and this device has not been let in yet, or was removed.
            NotFound: nobody is called that.
            InputError: several fit, or none was named and there are several.
        """
        people = self.people()
        former = self.former()
        if not people and not former:
            require_let_in(self._storage)  # what is shared comes along with the own space
            raise NotPaired
        if with_name.strip() and people:
            try:
                return find_person(people, with_name)
            except NotFound:
                former = [person for person in former if folded(person.name) == folded(with_name)]
                if not former:
                    raise
                people = []
        if not people:
            words = (
                "What you shared with {name} has ended."
                if former[-1].stance == ENDED
                else "You left what you shared with {name}."
            )
            raise NotPaired(words, hint="It stays readable here. To share again: bide pair", name=former[-1].name)
        if default := self.default_person():
            return default
        if not self.with_default:
            raise InputError(
                "You share with more than one person.",
                hint="Say with whom: --with NAME ({names}), or once and for all: bide people default NAME",
                names=listed(people),
            )
        # Not the likeliest one instead: what was meant for one person must not go to another.
        raise InputError(
            "Unasked you write to {name}, and nobody here is called that.",
            hint="Say with whom: --with NAME ({names}), or anew: bide people default NAME",
            name=self.with_default[:NAME_CHARS_MAX],
            names=listed(people),
        )

    def default_person(self) -> Person | None:
        """Whom to write to where nobody is named: the one that was chosen, or the only one."""
        people = self.people()
        if len(people) == 1:
            return people[0]
        wanted = folded(self.with_default)
        return next((person for person in people if folded(person.name) == wanted), None)

    def own_space(self) -> SpaceRecord:
        """The space of my own devices."""
        return find_own_space(self._storage)

    def pair_space(self, with_name: str = "") -> SpaceRecord:
        """The space shared with that person; see `person`."""
        return self.person(with_name).space

    def space_to_read(self, with_name: str) -> SpaceRecord:
        """The space shared with that person, be it over; one that goes on before one that doesn't. Raises as `person`."""
        former = self.former()
        try:
            return self.person(with_name).space
        except (NotAllowed, NotPaired, NotFound):
            if not former or (not with_name and len(former) > 1):
                raise
            if not with_name:
                return former[0].space
            fitting = [person for person in former if folded(person.name) == folded(with_name)]
            return fitting[-1].space if fitting else find_person(former, with_name).space

    # Entries

    def timeline(
        self,
        *,
        since: str = "",
        until: str = "",
        kinds: Sequence[str] = (),
        by: str = "",
        search: str = "",
        limit: int = 0,
        with_name: str = "",
    ) -> list[dict[str, Any]]:
        """Entries that fit, oldest first; see `bide.replica.Replica.timeline`."""
        for kind in kinds:
            if kind not in KINDS or not KINDS[kind].shown:
                raise _no_such_kind(kind)
        query = EntryQuery(
            space_id=self.space_to_read(with_name).space_id if with_name else None,
            kinds=tuple(kinds),
            since_day=since,
            until_day=until,
            authors=self._authors(by) if by else None,
            words=words(search),
            limit=limit,
        )
        return self._show(self._storage.entries(query))

    def _authors(self, by: str) -> tuple[tuple[SpaceId, int], ...]:
        view = self.view()
        wanted = by.strip().casefold()
        mine = wanted == "me" or wanted == self._storage.meta("name").casefold()
        found = [
            (space, slot)
            for (space, slot), name in view.names.items()
            if (mine and view.own_slots[space] == slot) or name.casefold() == wanted
        ]
        if not found:
            raise _nobody_called(wanted, view.names.values())
        return tuple(found)

    def show_record(self, record: EntryRecord) -> dict[str, Any]:
        """One entry with its replies."""
        return self._show([record])[0]

    def conversations(self) -> list[dict[str, Any]]:
        """Repair conversations that are not over, oldest first."""
        records = self._storage.entries(EntryQuery(kinds=("repair",)))
        return self._show([record for record in records if record.state not in _CLOSED_STATES])

    def find(self, text: str) -> EntryRecord:
        """The entry that a person means by an id, a short code or the beginning of one.

        Raises:
            NotFound: none.
            InputError: several.
        """
        entry = parse_entry_id(text)
        if entry is not None:
            found = self._storage.entries_with_id(entry)
        else:
            code = normalize_code(text)
            found = self._storage.find_entries(code) if code else []
        found = [record for record in found if record.kind != PERSON.name]
        if len(found) > 1:
            codes = ", ".join(entry_code(record.entry_id)[: CODE_CHARS + 2] for record in found)
            raise InputError("More than one entry fits that.", hint="Give more of it: {codes}", codes=codes)
        if not found:
            raise NotFound("There is no entry with that id here.")
        record = found[0]
        into = json.loads(record.body).get("into")
        main = self._storage.entry(record.space_id, EntryId(bytes.fromhex(into))) if into else None
        return main or record

    def _show(self, records: Sequence[EntryRecord]) -> list[dict[str, Any]]:
        view = self.view()
        ids = [record.entry_id for record in records]
        replies: dict[tuple[SpaceId, EntryId], list[EntryRecord]] = {}
        places: dict[tuple[SpaceId, EntryId], dict[Any, int]] = {}
        for at in range(0, len(ids), _REPLIES_BATCH):
            batch = ids[at : at + _REPLIES_BATCH]
            found = self._storage.replies(batch)
            # A reply can have been replied to: received with thanks. Deeper than that nobody can answer.
            for reply in (*found, *(self._storage.replies([reply.entry_id for reply in found]) if found else ())):
                if reply.reply_to:  # by space too: nobody replies in a space that they are not in
                    replies.setdefault((reply.space_id, reply.reply_to), []).append(reply)
            places |= self._storage.places(batch)

        def show(record: EntryRecord, depth: int = 0) -> dict[str, Any]:
            below = replies.get((record.space_id, record.entry_id), ()) if depth < _REPLIES_DEPTH else ()
            return show_entry(record, [show(reply, depth + 1) for reply in below], view)

        delivered = {space: self._delivery(space) for space in {record.space_id for record in records}}
        shown = []
        for record in records:
            entry = show(record)
            entry["delivery"] = delivered[record.space_id](record, places.get((record.space_id, record.entry_id), {}))
            shown.append(entry)
        return shown

    def _delivery(self, space_id: SpaceId) -> Any:
        """How far my own words in a space have come. Theirs, and private ones, are of no interest."""
        space = find_space(self._storage, space_id)
        relay = self._storage.relay_heads(space_id)
        cited = self._storage.citations(space_id)
        mine = {member.log_id for member in self._storage.members(space_id) if member.slot == space.slot}

        def tell(record: EntryRecord, places: dict[Any, int]) -> str:
            if space.kind == "own" or record.slot != space.slot or record.kind == ERASED.name:
                return ""
            own = {log: seq for log, seq in places.items() if log in mine}
            if own and all(cited.get((log, 1 - space.slot), 0) >= seq for log, seq in own.items()):
                return ON_THEIRS
            return ON_RELAY if own and all(log in relay and relay[log].seq >= seq for log, seq in own.items()) else HERE

        return tell

    def unsent(self, entry: dict[str, Any]) -> str:
        """What of an entry that is `HERE` nobody has yet: `ALL`, `LATER_PART` if an earlier text of it went out.

        Returns:
            Empty: what is missing on the relay is on another device as well.
        """
        record = self.find(entry["id"])
        space = find_space(self._storage, record.space_id)
        relay = self._storage.relay_heads(space.space_id)
        cited = self._storage.citations(space.space_id)
        mine = {member.log_id for member in self._storage.members(space.space_id) if member.slot == space.slot}
        went = False
        for event in self._storage.events(space.space_id, record.entry_id):
            log = event.log_id
            if log in mine and event.seq <= max(relay[log].seq if log in relay else 0, cited.get((log, 1 - space.slot), 0)):
                went = True
            elif log in mine and log != space.log_id:
                return ""
        return LATER_PART if went else ALL

    # The replica as a whole

    def status(self) -> dict[str, Any]:
        """Everything `bide status` tells; see there."""
        from bide.replica.spaces.relays import read_formers  # the timeline does without

        view = self.view()
        people = {person.space.space_id: person for person in read_people(self._storage)}
        spaces = []
        for space in self._storage.spaces():
            counts = self._storage.standing_counts(space.space_id)
            members = self.members_now(space.space_id)
            spaces.append(
                {
                    "id": space.space_id.hex(),
                    "kind": space.kind,
                    "with": view.others(space.space_id),
                    "relation": people[space.space_id].relation if space.space_id in people else "",
                    "state": self._state(space, people.get(space.space_id)),
                    "ended": self.ended(people.get(space.space_id)),
                    "entries": self._storage.count_entries(space.space_id),
                    "devices": [{"by": view.by(space.space_id, m.slot), "this": m.log_id == space.log_id} for m in members],
                    "pending": self.pending(space),
                    "waiting": counts.get(Standing.WAITING, 0),
                    "newer": counts.get(Standing.NEWER, 0),
                    "ignored": counts.get(Standing.IGNORED, 0),
                    "quarantined": len(self._storage.quarantine(space.space_id)),
                    "relay": space.relay_url,
                    "former_relays": [
                        {"relay": former.url, "state": former.state} for former in read_formers(self._storage, space.space_id)
                    ],
                }
            )
        return {"name": self._storage.meta("name"), "relay": self._storage.meta("relay_url"), "spaces": spaces}

    def _state(self, space: SpaceRecord, person: Person | None) -> str:
        if person is not None and person.former:
            return person.stance
        if space.pending:
            return "pending"
        if is_removed(self._storage, space):
            return "removed"
        return person.stance or "active" if person is not None else "active"

    def ended(self, person: Person | None) -> dict[str, Any] | None:
        """On which day a space was ended, and by whom; None: it was not."""
        if person is None or not person.over:
            return None
        view = self.view()
        space, over = person.space.space_id, person.over
        return {"day": over[0].day, "by": [view.by(space, slot) for slot in sorted({end.slot for end in over})]}

    def members_now(self, space: SpaceId) -> list[MemberRecord]:
        """The devices that belong to a space now, in the order in which they were added; not those that are on paper."""
        belonging = read_belonging(self._storage, space)
        gone = {*belonging.ended, *belonging.on_paper}
        return [member for member in self._storage.members(space) if member.log_id not in gone]

    def pending(self, space: SpaceRecord) -> int:
        """How many of this device's log entries the relay has not acknowledged."""
        head = self._storage.heads(space.space_id).get(space.log_id)
        relay = self._storage.relay_heads(space.space_id).get(space.log_id)
        return max(0, (head.seq if head else 0) - (relay.seq if relay else 0))

    def digest(self) -> list[dict[str, Any]]:
        """One digest per space over the log held and the timeline derived; see `bide.replica.Replica.digest`."""
        import hashlib  # brings OpenSSL along, which reading a timeline can do without

        view = self.view()
        digests = []
        for space in self._storage.spaces():
            hasher = hashlib.blake2b(digest_size=16, person=b"bide.digest")
            heads = sorted(self._storage.heads(space.space_id).values())
            for log, seq, digest in heads:
                hasher.update(log + seq.to_bytes(8, "big") + digest)
            for record in self._storage.all_entries(space.space_id):
                row = [value.hex() if isinstance(value, bytes) else value for value in record]
                hasher.update(json.dumps(row, ensure_ascii=True).encode())
            digests.append(
                {
                    "space": space.space_id.hex(),
                    "kind": space.kind,
                    "with": view.others(space.space_id),
                    "digest": hasher.hexdigest(),
                    "entries": self._storage.count_entries(space.space_id),
                    "envelopes": sum(head.seq for head in heads),
                }
            )
        return digests


def _no_such_kind(kind: str) -> InputError:
    from difflib import get_close_matches

    known = [each.name for each in KINDS.values() if each.shown]
    near = get_close_matches(kind[:40].casefold(), known, n=1)
    hint = "Did you mean {near}? The kinds are: {known}" if near else "The kinds are: {known}"
    return InputError(
        "There is no kind of entry called {kind!r}.",
        hint=hint,
        kind=kind[:40],
        near=near[0] if near else "",
        known=", ".join(known),
    )


def _nobody_called(wanted: str, names: Iterable[str]) -> NotFound:
    from difflib import get_close_matches

    known = {folded(name): name for name in names}
    near = get_close_matches(wanted[:NAME_CHARS_MAX], known, n=1)
    if near:
        return NotFound("Nobody here is called that.", hint="Did you mean {near}?", near=known[near[0]])
    return NotFound("Nobody here is called that.", hint="bide status shows who is.")
