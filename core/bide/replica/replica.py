"""`Replica`: the one facade of the library. Commands in, read models out, sync sessions handed out.

Reading imports neither the cryptography nor Automerge; what writes or syncs imports them when it is first called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bide.entries.kinds import KINDS
from bide.entries.repair import Step
from bide.errors import InputError, NotAllowed, NotFound, StorageError
from bide.ids import Clock, EntryId, Randomness, SpaceId, SystemClock, SystemRandomness
from bide.projections import DERIVATION
from bide.replica.spaces.people import NAME_CHARS_MAX
from bide.replica.spaces.stance import LEFT, read_stances
from bide.replica.views.reading import Reader
from bide.storage.base import SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.replica.authoring.appending import Moment
    from bide.replica.authoring.holding import Holding
    from bide.replica.authoring.writing import Writer, Written
    from bide.replica.derivation.rebuilding import Progress
    from bide.replica.examining.doctor import Finding
    from bide.replica.sync.syncing import SpaceSync

DAY_STARTS_MIN_DEFAULT = 4 * 60


class Replica:
    """One device's copy of everything it shares and keeps. Belongs to one thread."""

    def __init__(
        self,
        storage: Storage,
        *,
        zone: str = "UTC",
        day_starts_min: int = DAY_STARTS_MIN_DEFAULT,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        language: str = "en",
        with_: str = "",
    ) -> None:
        """Open what `Replica.create` made.

        Args:
            storage: an open storage.
            zone: IANA name of the time zone of whoever writes here.
            day_starts_min: minutes after midnight at which a person's day begins.
            clock: where time comes from.
            randomness: where random bytes come from.
            language: tag of the language in which feelings are given.
            with_: whom to write to where nobody is named and there are several.

        Raises:
            StorageError: nothing was made there yet.
        """
        self.storage = storage
        self.language = language
        self.zone = zone
        self.day_starts_min = day_starts_min
        self.clock = clock or SystemClock()
        self.randomness = randomness or SystemRandomness()
        self.reader = Reader(storage, with_default=with_)
        self.name = storage.meta("name")
        if not self.name:
            raise StorageError("This home was not finished.", hint="Run: bide init")
        if storage.meta("derivation") != DERIVATION:
            self.rebuild()

    @classmethod
    def create(
        cls,
        storage: Storage,
        *,
        name: str,
        zone: str = "UTC",
        day_starts_min: int = DAY_STARTS_MIN_DEFAULT,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Replica:
        """Make a new replica for a person: the space of their own devices, with this one in it.

        Raises:
            InputError: the name is empty, too long, or can't be shown.
            StorageError: there is a replica already.
        """
        from bide.entries.fields import clean_text
        from bide.replica.authoring.founding import found_space
        from bide.replica.derivation.deriving import stored
        from bide.replica.derivation.rebuilding import rebuild_members

        cleaned = clean_text(name, what="name", chars_max=NAME_CHARS_MAX, one_line=True)
        if not cleaned:
            raise InputError("The name is empty.", hint="What should the other person see?")
        randomness = randomness or SystemRandomness()
        founded = found_space("own", relay_url="", randomness=randomness)
        space = founded.space
        with storage.transaction():
            # Inside, so that of two at once only one makes it.
            if storage.spaces():
                raise StorageError("There is a journal here already.", hint="Nothing was changed.")
            storage.put_meta("name", cleaned)
            storage.put_meta("derivation", DERIVATION)
            storage.put_space(space)
            storage.put_epoch(space.space_id, space.epoch_id, founded.epoch_secret)
            storage.append(space.space_id, stored(founded.genesis))
            rebuild_members(storage, space.space_id)
            replica = cls(storage, zone=zone, day_starts_min=day_starts_min, clock=clock, randomness=randomness)
            replica.writer.name_person(cleaned, space=space)
        return replica

    @cached_property
    def writer(self) -> Writer:
        """What writes events; made when first needed, since it brings the heavy imports."""
        from bide.replica.authoring.writing import Writer

        return Writer(
            self.storage,
            self.reader,
            clock=self.clock,
            randomness=self.randomness,
            zone=self.zone,
            day_starts_min=self.day_starts_min,
            language=self.language,
        )

    @cached_property
    def holding(self) -> Holding:
        """What is held on this device before it is sent, and the way into it and out of it."""
        from bide.replica.authoring.holding import Holding

        return Holding(self.storage, self.reader, lambda: self.writer, clock=self.clock, randomness=self.randomness)

    # Reading

    def timeline(
        self,
        *,
        since: str = "",
        until: str = "",
        kinds: Sequence[str] = (),
        by: str = "",
        search: str = "",
        limit: int = 0,
        with_: str = "",
    ) -> list[dict[str, Any]]:
        """Entries, oldest first, as plain dictionaries; see docs/cli-json.md for their shape.

        Args:
            since: first local day, ``YYYY-MM-DD``; empty for all.
            until: last local day.
            kinds: only these kinds.
            by: only by this person: a name, or ``me``.
            search: only entries that contain all of these words.
            limit: the newest so many; 0 for all.
            with_: only what is shared with this person.

        Raises:
            InputError: an unknown kind.
            NotFound: nobody of that name.
        """
        return self.reader.timeline(since=since, until=until, kinds=kinds, by=by, search=search, limit=limit, with_name=with_)

    def show(self, id_text: str) -> dict[str, Any]:
        """One entry, by id, short code or the beginning of one.

        Raises:
            NotFound: there is none.
            InputError: several fit.
        """
        return self.reader.show_record(self.reader.find(id_text))

    def conversations(self) -> list[dict[str, Any]]:
        """Repair conversations that are not over, oldest first."""
        return self.reader.conversations()

    def review(self, *, weeks: int = 12, shared_only: bool = False, with_: str = "", language: str = "en") -> dict[str, Any]:
        """A look back: my own words and feelings, and what we had together; see docs/cli-json.md for its shape.

        Args:
            weeks: calendar weeks up to and with this one.
            shared_only: leave out what only I can see.
            with_: only what is shared with this person.
            language: what feelings are worded in.

        Raises:
            InputError: no weeks, or too many.
            NotFound: nobody of that name.
        """
        from bide.replica.views.reviewing import look_back

        return look_back(
            self.storage,
            self.reader.view(),
            today=self.today(),
            weeks=weeks,
            space=self.reader.pair_space(with_) if with_ else None,
            shared_only=shared_only,
            language=language,
        )

    def people(self) -> list[str]:
        """Names of the people I share a space with, each once: a second Robin is ``Robin (2)``."""
        return [person.name for person in self.reader.people()]

    def relation(self, with_: str = "") -> str:
        """What somebody is to me, by my own word or else theirs: ``partner``, ``friend`` or ``family``. Raises as `write`."""
        return self.reader.person(with_).relation

    def spaces(self) -> list[SpaceRecord]:
        """All spaces, the own one first."""
        return self.storage.spaces()

    def status(self) -> dict[str, Any]:
        """Name, relay, and for every space its people, devices and counts."""
        return self.reader.status()

    def digest(self) -> list[dict[str, Any]]:
        """One digest per space, equal on two replicas if and only if they hold the same log and derived the same timeline."""
        return self.reader.digest()

    # Writing

    def write(
        self,
        kind: str,
        values: Mapping[str, Any],
        *,
        private: bool = False,
        with_: str = "",
        entry_id: EntryId | None = None,
        at: Moment | None = None,
    ) -> Written:
        """Write an entry of a kind that stands by itself; a repair has `invite_to_repair`. Durable on return.

        Args:
            kind: such as ``checkin``; see `bide.entries.kinds`.
            values: field name to text or list of lines.
            private: keep it on my own devices.
            with_: the person to share it with; needed only when there are several.
            entry_id: the id that it is to have, for what must not be written twice; its last bit is the writer's slot.
            at: when it was written, if not now.

        Raises:
            InputError: a field is unknown, missing, too long or can't be shown, or a feeling is unknown.
            NotPaired: it is to be shared and there is nobody yet.
            NotAllowed: an entry with that id is here.
        """
        return self.writer.write(kind, values, space=self._space_for(private=private, with_=with_), entry_id=entry_id, at=at)

    def reply(self, kind: str, id_text: str, values: Mapping[str, Any], *, entry_id: EntryId | None = None) -> Written:
        """Reply to an entry.

        Args:
            kind: ``hearing``, ``answer`` (to a question) or ``reception``.
            id_text: what is replied to.
            values: the fields of that kind.
            entry_id: as for `write`.

        Raises:
            NotAllowed: it can't be replied to in this way.
            NotFound, InputError: as for `show` and `write`.
        """
        return self.writer.reply(kind, self.reader.find(id_text), values, entry_id=entry_id)

    def require_reply(self, kind: str, id_text: str) -> None:
        """See to it, before anybody is asked for words, that `reply` would take them. Raises as `reply` does."""
        self.writer.require_reply(KINDS[kind], self.reader.find(id_text))

    def postpone(self, id_text: str, *, back: bool = False) -> Written:
        """Say "not now" to what the other wrote, without a reason; or come back to it. Raises as `reply` does."""
        return self.writer.postpone(self.reader.find(id_text), back=back)

    def retract(self, id_text: str) -> Written:
        """Take back an own entry. The other sees that it was taken back; what reached them may have been read."""
        return self.writer.retract(self.reader.find(id_text))

    def release(self, id_text: str, *, with_: str = "", entry_id: EntryId | None = None) -> Written:
        """Share a private entry: its words go to the pair as a new entry, which says on which day they were written.

        Raises:
            NotAllowed: it is shared already, or was taken back.
            NotPaired, NotFound: as for `write` and `show`.
        """
        return self.writer.release(self.reader.find(id_text), to=self.reader.pair_space(with_), entry_id=entry_id)

    def invite_to_repair(
        self, values: Mapping[str, Any], *, calm: bool = True, with_: str = "", entry_id: EntryId | None = None
    ) -> Written:
        """Begin a repair conversation on ``topic``, calm enough for it. Raises as `write` does."""
        return self.writer.invite_to_repair(values, calm=calm, space=self.reader.pair_space(with_), entry_id=entry_id)

    def repair_step(self, id_text: str, step: str, values: Mapping[str, Any] | None = None) -> Written:
        """Take a step in a conversation.

        Args:
            id_text: the conversation.
            step: accept, tell, hear, answer, reconnect, agree, settle, later, rest, return or withdraw.
            values: the fields of that step; see `bide.entries.repair`.

        Raises:
            NotAllowed: the conversation doesn't allow it now.
            NotFound, InputError: as for `show` and `write`.
        """
        try:
            known = Step[step.upper()]
        except KeyError:
            raise InputError("There is no step called {step!r}.", step=step[:40]) from None
        return self.writer.repair_step(self.reader.find(id_text), known, values or {})

    def hear(self, id_text: str, values: Mapping[str, Any]) -> Written:
        """Reply to what the other wrote by saying it back: ``mirrored``, ``validated``, ``empathised``."""
        return self.reply("hearing", id_text, values)

    def answer_hearing(self, id_text: str, *, verdict: str = "heard", clarification: str = "") -> Written:
        """Say of a hearing that it fits (``heard``) or does ``not_quite``, with a clarification."""
        return self.writer.answer_hearing(self.reader.find(id_text), verdict=verdict, clarification=clarification)

    def edit(self, id_text: str, values: Mapping[str, Any]) -> Written:
        """Change fields of an own entry. It stays marked as edited, and the earlier text stays readable."""
        return self.writer.edit(self.reader.find(id_text), values)

    def set_relation(self, with_: str, relation: str) -> None:
        """Call somebody ``partner``, ``friend`` or ``family`` from now on. They are told, and may call it otherwise.

        Raises:
            InputError: there is no such word.
            NotFound, NotPaired: nobody of that name.
        """
        from bide.entries.person import clean_relation

        word, space = clean_relation(relation), self.reader.pair_space(with_)
        with self.storage.transaction():
            self.writer.name_person(self.name, relation=word, space=space)

    # Leaving

    def pause(self, with_: str = "", *, end: bool = False) -> None:
        """Stop syncing what is shared with somebody, or go on. Nobody is told but my other devices.

        Raises:
            NotAllowed: it is so already.
            NotFound, NotPaired, InputError: as for `write`.
        """
        from bide.replica.letting_go.leaving import pause

        pause(self, self.reader.pair_space(with_), end=end)

    def leave(self, with_: str = "", *, quietly: bool = False) -> None:
        """End what is shared with somebody: with a notice in the space, or quietly, by never sending anything again.

        Raises:
            NotAllowed: it has ended already, or this device was removed.
            NotFound, NotPaired, InputError: as for `write`.
        """
        from bide.replica.letting_go.leaving import leave_quietly, leave_with_notice

        (leave_quietly if quietly else leave_with_notice)(self, self.reader.pair_space(with_))

    def erase(self, id_texts: Sequence[str] = (), *, all_with: str | None = None) -> list[SpaceId]:
        """Erase my own words for good, here and wherever an honest relay or device has them. They can't be brought back.

        Args:
            id_texts: of these entries, each by id, short code or the beginning of one.
            all_with: or all that I ever wrote to this person; empty where there is only one.

        Returns:
            The spaces in which something was erased.

        Raises:
            NotAllowed: nothing of it is mine, or this device was removed.
            NotFound, NotPaired, InputError: as for `show` and `write`.
        """
        from bide.replica.letting_go.erasing import erase_all, erase_entries

        if all_with is not None:
            return erase_all(self, self.reader.space_to_read(all_with))
        return erase_entries(self, [self.reader.find(text) for text in id_texts])

    def resting(self) -> set[SpaceId]:
        """The spaces that don't sync: paused, or left quietly.

        Of what is paused this device fetches until it is let in: before that nobody could end the pause on it.
        """
        pending = {space.space_id for space in self.storage.spaces() if space.pending}
        return {space for space, stance in read_stances(self.storage).items() if stance == LEFT or space not in pending}

    def _space_for(self, *, private: bool, with_: str) -> SpaceRecord:
        return self.reader.own_space() if private else self.reader.pair_space(with_)

    # Upkeep

    def relay(self) -> str:
        """The relay's address; empty if none is set."""
        return self.storage.meta("relay_url")

    def set_relay(self, url: str, *, invite: str = "") -> None:
        """Sync through this relay from now on; an empty `url` stops syncing. Nothing that is stored changes.

        A space that was joined through another relay stays with that one: the other person's device is there.
        """
        before = self.relay()
        with self.storage.transaction():
            self.storage.put_meta("relay_url", url)
            if invite or url != before:
                self.storage.put_meta("relay_invite", invite)
            for space in self.storage.spaces():
                if not url or space.relay_url in ("", before):
                    self.storage.put_space(space._replace(relay_url=url))

    def adopt_relay(self, space: SpaceRecord) -> None:
        """Who has no relay keeps that of the person they joined."""
        if not self.relay() and space.relay_url:
            self.set_relay(space.relay_url)

    def rebuild(self, progress: Progress | None = None) -> None:
        """Drop everything derived and build it again from the log; `progress` is told how far it is, and of how much."""
        from bide.replica.derivation.rebuilding import counting, rebuild

        with self.storage.transaction():
            rebuild(self.storage, counting(self.storage, progress))
            self.storage.put_meta("derivation", DERIVATION)

    def doctor(self, progress: Progress | None = None) -> list[Finding]:
        """What is well and what is not, a sentence each; `progress` is told how far it is, and of how much."""
        from bide.replica.examining.doctor import examine

        return examine(self.storage, self.reader, progress)

    def look_again(self) -> tuple[int, int]:
        """Try apart, once more, the changes that were set aside since they stopped a process: after an upgrade for example.

        Returns:
            How many of them are taken in now, and how many stay set aside.
        """
        from bide.replica.derivation.vetting import look_again

        with self.storage.transaction():
            return look_again(self.storage)

    # Syncing

    def sync_session(self, space_id: SpaceId, *, host: str, live: bool = False, storage: Storage | None = None) -> SpaceSync:
        """A sync session of one space, to be pumped through a connection to its relay.

        Args:
            space_id: which space.
            host: host and port as dialled.
            live: stay connected after catching up.
            storage: this replica's, looked at in another way.

        Raises:
            NotFound: there is no such space.
            NotAllowed: it is paused, or was left quietly.
        """
        from bide.replica.catching_up import catch_up
        from bide.replica.sync.syncing import SpaceSync

        space = next((space for space in self.storage.spaces() if space.space_id == space_id), None)
        if space is None:
            raise NotFound("There is no such space here.")
        if space_id in self.resting():
            raise NotAllowed("That is paused or left on your devices, so nothing of it is sent.")
        return SpaceSync(
            storage or self.storage,
            space,
            host=host,
            live=live,
            randomness=self.randomness,
            on_caught_up=lambda: catch_up(self, space_id),
            today=self.today,
            rests=lambda: space_id in self.resting(),
        )

    def note_difference(self, space_id: SpaceId) -> None:
        """Keep for doctor that two people compared what they hold, and it was not the same."""
        from bide.replica.sync.incidents import DIFFERED, note_incident

        with self.storage.transaction():
            note_incident(self.storage, space_id, DIFFERED, self.today())

    def today(self) -> str:
        """The person's day now, ``YYYY-MM-DD``."""
        from bide.replica.views.reviewing import local_day

        return local_day(self.clock.now_ms(), zone=self.zone, day_starts_min=self.day_starts_min)
