"""What must hold. Some of it is looked at whenever a process comes back, the rest when everybody has come to rest."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bide.errors import EnvelopeRejected
from bide.ids import EntryId, LogId, SpaceId
from bide.log import chain
from bide.log.chain import empty_head, head_of, place
from bide.log.envelope import SIGNED_BYTES, entry_hash, parse_envelope
from bide.log.head import Head
from bide.replica.derivation.deriving import open_event
from bide.replica.derivation.rebuilding import BEYOND_THE_CUT, load_membership
from bide.replica.examining.doctor import DAMAGE
from bide.replica.single_writer.succession import own_logs
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import DeviceName, device_names, my_devices
from bide.storage.base import SpaceRecord, Storage
from bide_relay.service import load_state
from bide_relay.storage.base import Span
from simulation.excepting import cannot_end_a_pause, is_torn, was_left_by_all, went_on_unheard
from simulation.granted import secrets_for
from simulation.processes import Device, Place, RelayProcess, Said, waits

if TYPE_CHECKING:
    from simulation.world import World

_EVERYTHING = 1 << 30


class Invariants:
    """What was promised in a world so far, and whether it holds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._acknowledged: dict[str, dict[tuple[SpaceId, LogId], Head]] = {}
        """What each relay said that it has for good."""
        self.entries: dict[tuple[SpaceId, EntryId], Device] = {}
        """What people were told that is written, and on which device."""
        self.held: dict[EntryId, Device] = {}
        """What they were told that is held."""
        self.sealed_without: dict[tuple[SpaceId, Place], tuple[frozenset[LogId], frozenset[LogId]]] = {}
        """Entries, and of which devices' logs their writer knew that they are at an end, and that they are not."""
        self.erased_said: set[Said] = set()
        """What people wanted to be nowhere any more."""
        self.tried_to_remove: set[LogId] = set()
        self.out_with_removed: set[LogId] = set()
        """All logs of homes that somebody wanted to remove: a copy that still wrote in one of them goes with it."""
        self.removed: list[tuple[LogId, LogId]] = []
        """Own logs: who has removed whom."""
        self.checks = 0
        self.torn: set[SpaceId] = set()
        """Spaces in which somebody has a past of a log that its own home has not any more, nor the relay."""

    def _broke(self, what: str) -> None:
        self._world.broke(what)

    # At any moment

    def kept_its_word(self, device: Device) -> None:
        """A device that came back has everything that its person was told is written: there, in a later log, or waiting."""
        storage = device.replica.storage
        for said, at in device.promised.items():
            here = storage.envelope(said.space, at.log, at.seq)
            if here is not None and here.hash == at.hash:
                continue
            ended = read_belonging(storage, said.space).ended
            if any(each.space_id == said.space and each.log_id in ended for each in device.replica.spaces()):
                continue  # it was removed, and says there what nobody hears: that is kept, and not shown
            # What is erased after it was said again in another log is in neither.
            if said not in self.erased_said and _where(storage, said) is None and not waits(storage, said, at):
                self._broke(f"{device.name} lost what it had acknowledged as written")

    def acknowledged_at(self, relay: str, *, forget: SpaceId | None = None) -> dict[tuple[SpaceId, LogId], Head]:
        """What a relay said that it has for good; but not of a space that it was asked to forget."""
        found = self._acknowledged.setdefault(relay, {})
        for key in [key for key in found if key[0] == forget]:
            del found[key]
        return found

    @property
    def acknowledged(self) -> dict[tuple[SpaceId, LogId], Head]:
        """Of the first relay."""
        return self.acknowledged_at("relay")

    def relay_kept_its_word(self, relay: RelayProcess) -> None:
        """A relay that came back has everything that it acknowledged."""
        if self._world.rotten:
            return
        for space in {space for space, _ in self.acknowledged_at(relay.name)}:
            if relay.storage.was_forgotten(space):
                self.acknowledged_at(relay.name, forget=space)
        for (space, log), head in self.acknowledged_at(relay.name).items():
            header = relay.storage.header(space, log, head.seq)
            if header is None or entry_hash(header[:SIGNED_BYTES]) != head.hash:
                self._broke("the relay lost what it had acknowledged as stored")

    def note_sealed(self, device: Device, space: SpaceId) -> None:
        """A device has just written: whoever it knows to be removed must not be able to read that."""
        ended = read_belonging(device.replica.storage, space).ended
        left = {member.log_id for member in device.replica.storage.members(space)} - ended.keys()
        if ended:
            record = next(each for each in device.replica.spaces() if each.space_id == space)
            head = device.replica.storage.heads(space)[record.log_id]
            self.sealed_without[space, Place(*head)] = frozenset(ended), frozenset(left)

    def note_attempt(self, target: DeviceName) -> None:
        """A device is about to remove another one."""
        self.tried_to_remove.add(target.log_id)
        for home in self._world.devices:
            if target.log_id in self._own_logs(home):
                for space in home.replica.spaces():
                    self.out_with_removed.update(own_logs(home.replica.storage, space))

    def note_to_be_out(self, home: Device) -> None:
        """Somebody is about to remove a home, whichever of its logs they know."""
        self.tried_to_remove.update(self._own_logs(home))
        for space in home.replica.spaces():
            self.out_with_removed.update(own_logs(home.replica.storage, space))

    def linked_with(self, device: Device, target: DeviceName) -> set[tuple[SpaceId, LogId]]:
        """What a device knows to be written by the home of another one, before and after, where it still belongs."""
        storage = device.replica.storage
        others = (home for home in self._world.devices if home is not device)
        homes = [home for home in others if target.log_id in self._own_logs(home)]
        found: set[tuple[SpaceId, LogId]] = set()
        for home, space in itertools.product(homes, device.replica.spaces()):
            record = next((each for each in home.replica.spaces() if each.space_id == space.space_id), None)
            mine = own_logs(home.replica.storage, record) if record is not None else []
            for each in device_names(storage, space):
                if each.log_id in mine and each.was in mine:
                    found |= {(space.space_id, log) for log in (each.log_id, each.was) if log is not None}
        return found

    def out_with_all(self, device: Device, linked: set[tuple[SpaceId, LogId]]) -> None:
        """A device has just removed another one: a home that went on in another log has the keys of both, so both are out."""
        if self._world.counts["clone_home"] + self._world.counts["restore_home"]:
            return  # another home may go on in the log that one of them left
        for space, log in linked:
            if log not in read_belonging(device.replica.storage, space).ended:
                self._broke(f"{device.name} has removed one log of a home, and not the other")

    def words_of_mine(self, device: Device) -> set[Said]:
        """All that this person's devices wrote, as far as it is here."""
        storage = device.replica.storage
        found: set[Said] = set()
        for space in device.replica.spaces():
            logs = {member.log_id for member in storage.members(space.space_id) if member.slot == space.slot}
            for log in logs & storage.heads(space.space_id).keys():
                for seq, entry, _ in storage.log_events(space.space_id, log, storage.heads(space.space_id)[log].seq):
                    event = storage.event(space.space_id, log, seq)
                    assert event is not None  # it was listed just now
                    found.add(Said(space.space_id, entry, event.change))
        return found

    def erased(self, device: Device, before: set[Said]) -> None:
        """A person was told that something is erased."""
        self.erased_said |= before - self.words_of_mine(device)

    def only_on(self, device: Device) -> set[tuple[SpaceId, EntryId]]:
        """What is on no other device that runs: it is gone with this one's disk, unless the relay has it."""
        others = [other.replica.storage for other in self._world.devices if other is not device and other.alive]
        return {key for key in self.entries if not any(storage.events(*key) for storage in others)}

    def disk_lost(self, device: Device, lost: set[tuple[SpaceId, EntryId]]) -> None:
        """Its disk was put back to an old copy: what was on it alone may be gone, and only that."""
        storage = device.replica.storage
        device.forget_promises()
        for key in lost:
            if not storage.events(*key):
                self.entries.pop(key, None)
        for entry, holder in list(self.held.items()):
            if holder is device and storage.held(entry) is None and not storage.entries_with_id(entry):
                del self.held[entry]
        # Whom it removed, and told nobody, it has not removed.
        told = [each.replica.storage for each in self._world.devices]
        mine, own = self._own_logs(device), self._own_space(device).space_id
        self.removed = [
            (by, target)
            for by, target in self.removed
            if by not in mine or any(target in read_belonging(each, own).ended for each in told)
        ]

    # At rest

    def check(self) -> None:
        """Everybody has come to rest: look at everything."""
        self.checks += 1
        spaces = {space.space_id for device in self._world.devices for space in device.replica.spaces()}
        self.torn = {space for space in sorted(spaces) if is_torn(self._world, space)}
        for _ in self.torn:
            self._world.fired("a past is left that nobody can go on with")
        members = self._members()
        for space, devices in sorted(members.items()):
            self._one_past(space, devices)
            self._relay_has_all(space, devices)
        everybody = {device for devices in members.values() for device in devices}
        for device in sorted(everybody, key=lambda device: device.name):
            self._sound(device)
        self._nothing_lost(members)
        self._nobody_stuck(members)
        self._removed_stay_out(members)
        self._erased_is_nowhere(members)
        self._relay_let_go()
        self._world.recoveries.check(members)
        self._world.moving.check(members)
        self._world.quiet.check()

    def _members(self) -> dict[SpaceId, list[Device]]:
        """Who is in which space, as the relay has it; and nobody else was removed than whom somebody wanted to remove."""
        members: dict[SpaceId, list[Device]] = {}
        for device in self._world.devices:
            for space in device.replica.spaces():
                if self._world.quiet.rests(device, space.space_id):
                    continue
                state = load_state(self.where_the_others_are(space).storage, space.space_id)
                if state is None:
                    # Nothing is brought back to a relay that lost everything by who was removed, or was let in and has not
                    # been there since: those who could are gone for good, or have left it quietly.
                    storage = device.replica.storage
                    gone = space.log_id in read_belonging(storage, space.space_id).ended or space.pending
                    forgotten = self._world.relay_of(space).storage.was_forgotten(space.space_id)
                    nobody = self._world.recoveries.lost or was_left_by_all(self._world, space.space_id)
                    if not (forgotten and self.may_be_removed(device)) and not (gone and nobody):
                        self._broke(f"a space of {device.name} is not at the relay")
                elif cannot_end_a_pause(self._world, device, space):
                    continue
                elif state.membership.is_active(space.log_id):
                    members.setdefault(space.space_id, []).append(device)
                elif not self.may_be_removed(device) and not space.pending and space.space_id not in self.torn:
                    self._broke(f"{device.name} is no member of a space any more, and nobody removed it")
        self._members_now = members
        for by, target in self.removed:
            for device in self._world.devices:
                own = self._own_space(device)
                state = load_state(self._world.relay_of(own).storage, own.space_id)
                if by not in self._own_logs(device) or state is None or not state.membership.is_active(by):
                    continue
                if self._own_space(device).space_id in self.torn:
                    continue
                listed = {each.log_id: each.active for each in my_devices(device.replica.storage)}
                if state.membership.is_active(target):
                    self._broke(f"a device was removed by {device.name} and is still a member")
                # A home that had gone on in another log is a device of its own, to be seen and removed as one.
                homes = [home for home in self._world.devices if target in self._own_logs(home)]
                for home in homes:
                    log = self._own_space(home).log_id
                    there = members.get(self._own_space(home).space_id, [])
                    if home in there and device in there and not listed.get(log):
                        self._broke(f"{home.name} was removed, went on as another device, and {device.name} doesn't list it")
        return members

    def where_the_others_are(self, space: SpaceRecord) -> RelayProcess:
        """The relay that counts for a space: not that of one who was removed before it heard where the others went."""
        for device in self._world.devices:
            for each in device.replica.spaces():
                here = each.space_id == space.space_id and not each.pending
                out = "not_allowed" in device.errors and self.may_be_removed(device)
                if here and not out and not self._world.quiet.rests(device, each.space_id):
                    return self._world.relay_of(each)
        return self._world.relay_of(space)

    def may_be_removed(self, device: Device) -> bool:
        """Whether somebody wanted to remove it, or the one that let it in: what that did after its end doesn't count."""
        adder = device.added_by
        now = {space.log_id for space in device.replica.spaces()}
        wanted = not device.own_logs.isdisjoint(self.tried_to_remove) or not now.isdisjoint(self.out_with_removed)
        if wanted or device.contested or went_on_unheard(self._world, device):
            return True
        return adder is not None and self.may_be_removed(adder)

    @staticmethod
    def _own_space(device: Device) -> SpaceRecord:
        return device.replica.reader.own_space()

    def _own_logs(self, device: Device) -> list[LogId]:
        """What it writes in its person's own space, and wrote before it went on in another log."""
        return own_logs(device.replica.storage, self._own_space(device))

    def _one_past(self, space: SpaceId, devices: list[Device]) -> None:
        """All who are in a space hold the same and show the same."""
        if space in self.torn:
            return
        seen = {device.name: _digest(device, space) for device in devices}
        if len(set(seen.values())) > 1:
            self._broke(f"{', '.join(seen)} don't come to the same in a space: {sorted(set(seen.values()))}")

    def _relay_has_all(self, space: SpaceId, devices: list[Device]) -> None:
        """The relay has everything, whole, and counts it right."""
        storage = devices[0].replica.storage
        record = next(each for each in devices[0].replica.spaces() if each.space_id == space)
        relay = self._world.relay_of(record).storage
        heads = relay.heads(space)
        needed = read_belonging(storage, space).needed
        for log, head in storage.heads(space).items():
            upto = min(head.seq, needed.get(log, head.seq))
            if upto and (log not in heads or heads[log].seq < upto) and space not in self.torn:
                self._broke(f"the relay lacks something of a space after {devices[0].name} has synced")
        count = size = 0
        for log, head in heads.items():
            last = empty_head(log)
            while last.seq < head.seq:
                for entry in relay.read(space, [Span(log, last.seq, head.seq)], bytes_max=_EVERYTHING, envelopes_max=1000):
                    envelope = parse_envelope(entry.data)
                    if place(last, envelope) is not chain.Place.NEXT:
                        self._broke("a log at the relay is not whole")
                    last, count, size = head_of(envelope), count + 1, size + len(entry.data)
            if last.hash != head.hash:
                self._broke("the relay's head is not the end of its log")
        usage = relay.usage(space)
        if (usage.entries, usage.bytes) != (count, size):
            self._broke(f"the relay counts {usage} where {count} entries of {size} bytes lie")

    def _sound(self, device: Device) -> None:
        """Chains and signatures verify, nothing waits, and what is shown follows from the log."""
        replica = device.replica
        copied = self._world.counts["restore_home"] + self._world.counts["clone_home"] + self._world.recoveries.twice
        for finding in replica.doctor():
            if finding.level == DAMAGE and not (copied and _tells_of_a_copy(str(finding.words))):
                self._broke(f"doctor finds damage at {device.name}: {finding.words}")
        shown = replica.digest()
        replica.rebuild()
        if replica.digest() != shown:
            self._broke(f"rebuilding changes what {device.name} shows")
        for space in self._spaces_of(device):
            storage = replica.storage
            odd = {item.reason for item in storage.quarantine(space.space_id)} - {BEYOND_THE_CUT}
            if odd:
                self._broke(f"{device.name} set something aside: {sorted(odd)}")
            if replica.reader.pending(space):
                self._broke(f"something of {device.name}'s waits for the relay")
            waiting = {s.value: n for s, n in storage.standing_counts(space.space_id).items() if s.value == "waiting"}
            if waiting and not read_belonging(storage, space.space_id).ended:
                self._broke(f"events wait for something at {device.name}, and nothing is to come")
        self.kept_its_word(device)

    def _spaces_of(self, device: Device) -> Iterator[SpaceRecord]:
        for space in device.replica.spaces():
            if device in self._members_now.get(space.space_id, []) and space.space_id not in self.torn:
                yield space

    def _nothing_lost(self, members: dict[SpaceId, list[Device]]) -> None:
        """What anybody was told is written is with everybody in the space, unless its log was cut before it."""
        touched = {(said.space, said.entry) for said in self.erased_said}
        for author in self._world.devices:
            cut_off = {each.space_id for each in author.replica.spaces() if cannot_end_a_pause(self._world, author, each)}
            for said, first in author.promised.items():
                if self._world.quiet.rests(author, said.space):
                    continue  # what waited there waits for good
                at = _where(author.replica.storage, said) or first
                for device in members.get(said.space, []):
                    storage = device.replica.storage
                    if device is not author and (said.space in self.torn or said.space in cut_off):
                        continue
                    if said in self.erased_said or not self._counts(author, said.space, at, storage):
                        continue
                    if _where(storage, said) is None:
                        self._broke(f"{device.name} lacks what {author.name} was told is written")
                    whole = (said.space, said.entry) not in touched
                    if (
                        whole
                        and self.entries.get((said.space, said.entry)) is author
                        and storage.entry(said.space, said.entry) is None
                    ):
                        self._broke(f"an entry that was acknowledged is not shown at {device.name}")
        for entry, device in self.held.items():
            # Once it was sent, it is a promise like all others: one that is void where the device was removed before.
            storage = device.replica.storage
            sent = any(said.entry == entry for said in device.promised) or bool(storage.entries_with_id(entry))
            if storage.held(entry) is None and not sent:
                self._broke(f"what {device.name} held is gone")

    def _counts(self, author: Device | None, space: SpaceId, at: Place, storage: Storage) -> bool:
        """Whether what stands at a place has to be with a member: it has, unless its device was removed before it.

        What a removed device adds, or goes on in, beyond its end is a log that nobody hears of.
        """
        ended = read_belonging(storage, space).ended
        if at.log in ended:
            there = storage.envelope(space, at.log, at.seq)
            # Of two copies one was removed before it could part: what stands there is the other one's.
            return at.seq <= ended[at.log] and (there is None or there.hash == at.hash)
        if any(member.log_id == at.log for member in storage.members(space)):
            return True
        while author is not None:
            if author.contested or any(
                log in ended for each in author.replica.spaces() for log in own_logs(author.replica.storage, each)
            ):
                return False
            author = author.added_by
        return True

    def _nobody_stuck(self, members: dict[SpaceId, list[Device]]) -> None:
        """The last sync of everybody went without a word of complaint."""
        for device in self._world.devices:
            spaces = {space.space_id for space in device.replica.spaces()}
            there = (space for space in spaces if not self._world.quiet.rests(device, space))
            everywhere = all(device in members.get(space, []) for space in there)
            if everywhere and device.errors and not spaces & self.torn:
                self._broke(f"{device.name} can't sync: {device.errors}")

    def _erased_is_nowhere(self, members: dict[SpaceId, list[Device]]) -> None:
        """The bodies of what was erased are at no member and not at the relay, nor what was read from them."""
        for space, devices in members.items():
            record = next(each for each in devices[0].replica.spaces() if each.space_id == space)
            relay = self._world.relay_of(record).storage
            gone = {said.change for said in self.erased_said if said.space == space}
            for device in devices:
                storage = device.replica.storage
                erased = read_belonging(storage, space).erased
                for log, spans in erased.items():
                    head = storage.heads(space).get(log)
                    for seq in (seq for first, last in spans for seq in range(first, last + 1)):
                        if head is None or seq > head.seq:
                            continue
                        here = storage.envelope(space, log, seq)
                        there = relay.read(space, [Span(log, seq - 1, seq)], bytes_max=_EVERYTHING, envelopes_max=1)
                        datas = [here.data] if here is not None and not here.control else []
                        datas += [each.data for each in there if here is not None and not here.control]
                        if not all(parse_envelope(data).is_bare for data in datas):
                            self._broke(f"what was erased is still at {device.name} or at the relay")
                        if storage.event(space, log, seq) is not None:
                            self._broke(f"what was read from erased words is still at {device.name}")
                aside = [each.envelope for each in storage.displaced(space)] + list(storage.beside(space))
                epochs = storage.epochs(space)
                for each in aside:
                    envelope = parse_envelope(each.data)
                    if each.control or envelope.is_bare or not gone:
                        continue
                    with contextlib.suppress(EnvelopeRejected):
                        if open_event(envelope, space=space, epochs=epochs).change in gone:
                            self._broke(f"what was erased lies beside the log at {device.name}")

    def _removed_stay_out(self, members: dict[SpaceId, list[Device]]) -> None:
        """With everything that a removed device holds, and all that the relay has, nothing later can be read."""
        for device in (*self._world.devices, *self._world.recoveries.lost):
            for space in device.replica.spaces():
                mine = own_logs(device.replica.storage, space)
                sealed = self.sealed_without.items()
                # What was written while one of its logs was not known to be at an end, it may well read.
                out = (key for key, (ended, left) in sealed if not ended.isdisjoint(mine) and left.isdisjoint(mine))
                later = [key for key in out if key[0] == space.space_id]
                others = members.get(space.space_id, [])
                if not later or not others or device in others:
                    continue
                storage = others[0].replica.storage
                secrets = secrets_for(device, space, storage)
                for _, at in later:
                    there = storage.envelope(space.space_id, at.log, at.seq)
                    if there is None or there.control or there.hash != at.hash:
                        continue
                    self._world.deeds["tried to read after removal"] += 1
                    try:
                        open_event(parse_envelope(there.data), space=space.space_id, epochs=secrets)
                    except EnvelopeRejected:
                        continue
                    self._broke(f"{device.name} was removed and can read what came later")

    def _relay_let_go(self) -> None:
        """Nobody is connected: the relay holds nothing open, and counts nothing."""
        for server in (relay.server for relay in self._world.relays):
            gate = server._gate
            held = (gate.connections, gate.unauthenticated, len(server._rooms), len(server._visitors), server.uploads.used)
            if any(held):
                self._broke(f"the relay still holds something of those who left: {held}")


def _tells_of_a_copy(words: str) -> bool:
    """Whether doctor says what is so: that a device wrote two pasts, or was shown another since it was copied."""
    return "two pasts" in words or "or a device was copied" in words


def _where(storage: Storage, said: Said) -> Place | None:
    """Where something that was said stands in a replica now: in the log in which it was written, or in a later one."""
    for event in storage.events(said.space, said.entry):
        if event.change == said.change:
            there = storage.envelope(said.space, event.log_id, event.seq)
            assert there is not None  # the log has what was derived from it
            return Place(event.log_id, event.seq, there.hash)
    return None


def _digest(device: Device, space: SpaceId) -> str:
    """As `Replica.digest`, of one space, without what is kept of a removed device's log and doesn't count."""
    storage = device.replica.storage
    ended = read_belonging(storage, space).ended
    if not ended:
        return next(str(each["digest"]) for each in device.replica.digest() if each["space"] == space.hex())
    heads = [(log.hex()[:6], min(head.seq, ended.get(log, head.seq))) for log, head in sorted(storage.heads(space).items())]
    rows = [tuple(record) for record in storage.all_entries(space)]
    # A device that a removed one let in beyond its end never belonged: who has not heard of it lacks nothing.
    members = sorted((log, end) for log, end in load_membership(storage, space).ends.items() if end)
    from hashlib import blake2b

    return blake2b(repr(([h for h in heads if h[1]], rows, members)).encode(), digest_size=8).hexdigest()
