"""Reading: the timeline, one entry, status, digests. Imports nothing heavy; see `bide.projections.timeline`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bide.entries.kinds import KINDS, PERSON
from bide.entries.records import EntryRecord, Standing
from bide.errors import InputError, NotFound, NotPaired
from bide.ids import CODE_CHARS, EntryId, SpaceId, entry_code, normalize_code, parse_entry_id
from bide.projections.search import words
from bide.projections.timeline import View, show_entry
from bide.storage.base import EntryQuery, SpaceRecord, Storage

HERE, ON_RELAY, ON_THEIRS = "here", "on the relay", "on a device of theirs"
_REPLIES_BATCH = 500
_NAME_CHARS_MAX = 60
_CLOSED_STATES = ("settled", "withdrawn", "folded")


def peer_name_key(space: SpaceId) -> str:
    """Where the name that the other person gave while pairing is kept."""
    return f"peer_name.{space.hex()}"


class Reader:
    """Answers questions about a replica."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    # People and spaces

    def view(self) -> View:
        """Who is looking, and what everybody is called."""
        names: dict[tuple[SpaceId, int], str] = {}
        spaces = self._storage.spaces()
        own_name = self._storage.meta("name")
        for space in spaces:
            names[space.space_id, space.slot] = own_name
            # Until the other's own word arrives: what they called themselves while pairing.
            if offered := self._storage.meta(peer_name_key(space.space_id)):
                names[space.space_id, 1 - space.slot] = offered
            for record in self._storage.hidden_entries(space.space_id, PERSON.name):
                name = json.loads(record.body)["fields"].get("name", "")
                if name and record.slot != space.slot:
                    names[space.space_id, record.slot] = str(name)[:_NAME_CHARS_MAX]
        own_slots = {space.space_id: space.slot for space in spaces}
        return View(names, own_slots, frozenset(space.space_id for space in spaces if space.kind == "own"))

    def people(self) -> list[str]:
        """Names of the people I share a space with."""
        view = self.view()
        return [name for space in self._pairs() for name in view.others(space.space_id)]

    def own_space(self) -> SpaceRecord:
        """The space of my own devices."""
        return next(space for space in self._storage.spaces() if space.kind == "own")

    def pair_space(self, with_name: str = "") -> SpaceRecord:
        """The space shared with that person; with the one there is, if no name is given.

        Raises:
            NotPaired: there is none.
            NotFound: nobody is called that.
            InputError: there are several and no name was given.
        """
        pairs = self._pairs()
        if not pairs:
            raise NotPaired
        view = self.view()
        # Who paired again with the same person means the newer space; the older one stays readable.
        named = {view.others(space.space_id)[0].casefold(): space for space in pairs}
        if not with_name:
            if len(named) > 1:
                names = ", ".join(view.others(space.space_id)[0] for space in named.values())
                raise InputError("You share with more than one person.", hint=f"Say with whom: --with NAME ({names})")
            return pairs[-1]
        if found := named.get(with_name.strip().casefold()):
            return found
        raise NotFound("You don't share a space with anyone of that name.", hint="bide status shows with whom you do.")

    def _pairs(self) -> list[SpaceRecord]:
        return [space for space in self._storage.spaces() if space.kind == "pair" and not space.pending]

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
                known = ", ".join(k.name for k in KINDS.values() if k.shown)
                raise InputError(f"There is no kind of entry called {kind[:40]!r}.", hint=f"The kinds are: {known}")
        query = EntryQuery(
            space_id=self.pair_space(with_name).space_id if with_name else None,
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
            raise NotFound("Nobody here is called that.", hint="bide status shows who is.")
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
            raise InputError("More than one entry fits that.", hint=f"Give more of it: {codes}")
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
            for reply in self._storage.replies(batch):
                if reply.reply_to:  # by space too: nobody replies in a space that they are not in
                    replies.setdefault((reply.space_id, reply.reply_to), []).append(reply)
            places |= self._storage.places(batch)
        delivered = {space: self._delivery(space) for space in {record.space_id for record in records}}
        shown = []
        for record in records:
            entry = show_entry(record, replies.get((record.space_id, record.entry_id), ()), view)
            entry["delivery"] = delivered[record.space_id](record, places.get((record.space_id, record.entry_id), {}))
            shown.append(entry)
        return shown

    def _delivery(self, space_id: SpaceId) -> Any:
        """How far my own words in a space have come. Theirs, and private ones, are of no interest."""
        space = next(space for space in self._storage.spaces() if space.space_id == space_id)
        relay = self._storage.relay_heads(space_id)
        cited = self._storage.citations(space_id)
        mine = {member.log_id for member in self._storage.members(space_id) if member.slot == space.slot}

        def tell(record: EntryRecord, places: dict[Any, int]) -> str:
            if space.kind == "own" or record.slot != space.slot:
                return ""
            own = {log: seq for log, seq in places.items() if log in mine}
            if own and all(cited.get((log, 1 - space.slot), 0) >= seq for log, seq in own.items()):
                return ON_THEIRS
            return ON_RELAY if own and all(log in relay and relay[log].seq >= seq for log, seq in own.items()) else HERE

        return tell

    # The replica as a whole

    def status(self) -> dict[str, Any]:
        """Everything `bide status` tells; see there."""
        view = self.view()
        spaces = []
        for space in self._storage.spaces():
            counts = self._storage.standing_counts(space.space_id)
            members = self._storage.members(space.space_id)
            spaces.append(
                {
                    "id": space.space_id.hex(),
                    "kind": space.kind,
                    "with": view.others(space.space_id),
                    "state": "pending" if space.pending else "active",
                    "entries": self._storage.count_entries(space.space_id),
                    "devices": [{"by": view.by(space.space_id, m.slot), "this": m.log_id == space.log_id} for m in members],
                    "pending": self.pending(space),
                    "waiting": counts.get(Standing.WAITING, 0),
                    "newer": counts.get(Standing.NEWER, 0),
                    "ignored": counts.get(Standing.IGNORED, 0),
                    "quarantined": len(self._storage.quarantine(space.space_id)),
                    "relay": space.relay_url,
                }
            )
        return {"name": self._storage.meta("name"), "relay": self._storage.meta("relay_url"), "spaces": spaces}

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
