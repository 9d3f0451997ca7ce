"""Reading an Automerge change without applying it, so that nothing unsafe ever reaches Automerge.

Layout of a change chunk: magic 4, checksum 4, type (1 plain, 2 deflated body), uleb length, body; the body holds deps, actor,
seq, start op, time, message, other actors, the column table and the columns. The hash is SHA-256 over the plain chunk. Source:
the Automerge binary format specification, https://automerge.org/automerge-binary-format-spec/.

A change that Bide writes touches root keys with plain values, or edits a text: anything else is refused here, long before a
hundred bytes could build a million operations.
"""

from __future__ import annotations

import hashlib
import zlib
from enum import Enum
from itertools import zip_longest
from typing import NamedTuple

from bide.errors import ChangeRejected

CHANGE_BYTES_MAX = 192 * 1024
BODY_BYTES_MAX = 1024 * 1024
"""After inflating."""
OPS_MAX = 25_000
"""Enough to replace one text of 10,000 characters by another."""
DEPS_MAX = 64

_MAGIC = b"\x85\x6f\x4a\x83"
_PLAIN, _DEFLATED = 1, 2
_HASH_BYTES = 32
_ACTOR_BYTES = 16
_U64_SHIFT_MAX = 63

# Column specifications: id << 4 | type.
_OBJECT_COUNTER = 0x02
_KEY_STRING = 0x15
_ACTION = 0x42
_PRED_GROUP = 0x70
_PREDS = frozenset({0x71, 0x73})
_COLUMN_DEFLATED = 0x08
_KNOWN_COLUMNS = frozenset({0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73})
_RUN_LENGTH_TYPES = frozenset({0, 1, 2, 3, 5, 6})
_BOOLEAN_TYPE = 4
_RAW_TYPE = 7
_SET, _DELETE, _MAKE_TEXT = 1, 3, 4
_ACTIONS_ALLOWED = frozenset({_SET, _DELETE, _MAKE_TEXT})
_VALUE_META = 0x56
_VALUE_RAW = 0x57
_VALUE_TYPE_BITS = 0x0F
_VALUE_LENGTH_SHIFT = 4
_VALUES_ALLOWED = frozenset({0, 1, 2, 3, 4, 6})
"""Null, false, true, unsigned, signed, text. Bide writes no others, and reading a counter makes Automerge panic."""
_VALUE_NULL, _VALUE_NUMBERS, _VALUE_TEXT = 0, (3, 4), 6


class Written(Enum):
    """What a change puts under a root key."""

    STRING = "string"
    FLAG = "flag"
    NUMBER = "number"
    TEXT = "text"
    """A text that both people may edit."""
    NOTHING = "nothing"
    """A null, or the key is deleted. Bide never does either."""


class Change(NamedTuple):
    """What a change says about itself."""

    hash: bytes
    deps: tuple[bytes, ...]
    actor: bytes
    start_op: int
    """The number of its first operation: one more than the highest of all that it builds on."""
    ops: int
    keys: frozenset[str]
    """Every root key that it writes."""
    edits_text: bool
    """Whether it inserts or deletes inside a text."""
    makes_text: bool
    writes: frozenset[tuple[str, Written]]
    """What kind of value it writes under each root key."""
    root_ops: int
    """How many of its operations write a root key; the others edit a text."""
    size: int
    """Bytes once inflated: what it takes up in memory is a small multiple of that."""

    @property
    def last_op(self) -> int:
        """The number of its last operation."""
        return self.start_op + self.ops - 1


class _Reader:
    """Reads numbers and bytes from a buffer; running out of it is a `ChangeRejected`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def done(self) -> bool:
        return self.at >= len(self.data)

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise ChangeRejected
        self.at += 1
        return self.data[self.at - 1]

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ChangeRejected
        self.at += size
        return self.data[self.at - size : self.at]

    def unsigned(self) -> int:
        # Nearly every number is one byte, and a long catch-up reads millions of them.
        if self.at < len(self.data) and (only := self.data[self.at]) < 0x80:
            self.at += 1
            return only
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > _U64_SHIFT_MAX:
                raise ChangeRejected

    def signed(self) -> int:
        if self.at < len(self.data) and (only := self.data[self.at]) < 0x80:
            self.at += 1
            return only - 0x80 if only & 0x40 else only
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if byte & 0x40 else value
            if shift > _U64_SHIFT_MAX:
                raise ChangeRejected


def read_change(data: bytes) -> Change:
    """Parse one change and hold it against every limit. 15 µs for a usual one.

    Raises:
        ChangeRejected: malformed, too large once inflated, too many operations, or of a kind that Bide never writes.
    """
    if len(data) > CHANGE_BYTES_MAX or data[:4] != _MAGIC:
        raise ChangeRejected
    outer = _Reader(data)
    outer.at = 4
    checksum = outer.take(4)
    kind = outer.byte()
    body = outer.take(outer.unsigned())
    if not outer.done or kind not in (_PLAIN, _DEFLATED):
        raise ChangeRejected
    if kind == _DEFLATED:
        body = _inflate(body)
    digest = hashlib.sha256(bytes([_PLAIN]) + _uleb(len(body)) + body).digest()
    if digest[:4] != checksum:
        raise ChangeRejected
    return _read_body(digest, _Reader(body))


def _read_body(digest: bytes, body: _Reader) -> Change:
    dep_count = body.unsigned()
    if dep_count > DEPS_MAX:
        raise ChangeRejected
    deps = tuple(body.take(_HASH_BYTES) for _ in range(dep_count))
    actor = body.take(body.unsigned())
    seq = body.unsigned()
    # Every change has an actor of its own: an actor that writes twice could fork, and a fork makes a document unloadable.
    if len(actor) != _ACTOR_BYTES or seq != 1:
        raise ChangeRejected
    start_op = body.unsigned()
    body.signed()  # time, always 0
    body.take(body.unsigned())  # message, always empty
    other_actors = body.unsigned()
    if other_actors > OPS_MAX:
        raise ChangeRejected
    for _ in range(other_actors):
        body.take(body.unsigned())
    columns = _read_columns(body)
    rows = {spec: _rows(spec, column) for spec, column in columns.items()}
    ops = rows.get(_ACTION, 0)
    # Every operation has an action, so no column but those of the predecessors, of which there can be several, is longer.
    if not 0 < ops <= OPS_MAX or any(count > (OPS_MAX if spec in _PREDS else ops) for spec, count in rows.items()):
        raise ChangeRejected
    preds = _run_length_values(columns.get(_PRED_GROUP, b""), OPS_MAX)
    if sum(value for value in preds if value) > OPS_MAX:
        raise ChangeRejected
    actions = _run_length_values(columns.get(_ACTION, b""), OPS_MAX)
    if not _ACTIONS_ALLOWED.issuperset(actions):
        raise ChangeRejected("A change does something that this version doesn't know.")
    values = [(meta or 0) & _VALUE_TYPE_BITS for meta in _run_length_values(columns.get(_VALUE_META, b""), OPS_MAX)]
    if not _VALUES_ALLOWED.issuperset(values):
        raise ChangeRejected("A change does something that this version doesn't know.")
    keys = _keys(columns.get(_KEY_STRING, b""))
    under_keys = [(key, _written(act, value)) for key, act, value in zip_longest(keys, actions, values) if key is not None]
    return Change(
        hash=digest,
        deps=deps,
        actor=actor,
        start_op=start_op,
        ops=ops,
        keys=frozenset(key for key in keys if key is not None),
        edits_text=any(value is not None for value in _run_length_values(columns.get(_OBJECT_COUNTER, b""), OPS_MAX)),
        makes_text=_MAKE_TEXT in actions,
        writes=frozenset(under_keys),
        root_ops=len(under_keys),
        size=len(body.data),
    )


def read_words(data: bytes) -> dict[str, str]:
    """The texts that a change puts under root keys, without what it builds on: for a change that can't be applied any more.

    Raises:
        ChangeRejected: as `read_change`.
    """
    change = read_change(data)
    reader = _Reader(data)
    reader.at = 8
    kind = reader.byte()
    body = reader.take(reader.unsigned())
    plain = _Reader(_inflate(body) if kind == _DEFLATED else body)
    plain.take(_HASH_BYTES * plain.unsigned())
    plain.take(plain.unsigned())
    plain.unsigned(), plain.unsigned(), plain.signed()
    plain.take(plain.unsigned())
    for _ in range(plain.unsigned()):
        plain.take(plain.unsigned())
    columns = _read_columns(plain)
    keys = _keys(columns.get(_KEY_STRING, b""))
    metas = _run_length_values(columns.get(_VALUE_META, b""), OPS_MAX)
    values = _Reader(columns.get(_VALUE_RAW, b""))
    found: dict[str, str] = {}
    for key, meta in zip_longest(keys[: change.ops], metas[: change.ops]):
        raw = values.take((meta or 0) >> _VALUE_LENGTH_SHIFT)
        if key is not None and (meta or 0) & _VALUE_TYPE_BITS == _VALUE_TEXT:
            try:
                found[key] = raw.decode()
            except UnicodeDecodeError as error:
                raise ChangeRejected from error
    return found


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(-15)
    try:
        plain = inflater.decompress(body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise ChangeRejected from error
    if not inflater.eof or inflater.unused_data:
        raise ChangeRejected
    return plain


def _uleb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_columns(body: _Reader) -> dict[int, bytes]:
    count = body.unsigned()
    if count > len(_KNOWN_COLUMNS):
        raise ChangeRejected("A change does something that this version doesn't know.")
    table = [(body.unsigned(), body.unsigned()) for _ in range(count)]
    columns: dict[int, bytes] = {}
    for spec, size in table:
        if spec not in _KNOWN_COLUMNS or spec & _COLUMN_DEFLATED or spec in columns:
            raise ChangeRejected("A change does something that this version doesn't know.")
        columns[spec] = body.take(size)
    # Bytes after the columns are allowed by the format and never written by Bide.
    if not body.done:
        raise ChangeRejected
    return columns


def _rows(spec: int, column: bytes) -> int:
    """How many operations a column claims. The pred columns are bounded through their group instead."""
    kind = spec & 7
    if kind == _RAW_TYPE:
        return 0
    reader = _Reader(column)
    total = 0
    while not reader.done and total <= OPS_MAX:
        if kind == _BOOLEAN_TYPE:
            total += reader.unsigned()
            continue
        if kind not in _RUN_LENGTH_TYPES:
            raise ChangeRejected
        run = reader.signed()
        if run > 0:
            _skip(reader, kind)
            total += run
        elif run < 0:
            for _ in range(min(-run, OPS_MAX + 1)):
                _skip(reader, kind)
            total -= run
        else:
            total += reader.unsigned()
    return total


def _skip(reader: _Reader, kind: int) -> None:
    if kind == 5:
        reader.take(reader.unsigned())
    elif kind == 3:
        reader.signed()
    else:
        reader.unsigned()


def _run_length_values(column: bytes, rows_max: int) -> list[int | None]:
    """The distinct runs of an unsigned run-length column, each value as often as it stands there, bounded."""
    reader = _Reader(column)
    values: list[int | None] = []
    while not reader.done:
        run = reader.signed()
        if run > 0:
            value = reader.unsigned()
            count: int = run
            values.extend([value] * min(count, rows_max))
        elif run < 0:
            values.extend(reader.unsigned() for _ in range(min(-run, rows_max)))
        else:
            values.extend([None] * min(reader.unsigned(), rows_max))
        if len(values) > rows_max:
            raise ChangeRejected
    return values


def _keys(column: bytes) -> list[str | None]:
    """The key of every operation, None for one inside a text. `_rows` has seen that there are not too many."""
    reader = _Reader(column)
    keys: list[str | None] = []
    while not reader.done:
        run = reader.signed()
        if run == 0:
            keys.extend([None] * min(reader.unsigned(), OPS_MAX))
            continue
        found: list[str | None] = []
        for _ in range(1 if run > 0 else min(-run, OPS_MAX)):
            try:
                found.append(reader.take(reader.unsigned()).decode())
            except UnicodeDecodeError as error:
                raise ChangeRejected from error
        keys.extend(found * min(run, OPS_MAX) if run > 0 else found)
    return keys


def _written(action: int | None, value: int | None) -> Written:
    if action == _MAKE_TEXT:
        return Written.TEXT
    if action != _SET or value in (None, _VALUE_NULL):
        return Written.NOTHING
    if value == _VALUE_TEXT:
        return Written.STRING
    return Written.NUMBER if value in _VALUE_NUMBERS else Written.FLAG
