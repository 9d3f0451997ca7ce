"""Adding a device of one's own through a relay's mailbox. Bytes in, bytes out, no network.

The same key exchange and the same six words as between two people (`bide.replica.joining.pairing`), then::

    this device  -> payload  [space 16, kind, slot, relay, founding envelope]    one for each space
    this device  -> payload  ["end", relay]
    new device   -> payload  [space 16, signing_key 32, sealing_key 32, proof 64]    one for each space, own keys in each
    this device  -> payload  "done"                                              the device is in every space, and on the relay

Each side keeps before it sends: the new device stores every space as pending before it names its keys, so that a connection
that breaks is mended by the next sync, if the other one had let it in by then.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from bide.crypto.keys import new_device_keys
from bide.crypto.pairing import Pairing
from bide.crypto.pairing_code import PairingCode
from bide.entries.fields import clean_text
from bide.errors import InputError, NotAllowed, RemoteProtocolError
from bide.ids import DeviceId, Randomness, SpaceId, log_id
from bide.log.control import DeviceRecord
from bide.log.envelope import ENVELOPE_BYTES_MAX, Envelope, parse_envelope
from bide.log.membership import Membership
from bide.log.packing import pack, unpack
from bide.projections import DERIVATION
from bide.protocol.frames import MailboxClosed
from bide.protocol.session import ClientSession
from bide.replica.authoring.admitting import spaces_to_share
from bide.replica.authoring.founding import device_record
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import rebuild_members
from bide.replica.joining.pairing import PairingEvent, PairingSession, url_of
from bide.replica.own_devices.devices import Enrolment, enrol, require_free_name, require_room
from bide.replica.replica import Replica
from bide.replica.spaces.people import NAME_CHARS_MAX
from bide.replica.spaces.personal import DEVICE_NAME_CHARS_MAX, enrolling_key
from bide.storage.base import SpaceRecord, Storage

_FORMAT = 2
_SPACES_MAX = 256
_RECORD = TypeAdapter(DeviceRecord)
_OTHER_PURPOSE = "That code is for sharing with another person, not for a device of your own."


class SpacesReady(NamedTuple):
    """Everything that the new device needs is here: make its home with `NewDeviceSession.keep`, then `enrol`."""

    name: str
    """What the person is called."""


class DeviceAdmitted(NamedTuple):
    """The new device is in every space here: bring that to the relay, then `AddingSession.finish`."""

    name: str


class DeviceAdded(NamedTuple):
    """Both sides are done."""

    name: str


class _Offered(NamedTuple):
    """A space as it was offered."""

    space: SpaceRecord
    genesis: Envelope


class Introduced(NamedTuple):
    """What the other side calls itself."""

    format: int
    name: str


class AddingSession(PairingSession):
    """The device that is there already: makes the code, and lets the other one in."""

    def __init__(self, replica: Replica, relay_url: str) -> None:
        super().__init__(replica, relay_url=relay_url, code=None)
        self._sharing = spaces_to_share(replica.storage)
        for space in self._sharing:
            require_room(replica.storage, space)
        self._records: dict[SpaceId, DeviceRecord] = {}
        self._begun = self._admitted = False
        self._device_name = ""

    @property
    def saved(self) -> bool:
        """Whether the device was let in here."""
        return self._admitted

    @property
    def _new_code_hint(self) -> str:
        return "For a new one: bide device add"

    def finish(self) -> list[PairingEvent | DeviceAdded]:
        """Tell the new device that it can sync now."""
        self._running().send(b"done")
        self.flush_machine()
        self._session.send(MailboxClosed("done"))
        return [DeviceAdded(self._device_name)]

    def _begin(self) -> None:
        hello, code = self._session.hello, self._code
        assert hello is not None  # the state table puts a hello first
        assert code is not None
        offer = pack([_FORMAT, self._replica.name])
        self._machine = Pairing.initiate(code, hello.relay_key, offer=offer, randomness=self._randomness)

    def _read_offer(self, offer: bytes) -> Any:
        read = _read_introduction(offer)
        require_free_name(self._storage, read.name)
        self._device_name = read.name
        return read

    def _settle(self) -> list[PairingEvent]:
        if self._accepted and self._peer_accepted and not self._begun:
            self._begun = True
            for space in self._sharing:
                founder = self._storage.members(space.space_id)[0].log_id
                genesis = self._storage.envelope(space.space_id, founder, 1)
                assert genesis is not None  # every space begins with it
                self._running().send(pack([space.space_id, space.kind, space.slot, space.relay_url, genesis.data]))
            self._running().send(pack(["end", self.relay_url]))
        return []

    def _take_payload(self, payload: bytes) -> list[Any]:
        value = unpack(payload, bytes_max=ENVELOPE_BYTES_MAX)
        sharing = {space.space_id: space for space in self._sharing}
        if not self._begun or self._admitted or not isinstance(value, list) or len(value) != 4 or value[0] not in sharing:
            raise RemoteProtocolError
        try:
            self._records[SpaceId(value[0])] = _RECORD.validate_python(value[1:])
        except ValidationError:
            raise RemoteProtocolError from None
        if len(self._records) < len(sharing):
            return []
        enrolments = [Enrolment(sharing[space], record) for space, record in self._records.items()]
        enrol(self._replica, enrolments, self._device_name)
        self._admitted = True
        return [DeviceAdmitted(self._device_name)]


class NewDeviceSession(PairingSession):
    """The new device: types the code, and has no home yet."""

    def __init__(self, code_text: str, *, device_name: str, randomness: Randomness, relay_url: str = "") -> None:
        """Prepare; raises as `PairingSession.join`."""
        code = PairingCode.parse(code_text)
        url = url_of(code.authority) if code.authority else relay_url
        if not url:
            raise InputError("The code names no relay.", hint="Type it whole, with what stands behind the @.")
        self._randomness = randomness
        self._session = ClientSession()
        self._code = code
        self._joining = True
        self._machine: Pairing | None = None
        self._offer = None
        self._peer_accepted = self._accepted = False
        self._space = None
        self._device_name = device_name
        self._offered: dict[SpaceId, _Offered] = {}
        self._complete = self._kept = self._done = False
        self._relay = ""
        self.relay_url = url
        self.host = urlsplit(url).netloc

    @property
    def saved(self) -> bool:
        """Whether the home is there."""
        return self._kept

    @property
    def _new_code_hint(self) -> str:
        return "For a new one, on the other device: bide device add"

    def confirm_words(self) -> list[PairingEvent]:
        """The person has seen the same words on the other screen."""
        self._running().accept()
        self._accepted = True
        return []

    def keep(self, storage: Storage) -> None:
        """Store what was offered in the storage of a new home: every space pending, with keys of its own."""
        assert isinstance(self._offer, Introduced)  # it comes before everything else
        with storage.transaction():
            storage.put_meta("name", self._offer.name)
            storage.put_meta("derivation", DERIVATION)
            storage.put_meta("relay_url", self._relay)
            for space, genesis in self._offered.values():
                storage.put_space(space)
                storage.put_meta(enrolling_key(space.space_id), "1")
                storage.append(space.space_id, stored(genesis))
                rebuild_members(storage, space.space_id)
        self._kept = True

    def enrol(self) -> None:
        """Name this device's keys. Only after `keep` is durable."""
        for space, _ in self._offered.values():
            keys = new_device_keys(self._randomness)._replace(
                signing_seed=space.signing_seed, sealing_secret=space.sealing_secret
            )
            self._running().send(pack([space.space_id, *device_record(keys, space=space.space_id, slot=space.slot)]))

    def _begin(self) -> None:
        hello, code = self._session.hello, self._code
        assert hello is not None  # the state table puts a hello first
        assert code is not None
        offer = pack([_FORMAT, self._device_name])
        self._machine = Pairing.join(code, hello.relay_key, offer=offer, randomness=self._randomness)

    def _read_offer(self, offer: bytes) -> Any:
        return _read_introduction(offer)

    def _settle(self) -> list[PairingEvent]:
        return []

    def _take_payload(self, payload: bytes) -> list[Any]:
        assert isinstance(self._offer, Introduced)  # it comes before everything else
        if self._kept:
            if payload != b"done":
                raise RemoteProtocolError
            self._done = True
            return [DeviceAdded(self._offer.name)]
        value = unpack(payload, bytes_max=ENVELOPE_BYTES_MAX)
        if self._complete or not isinstance(value, list):
            raise RemoteProtocolError
        if value[:1] == ["end"] and len(value) == 2 and isinstance(value[1], str):
            self._relay, self._complete = value[1] or self.relay_url, True
            if sum(1 for offered in self._offered.values() if offered.space.kind == "own") != 1:
                raise RemoteProtocolError
            return [SpacesReady(self._offer.name)]
        offered = self._read_space(value)
        if offered.space.space_id in self._offered or len(self._offered) >= _SPACES_MAX:
            raise RemoteProtocolError
        self._offered[offered.space.space_id] = offered
        return []

    def _read_space(self, value: list[Any]) -> _Offered:
        if len(value) != 5 or value[2] not in (0, 1) or not isinstance(value[3], str) or not isinstance(value[4], bytes):
            raise RemoteProtocolError
        space_id, kind, slot, relay_url, data = value
        genesis = parse_envelope(data)
        membership = Membership.found(SpaceId(space_id), genesis)  # proves that the id belongs to this beginning
        if membership.kind != kind or (kind == "own" and slot != 0):
            raise RemoteProtocolError
        keys = new_device_keys(self._randomness)
        log = log_id(SpaceId(space_id), DeviceId(keys.device_id))
        seed, secret = keys
        return _Offered(SpaceRecord(SpaceId(space_id), kind, slot, log, seed, secret, b"", relay_url, True), genesis)

    def _over(self, reason: str) -> None:
        if not self._done and not self._kept:
            super()._over(reason)


def _read_introduction(offer: bytes) -> Introduced:
    value = unpack(offer, bytes_max=ENVELOPE_BYTES_MAX)
    if not isinstance(value, list) or len(value) != 2 or value[0] != _FORMAT or not isinstance(value[1], str):
        raise NotAllowed(_OTHER_PURPOSE, hint="On the device that has your journal: bide device add")
    name = clean_text(value[1], what="name", chars_max=max(NAME_CHARS_MAX, DEVICE_NAME_CHARS_MAX), one_line=True)
    if not name:
        raise RemoteProtocolError
    return Introduced(_FORMAT, name)
