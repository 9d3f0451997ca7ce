"""Reading a change without applying it: the same as Automerge says, and nothing unsafe gets through."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import textwrap
import zlib
from typing import Any

import pytest
from automerge.core import ROOT, Document, ObjType, ScalarType
from forging import altered, body_of, with_body
from hypothesis import given
from hypothesis import strategies as st

from bide.crdt.change import BODY_BYTES_MAX, CHANGE_BYTES_MAX, OPS_MAX, read_change
from bide.crdt.document import amend_change, create_change
from bide.errors import ChangeRejected
from bide.ids import SystemRandomness

RANDOM = SystemRandomness()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
KEY = st.text("abcdefg.01_é🦉", min_size=1, max_size=20)
SCALAR = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1))


def made(*steps: Any, actor: bytes = b"") -> list[bytes]:
    """Changes by Automerge itself: each step is a transaction, all by one actor."""
    document = Document(actor or RANDOM.token(16))
    for step in steps:
        with document.transaction() as transaction:
            step(transaction)
    return [bytes(change.bytes) for change in document.get_changes([])]


def leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def signed_leb(number: int) -> bytes:
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number & 0x7F])


def body_with(columns: dict[int, bytes], *, seq: int = 1, actor: bytes = b"a" * 16, deps: int = 0) -> bytes:
    """A change's body around any columns."""
    head = leb(deps) + bytes(32 * deps) + leb(len(actor)) + actor + leb(seq) + leb(1) + b"\0" + leb(0) + leb(0)
    table = b"".join(leb(spec) + leb(len(column)) for spec, column in columns.items())
    return head + leb(len(columns)) + table + b"".join(columns.values())


def plain_columns(count: int = 1, **other: bytes) -> dict[int, bytes]:
    """The columns of `count` times setting the key "k" to true."""
    run = signed_leb(count)
    return {0x15: run + b"\x01k", 0x34: leb(0) + leb(count), 0x42: run + b"\x01", 0x56: run + b"\x02", 0x70: run + b"\0"}


def refused(data: bytes) -> None:
    with pytest.raises(ChangeRejected):
        read_change(data)


# As Automerge reads it


@given(st.dictionaries(KEY, SCALAR, min_size=1, max_size=8), st.dictionaries(KEY, SCALAR, min_size=1, max_size=4))
def test_a_header_says_what_automerge_says(first: dict[str, Any], then: dict[str, Any]) -> None:
    """Hash, dependencies, actor and number of operations are the same; the keys are those that were written."""
    one = create_change(first, slot=0, randomness=RANDOM)
    document = Document.load(one)
    theirs = document.get_changes([])[0]
    ours = read_change(one)
    assert (ours.hash, ours.deps, ours.actor) == (bytes(theirs.hash), (), bytes(theirs.actor_id))
    assert (ours.keys, ours.start_op, ours.ops) == (frozenset(first), 1, len(first))
    assert not ours.makes_text
    assert not ours.edits_text
    differing = {key for key, value in then.items() if key not in first or first[key] != value}
    if not differing:
        return
    two = amend_change([one], then, slot=0, randomness=RANDOM)
    change = read_change(two)
    both = Document.load(one + two)
    assert [bytes(head) for head in both.get_heads()] == [change.hash]
    assert change.deps == (ours.hash,)
    assert change.keys == differing
    assert (change.start_op, change.last_op) == (ours.last_op + 1, ours.last_op + len(differing))


@given(TEXT, TEXT)
def test_texts_are_told_from_keys(old: str, new: str) -> None:
    """Making a text writes its key; editing it writes none, and says that it edits."""
    one = create_change({"topic": "x"}, texts={"agreement": old}, slot=0, randomness=RANDOM)
    change = read_change(one)
    assert (change.keys, change.makes_text, change.edits_text) == (frozenset({"topic", "agreement"}), True, old != "")
    if old != new:
        before = change.last_op
        change = read_change(amend_change([one], {}, texts={"agreement": new}, slot=0, randomness=RANDOM))
        assert change.start_op == before + 1
        assert (change.keys, change.makes_text, change.edits_text) == (frozenset(), False, True)


def test_a_change_long_enough_to_be_deflated_reads_the_same() -> None:
    """Squeezed or not, the hash is that of the plain body."""
    one = create_change({"hard": "rain " * 1000}, slot=0, randomness=RANDOM)
    assert one[8] == 2
    assert read_change(one).hash == bytes(Document.load(one).get_heads()[0])


def test_a_change_made_by_hand_reads_as_meant() -> None:
    """The builder of these tests makes changes that are taken, so what is refused below is refused for its reason."""
    change = read_change(with_body(body_with(plain_columns())))
    assert (change.keys, change.ops) == (frozenset({"k"}), 1)


# What is refused


def keyed(kind: ObjType) -> Any:
    return lambda transaction: transaction.put_object(ROOT, "k", kind)


@pytest.mark.parametrize("kind", [ObjType.Map, ObjType.List])
def test_other_containers_are_refused(kind: ObjType) -> None:
    """Only texts: two who make the same container would lose one of them."""
    refused(made(keyed(kind))[0])


def test_increments_marks_and_unknown_actions_are_refused() -> None:
    """Every action but set, delete and make text."""
    for action in (0, 2, 5, 6, 7, 8, 100, 2**40):
        refused(with_body(body_with(plain_columns() | {0x42: b"\x01" + leb(action)})))
    for action in (1, 3, 4):
        read_change(with_body(body_with(plain_columns() | {0x42: b"\x01" + leb(action)})))


@pytest.mark.parametrize("value", [5, 7, 8, 9, 10, 15])
def test_other_values_are_refused(value: int) -> None:
    """Floats, bytes, counters (which make Automerge panic), timestamps and what nobody knows."""
    refused(with_body(body_with(plain_columns() | {0x56: b"\x01" + bytes([value])})))


def test_a_counter_in_a_real_change_is_refused() -> None:
    """The same number, told to be a counter."""
    change = create_change({"k": 5}, slot=0, randomness=RANDOM)
    read_change(change)
    refused(altered(change, b"\x14\x05", b"\x18\x05") if b"\x14\x05" in body_of(change) else altered(change, b"\x14", b"\x18"))


def test_an_actor_that_writes_twice_is_refused() -> None:
    """Its second change could be a fork of another second change; a short actor is refused too."""
    one, two = made(
        lambda t: t.put(ROOT, "a", ScalarType.Str, "1"),
        lambda t: t.put(ROOT, "a", ScalarType.Str, "2"),
    )
    read_change(one)
    refused(two)
    refused(made(lambda t: t.put(ROOT, "a", ScalarType.Str, "1"), actor=b"short")[0])
    refused(with_body(body_with(plain_columns(), actor=b"")))


def test_a_million_operations_in_a_hundred_bytes_are_refused() -> None:
    """The count is bounded before anything is built, whichever column claims it."""
    read_change(with_body(body_with(plain_columns(OPS_MAX))))
    refused(with_body(body_with(plain_columns(OPS_MAX + 1))))
    refused(with_body(body_with(plain_columns(1_000_000))))
    for column in (0x01, 0x02, 0x11, 0x13, 0x15, 0x42, 0x56, 0x70):
        for claim in (signed_leb(1_000_000) + b"\x01\x01", b"\0" + leb(1_000_000), signed_leb(-1_000_000) + b"\x01" * 40):
            refused(with_body(body_with(plain_columns() | {column: claim})))
    refused(with_body(body_with(plain_columns() | {0x34: leb(1_000_000)})))
    refused(with_body(body_with(plain_columns() | {0x70: b"\x01" + leb(1_000_000)})))
    refused(with_body(body_with({})))


def test_a_bomb_is_not_inflated() -> None:
    """Fifty megabytes in fifty kilobytes stop at one megabyte; so do bytes behind the end of what is squeezed."""

    def squeezed(body: bytes, *, more: bytes = b"") -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        small = packer.compress(body) + packer.flush() + more
        return b"\x85\x6f\x4a\x83" + with_body(body)[4:8] + b"\x02" + leb(len(small)) + small

    body = body_with(plain_columns())
    read_change(squeezed(body))
    refused(squeezed(body, more=b"x"))
    refused(squeezed(bytes(50_000_000)))
    long = body_with(plain_columns() | {0x57: bytes(BODY_BYTES_MAX)})
    refused(squeezed(long))


def test_sizes_and_counts_are_bounded() -> None:
    """Too long as a whole, too many dependencies, actors, columns, or columns that nobody knows or that come twice."""
    refused(with_body(body_with(plain_columns() | {0x57: bytes(CHANGE_BYTES_MAX)})))
    read_change(with_body(body_with(plain_columns(), deps=64)))
    refused(with_body(body_with(plain_columns(), deps=65)))
    refused(with_body(body_with(plain_columns() | {0x20: b""})))
    refused(with_body(body_with(plain_columns() | {0x42 | 8: b""})))
    refused(with_body(body_with(plain_columns()) + b"x"))
    refused(with_body(b""))
    refused(with_body(body_with(plain_columns() | {0x15: b"\x01\x01\xff"})))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_change_or_refused(data: bytes) -> None:
    """Nothing but ChangeRejected, as they are and as a body with the right checksum."""
    for candidate in (data, b"\x85\x6f\x4a\x83" + data, with_body(data)):
        refused(candidate)


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    """The checksum covers it all; of what is squeezed, a flip can at most spell the same body otherwise."""
    for change in (
        create_change({"hard": "rain", "later": "x"}, slot=0, randomness=RANDOM),
        create_change({"hard": "rain " * 100}, slot=0, randomness=RANDOM),
    ):
        original = read_change(change)
        for size in range(len(change)):
            refused(change[:size])
        for at, bit in itertools.product(range(len(change)), (0, 3, 7)):
            flipped = change[:at] + bytes([change[at] ^ (1 << bit)]) + change[at + 1 :]
            try:
                assert read_change(flipped) == original
                assert change[8] == 2, "plain bytes have one spelling"
            except ChangeRejected:
                pass
        refused(change + b"\0")


def test_altered_bodies_with_right_checksums_read_or_are_refused() -> None:
    """Whatever stands in a body, reading it raises nothing but ChangeRejected, and takes no time."""
    chance = random.Random(7)
    body = body_of(create_change({"hard": "rain", "k": 5, "x": True}, slot=0, randomness=RANDOM))
    for _ in range(3000):
        mutant = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        try:
            change = read_change(with_body(bytes(mutant)))
        except ChangeRejected:
            continue
        assert 0 < change.ops <= OPS_MAX


FUZZ = """
    import random, resource, sys
    sys.path.insert(0, {tests!r})
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from forging import body_of, with_body
    from bide.crdt.change import read_change
    from bide.crdt.document import EntryDocument, amend_change, create_change
    from bide.errors import ChangeRejected
    from bide.ids import SystemRandomness
    chance, source = random.Random({seed}), SystemRandomness()
    first = create_change({{"topic": "dishes", "calm": True}}, texts={{"agreement": "we"}}, slot=0, randomness=source)
    second = amend_change([first], {{"tell.1.felt": "tired"}}, texts={{"agreement": "we wash"}}, slot=0, randomness=source)
    read = loaded = 0
    for _ in range({rounds}):
        body = bytearray(body_of(second))
        for _ in range(chance.randint(1, 3)):
            body[chance.randrange(34, len(body))] = chance.choice([0, 1, 2, 127, 128, 255, chance.randrange(256)])
        mutant = with_body(bytes(body))
        try:
            header = read_change(mutant)
            read += 1
            document = EntryDocument([first, mutant])
            document.fields()
            document.fields_at(header.hash)
            document.alternatives([read_change(first), header])
            loaded += 1
            amend_change([first, mutant], {{"settle.0": True}}, texts={{"agreement": "both"}}, slot=0, randomness=source)
        except ChangeRejected:
            pass
    print(read, loaded)
"""


def test_mutants_that_pass_never_take_the_process_with_them() -> None:
    """Hundreds of altered changes are read, loaded and amended in a process of its own: it ends as it should."""
    tests = str(__import__("pathlib").Path(__file__).parents[2])
    script = textwrap.dedent(FUZZ).format(tests=tests, seed=11, rounds=600)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read, loaded = map(int, done.stdout.split())
    assert 0 < loaded < read < 600
