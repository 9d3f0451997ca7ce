"""Control statements: round trips, and nothing but `MembershipRejected` for anything else."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.errors import MembershipRejected
from bide.log.control import (
    DeviceAdded,
    DeviceRecord,
    Grant,
    PersonJoined,
    SpaceCreated,
    UnknownControl,
    read_control,
    write_control,
)
from bide.log.packing import pack

B32 = st.binary(min_size=32, max_size=32)
RECORDS = st.builds(DeviceRecord, B32, B32, st.binary(min_size=64, max_size=64))
GRANTS = st.builds(Grant, st.binary(min_size=16, max_size=16), B32, st.binary(min_size=48, max_size=512))
PARENTS = st.lists(B32, max_size=5)
CREATED = st.builds(
    SpaceCreated,
    st.just("space.created"),
    st.just(1),
    st.just([]),
    st.sampled_from(["own", "pair"]),
    st.binary(min_size=16, max_size=16),
    RECORDS,
    st.lists(GRANTS, min_size=1, max_size=4),
)
JOINED = st.builds(
    PersonJoined, st.just("person.joined"), st.just(1), PARENTS, RECORDS, st.lists(GRANTS, min_size=1, max_size=4)
)
ADDED = st.builds(DeviceAdded, st.just("device.added"), st.just(1), PARENTS, RECORDS, st.lists(GRANTS, max_size=4))

RECORD: list[Any] = [bytes(32), bytes(32), bytes(64)]
GRANT: list[Any] = [bytes(16), bytes(32), bytes(48)]
CREATE: list[Any] = ["space.created", 1, [], "pair", bytes(16), RECORD, [GRANT]]
JOIN: list[Any] = ["person.joined", 1, [], RECORD, [GRANT]]

BAD: dict[str, Any] = {
    "no array": "space.created",
    "an empty array": [],
    "too few fields": ["space.created", 1],
    "no name": ["", 1, []],
    "a name of bytes": [b"space.created", 1, []],
    "version zero": ["space.created", 0, []],
    "a version that is a flag": ["space.created", True, []],
    "parents of a genesis": [*CREATE[:2], [bytes(32)], *CREATE[3:]],
    "short parents": ["person.joined", 1, [bytes(31)], RECORD, [GRANT]],
    "too many parents": ["person.joined", 1, [bytes(32)] * 65, RECORD, [GRANT]],
    "parents of an unknown statement that are none": ["x.y", 1, [1]],
    "parents of an unknown statement that are no array": ["x.y", 1, "abc"],
    "an unknown kind of space": [*CREATE[:3], "trio", *CREATE[4:]],
    "a short salt": [*CREATE[:4], bytes(15), *CREATE[5:]],
    "a field too many": [*JOIN, 1],
    "a field too few": JOIN[:-1],
    "no grant for the one who joins": ["person.joined", 1, [], RECORD, []],
    "a short key": ["person.joined", 1, [], [bytes(31), bytes(32), bytes(64)], [GRANT]],
    "a key of text": ["person.joined", 1, [], ["a" * 32, bytes(32), bytes(64)], [GRANT]],
    "a short box": ["person.joined", 1, [], RECORD, [[bytes(16), bytes(32), bytes(47)]]],
    "a long box": ["person.joined", 1, [], RECORD, [[bytes(16), bytes(32), bytes(513)]]],
    "too many grants": ["person.joined", 1, [], RECORD, [GRANT] * 257],
    "a record as a map": [
        "person.joined", 1, [], {"signing_key": bytes(32), "sealing_key": bytes(32), "proof": bytes(64)}, [GRANT],
    ],
}  # fmt: skip


@given(st.one_of(CREATED, JOINED, ADDED))
def test_what_is_written_is_read(statement: SpaceCreated | PersonJoined | DeviceAdded) -> None:
    assert read_control(write_control(statement)) == statement


@given(st.binary(max_size=300))
def test_any_bytes_are_a_statement_or_refused(data: bytes) -> None:
    with contextlib.suppress(MembershipRejected):
        read_control(data)


@given(
    st.sampled_from(["space.created", "person.joined", "device.added", "other"]),
    st.integers(0, 3),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(0, 99), st.binary(max_size=40), st.text("ab", max_size=5)),
        lambda inner: st.lists(inner, max_size=5),
    ),
)
def test_any_fields_are_a_statement_or_refused(name: str, version: int, rest: Any) -> None:
    with contextlib.suppress(MembershipRejected):
        read_control(pack([name, version, *(rest if isinstance(rest, list) else [rest])]))


@pytest.mark.parametrize("name", BAD)
def test_a_statement_that_can_never_be_valid_is_refused(name: str) -> None:
    with pytest.raises(MembershipRejected):
        read_control(pack(BAD[name]))


def test_a_statement_of_a_newer_version_is_kept_and_not_understood() -> None:
    parents = [b"\x01" * 32]
    assert read_control(pack(["relay.sung_to", 1, parents, "more"])) == UnknownControl("relay.sung_to", 1, parents)
    assert read_control(pack(["space.created", 2, parents])) == UnknownControl("space.created", 2, parents)
