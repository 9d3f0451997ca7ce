"""One small Automerge document per entry. The only importer of automerge, and the border where its panics stop.

The stored changes are the truth; a document lives only as long as it takes to read it or to add one change. Every change has a
fresh random actor, so no two can ever claim the same place (see `docs/decisions/0003-automerge.md`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from automerge.core import ROOT, Document, ObjType, ScalarType

from bide.crdt.change import Change
from bide.crdt.wording import Stretch, merge, stretches, tokens
from bide.errors import ChangeRejected
from bide.ids import Randomness

Scalar = str | int | bool
Fields = dict[str, Scalar]

_ACTOR_BYTES = 16
VERSIONS_MAX = 4
"""How many versions of a text by one person that don't know of each other are looked at: about one for each device."""


class Cowritten(NamedTuple):
    """A text that two people write together."""

    text: str
    versions: tuple[str, ...] = ()
    """Where edits made at the same time clash: each whole version, as it read right after its own edit. Else empty."""


class NothingChanged(ChangeRejected):
    """That is what it says already."""

    code = "nothing_changed"


@contextmanager
def _border() -> Iterator[None]:
    """Turn what Automerge raises, panics included, into `ChangeRejected`."""
    try:
        yield
    except ChangeRejected:
        raise
    except Exception as error:
        raise ChangeRejected from error
    except BaseException as error:
        # A Rust panic arrives as pyo3's PanicException, a BaseException that has no importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise ChangeRejected from error


def create_change(
    fields: Mapping[str, Scalar], *, texts: Mapping[str, str] | None = None, slot: int, randomness: Randomness
) -> bytes:
    """The first change of a new document.

    Args:
        fields: root keys and their values.
        texts: root keys that hold text which both people may edit, and what they say at first.
        slot: of the person who writes.
        randomness: for the change's actor.
    """
    with _border():
        document = Document(_new_actor(slot, randomness))
        with document.transaction() as transaction:
            for key, value in fields.items():
                transaction.put(ROOT, key, _type_of(value), value)
            for key, text in (texts or {}).items():
                object_id = transaction.put_object(ROOT, key, ObjType.Text)
                for index, character in enumerate(text):
                    transaction.insert(object_id, index, ScalarType.Str, character)
        return bytes(document.get_changes([])[0].bytes)


def amend_change(
    changes: Sequence[bytes],
    fields: Mapping[str, Scalar],
    *,
    texts: Mapping[str, str] | None = None,
    confirm: Collection[str] = (),
    slot: int,
    randomness: Randomness,
) -> bytes:
    """A further change of the document that `changes` make.

    Only values that differ are written; a text is edited word by word where it differs, so that two people's edits merge.

    Args:
        changes: the document's, each after those it depends on.
        fields: root keys and their values.
        texts: root keys that hold text, and what they are to say.
        confirm: keys that are written even if they say the same: what was said once is said again, and counts again.
        slot: of the person who writes.
        randomness: for the change's actor.

    Raises:
        NothingChanged: everything is as it was.
        ChangeRejected: the document can't be loaded.
    """
    with _border():
        document = Document.load(b"".join(changes))
        document.set_actor(_new_actor(slot, randomness))
        before = document.get_heads()
        now = _read(document, None)
        differing = {key: value for key, value in fields.items() if now.get(key) != value or key in confirm}
        edits = {key: text for key, text in (texts or {}).items() if now.get(key) != text or (key in confirm and text)}
        if not differing and not edits:
            raise NothingChanged
        with document.transaction() as transaction:
            for key, value in differing.items():
                if now.get(key) == value:  # Automerge takes the same value twice for nothing
                    transaction.put(ROOT, key, _type_of(value), _another(value))
                transaction.put(ROOT, key, _type_of(value), value)
            for key, text in edits.items():
                _edit_text(document, transaction, key, str(now.get(key, "")), text)
        return bytes(document.get_changes(before)[0].bytes)


def _new_actor(slot: int, randomness: Randomness) -> bytes:
    """A fresh actor. Its last bit names the person, so nobody can take the actor of a change that is not theirs."""
    actor = randomness.token(_ACTOR_BYTES)
    return actor[:-1] + bytes([(actor[-1] & 0xFE) | slot])


class EntryDocument:
    """A document made of an entry's changes, for reading."""

    def __init__(self, changes: Sequence[bytes]) -> None:
        """Load `changes`, each after those it depends on.

        Raises:
            ChangeRejected: Automerge refuses them.
        """
        with _border():
            self._document = Document.load(b"".join(changes))
            self._heads: list[bytes] = sorted(bytes(head) for head in self._document.get_heads())

    @property
    def heads(self) -> list[bytes]:
        """Hashes of the changes that no other change builds on, sorted. Equal heads mean equal documents."""
        return self._heads

    def fields(self) -> Fields:
        """All root keys and values, texts as strings."""
        with _border():
            return _read(self._document, None)

    def fields_at(self, *changes: bytes) -> Fields:
        """The fields as they were right after the changes with those hashes and all that they build on."""
        with _border():
            return _read(self._document, list(changes))

    def value_at(self, key: str, *changes: bytes) -> Scalar | None:
        """As `fields_at`, of one key; None: it was not there."""
        with _border():
            return _read_one(self._document, key, list(changes))

    def alternatives(self, changes: Sequence[Change]) -> dict[str, list[Scalar]]:
        """Values that lost against a concurrent edit, by key: for showing both, never dropping one silently.

        Args:
            changes: the headers of all changes of this document.
        """
        if len(changes) < 3:  # a first change and two that don't know each other
            return {}
        writers: dict[str, list[int]] = {}
        for number, change in enumerate(changes):
            for key in change.keys:
                writers.setdefault(key, []).append(number)
        ancestors = _ancestors(changes)
        lost: dict[str, list[Scalar]] = {}
        with _border():
            for key in sorted(key for key, numbers in writers.items() if len(numbers) > 1):
                known = 0
                for number in writers[key]:
                    known |= ancestors[number]
                last = [changes[number].hash for number in writers[key] if not known >> number & 1]
                if len(last) > 1:
                    winner = _read_one(self._document, key, None)
                    values = {_read_one(self._document, key, [writer]) for writer in last}
                    others = [value for value in values if value is not None and value != winner]
                    if others:
                        lost[key] = sorted(others, key=str)
        return lost

    def cowritten(
        self, key: str, changes: Sequence[Change], writers: Mapping[bytes, int], *, before: bytes | None = None
    ) -> Cowritten:
        """What a text says that both people edit, and whether two edits of it clash.

        Versions that don't know of each other are compared with what both began from. Changes of different words are all taken;
        where they meet, each is shown, until somebody who knew of all of them writes it anew.

        Args:
            key: of the text.
            changes: the headers of all changes of this document, each after those it depends on.
            writers: hashes of the changes that edited the text or confirmed it, and whose each is.
            before: only what the author of the change with this hash knew when writing it.
        """
        ancestors = _ancestors(changes)
        within = next(
            (known for change, known in zip(changes, ancestors, strict=True) if change.hash == before), (1 << len(changes)) - 1
        )
        mine = [number for number, change in enumerate(changes) if change.hash in writers and within >> number & 1]
        known = 0
        for number in mine:
            known |= ancestors[number]
        last = _few([number for number in mine if not known >> number & 1], changes, writers)
        with _border():
            if len(last) < 2:
                heads = [changes[number].hash for number in last] or [changes[0].hash]
                return Cowritten(str(_read_one(self._document, key, heads) or ""))
            shared = ancestors[last[0]]
            for number in last[1:]:
                shared &= ancestors[number]
            base = str(_read_one(self._document, key, _heads_of(shared, changes, ancestors)) or "")
            versions = [str(_read_one(self._document, key, [changes[number].hash]) or "") for number in last]
        merged = merge(base, versions)
        return Cowritten(merged.text, tuple(dict.fromkeys(versions)) if merged.clashes else ())


def _few(numbers: Sequence[int], changes: Sequence[Change], writers: Mapping[bytes, int]) -> list[int]:
    """Of each person's versions the newest few, person by person: nobody can drown out what the other wrote."""
    newest = sorted(numbers, key=lambda number: (-changes[number].start_op, changes[number].hash))
    slots = sorted({writers[changes[number].hash] for number in numbers})
    return [n for slot in slots for n in [n for n in newest if writers[changes[n].hash] == slot][:VERSIONS_MAX]]


def _heads_of(members: int, changes: Sequence[Change], ancestors: Sequence[int]) -> list[bytes]:
    """Hashes of those of a set of changes that no other one in it builds on."""
    known = 0
    numbers = [number for number in range(len(changes)) if members >> number & 1]
    for number in numbers:
        known |= ancestors[number]
    return [changes[number].hash for number in numbers if not known >> number & 1]


def _ancestors(changes: Sequence[Change]) -> list[int]:
    """Every change's ancestors as a set of bits, one for each place; `changes` come each after those it depends on."""
    places = {change.hash: number for number, change in enumerate(changes)}
    ancestors: list[int] = []
    for change in changes:
        bits = 0
        for dep in change.deps:
            if (number := places.get(dep)) is not None and number < len(ancestors):
                bits |= ancestors[number] | 1 << number
        ancestors.append(bits)
    return ancestors


def _type_of(value: Scalar) -> ScalarType:
    if isinstance(value, bool):
        return ScalarType.Boolean
    return ScalarType.Int if isinstance(value, int) else ScalarType.Str


def _another(value: Scalar) -> Scalar:
    """A different value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 0 if value else 1
    return "" if value else " "


def _read(document: Document, heads: list[bytes] | None) -> Fields:
    fields: Fields = {}
    for key in document.keys(ROOT, heads):
        value = _read_one(document, key, heads)
        if value is not None:
            fields[key] = value
    return fields


def _read_one(document: Document, key: str, heads: list[bytes] | None) -> Scalar | None:
    found: Any = document.get(ROOT, key, heads)
    if found is None:
        return None
    value, object_id = found
    if value == ObjType.Text:
        return str(document.text(object_id, heads))
    if isinstance(value, tuple) and value[0] in (ScalarType.Str, ScalarType.Int, ScalarType.Uint, ScalarType.Boolean):
        scalar: Scalar = value[1]
        return scalar
    return None


def _edit_text(document: Document, transaction: Any, key: str, old: str, new: str) -> None:
    found: Any = document.get(ROOT, key)
    if found is None or found[0] != ObjType.Text:
        raise ChangeRejected
    object_id = found[1]
    before, after = tokens(old), tokens(new)
    places = [0]
    for token in before:
        places.append(places[-1] + len(token))
    # The last word anew, where nothing differs: the change then stands for having looked at it.
    differing = stretches(before, after) or [Stretch(len(before) - 1, len(before), (before[-1],))]
    # From the end, so that the places before an edit stay what they were. Each word goes and comes as a whole.
    for stretch in reversed(differing):
        start = places[stretch.start]
        for _ in range(places[stretch.end] - start):
            transaction.delete(object_id, start)
        for offset, character in enumerate("".join(stretch.new)):
            transaction.insert(object_id, start + offset, ScalarType.Str, character)
