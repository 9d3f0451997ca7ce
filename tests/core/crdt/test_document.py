"""One document per entry: what was written is read, edits merge, and of two edits of one thing neither is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crdt.change import read_change
from bide.crdt.document import EntryDocument, NothingChanged, amend_change, create_change
from bide.errors import ChangeRejected
from bide.ids import SystemRandomness

RANDOM = SystemRandomness()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
FIELDS = st.dictionaries(st.sampled_from("abcde"), st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1)), min_size=1)


def create(fields: dict[str, Any], **texts: str) -> bytes:
    return create_change(fields, texts=texts, slot=0, randomness=RANDOM)


def amend(changes: list[bytes], fields: dict[str, Any], **texts: str) -> bytes:
    return amend_change(changes, fields, texts=texts, slot=0, randomness=RANDOM)


def alternatives(*changes: bytes) -> dict[str, list[Any]]:
    return EntryDocument(changes).alternatives([read_change(change) for change in changes])


def typed(fields: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    return {key: (type(value), value) for key, value in fields.items()}


@given(FIELDS, FIELDS)
def test_what_was_written_is_read(first: dict[str, Any], then: dict[str, Any]) -> None:
    """Strings, booleans and integers come back as what they were; an amendment replaces; the past stays readable."""
    one = create(first)
    assert typed(EntryDocument([one]).fields()) == typed(first)
    if all(typed(first).get(key) == value for key, value in typed(then).items()):
        with pytest.raises(NothingChanged):
            amend([one], then)
        return
    try:
        two = amend([one], then)
    except NothingChanged:  # 1 and True are equal to Python
        return
    document = EntryDocument([one, two])
    assert document.fields() == first | then
    assert typed(document.fields_at(read_change(one).hash)) == typed(first)


@given(TEXT, TEXT)
def test_a_text_becomes_what_it_was_edited_to(old: str, new: str) -> None:
    """Any text into any other."""
    one = create({"x": True}, agreement=old)
    assert EntryDocument([one]).fields() == {"x": True, "agreement": old}
    if old == new:
        return
    two = amend([one], {}, agreement=new)
    assert EntryDocument([one, two]).fields()["agreement"] == new


def test_edits_of_one_text_merge() -> None:
    """Two who edit different parts at the same time both find their part in it."""
    one = create({}, agreement="We wash the dishes.")
    sam = amend([one], {}, agreement="We wash the dishes together.")
    robin = amend([one], {}, agreement="On Sundays, We wash the dishes.")
    for order in ([one, sam, robin], [one, robin, sam]):
        assert EntryDocument(order).fields()["agreement"] == "On Sundays, We wash the dishes together."


def test_the_order_of_loading_does_not_matter() -> None:
    """Every order in which each change comes after what it builds on makes the same document."""
    one = create({"a": "1", "b": "1"}, agreement="tea")
    left = amend([one], {"a": "left"}, agreement="green tea")
    right = amend([one], {"a": "right", "b": "2"}, agreement="tea, please")
    last = amend([one, left], {"b": "3"})
    documents = [
        EntryDocument([one, *order])
        for order in itertools.permutations([left, right, last])
        if order.index(left) < order.index(last)
    ]
    assert len(documents) == 3
    assert len({(tuple(d.heads), tuple(sorted(d.fields().items()))) for d in documents}) == 1


def test_two_edits_of_one_field_are_both_shown() -> None:
    """One wins on every device, and the other is told as an alternative; a later edit that knew both ends it."""
    one = create({"noticed": "you"})
    left, right = amend([one], {"noticed": "you, left"}), amend([one], {"noticed": "you, right"})
    winner = EntryDocument([one, left, right]).fields()["noticed"]
    [loser] = {"you, left", "you, right"} - {winner}
    assert alternatives(one, left, right) == alternatives(one, right, left) == {"noticed": [loser]}
    after = amend([one, left, right], {"noticed": "you, both"})
    assert alternatives(one, left, right, after) == {}
    assert EntryDocument([one, left, right, after]).fields()["noticed"] == "you, both"


def test_three_edits_of_one_field_leave_two_alternatives() -> None:
    """However many there are, and whichever wins."""
    one = create({"noticed": "0"})
    edits = [amend([one], {"noticed": text}) for text in "123"]
    winner = EntryDocument([one, *edits]).fields()["noticed"]
    assert alternatives(one, *edits) == {"noticed": sorted({"1", "2", "3"} - {str(winner)})}


def test_without_a_conflict_there_are_no_alternatives() -> None:
    """Not for one after the other, not for different fields, not for the same words, not for a text."""
    one = create({"a": "1", "b": "1"}, agreement="tea")
    two = amend([one], {"a": "2"})
    three = amend([one, two], {"a": "3"})
    assert alternatives(one, two, three) == {}
    assert alternatives(one, two, amend([one], {"b": "2"})) == {}
    assert alternatives(one, two, amend([one], {"a": "2"})) == {}
    assert alternatives(one, amend([one], {}, agreement="teas"), amend([one], {}, agreement="tee")) == {}


def test_an_older_edit_beside_a_newer_one_is_an_alternative() -> None:
    """What was not known to the last edit counts as concurrent, however long ago it was."""
    one = create({"a": "0"})
    chain = [one]
    for number in range(1, 6):
        chain.append(amend(chain, {"a": str(number)}))
    late = amend([one], {"a": "from the other device"})
    assert EntryDocument([*chain, late]).fields()["a"] == "5"
    assert alternatives(*chain, late) == {"a": ["from the other device"]}


def test_what_does_not_belong_together_is_refused() -> None:
    """A missing dependency, a broken change, a text that is none: always ChangeRejected."""
    one = create({"a": "1"})
    two = amend([one], {"a": "2"})
    for changes in ([two], [one, two[:-1]], [b"nonsense"], [one, b"\0" * 60]):
        with pytest.raises(ChangeRejected):
            EntryDocument(changes)
        with pytest.raises(ChangeRejected):
            amend(changes, {"a": "9"})
    with pytest.raises(ChangeRejected):
        amend([one], {}, a="a string is no text")
    with pytest.raises(ChangeRejected):
        amend([one], {}, missing="no such text")
