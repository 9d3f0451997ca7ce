"""One document per entry: what was written is read, edits merge, and of two edits of one thing neither is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crdt.change import read_change
from bide.crdt.document import VERSIONS_MAX, Cowritten, EntryDocument, NothingChanged, amend_change, create_change
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


def cowritten(*changes: bytes, slots: tuple[int, ...]) -> Cowritten:
    """The agreement of a document, of which every change but the first edited it."""
    headers = [read_change(change) for change in changes]
    writers = {header.hash: slot for header, slot in zip(headers[1:], slots, strict=True)}
    return EntryDocument(changes).cowritten("agreement", headers, writers)


def test_edits_of_one_word_keep_each_version_until_somebody_chooses() -> None:
    """Both whole versions, person by person, whatever arrived first; an edit by who had both leaves only itself."""
    one = create({}, agreement="We wash the dishes.")
    sam = amend([one], {}, agreement="We dry the dishes.")
    robin = amend([one], {}, agreement="We clean the dishes.")
    both = ("We dry the dishes.", "We clean the dishes.")
    assert cowritten(one, sam, robin, slots=(0, 1)) == ("We dry / clean the dishes.", both)
    assert cowritten(one, robin, sam, slots=(1, 0)) == ("We dry / clean the dishes.", both)
    for chosen in (*both, "We dry / clean the dishes.", "Neither."):
        last = amend_change(
            [one, sam, robin], {}, texts={"agreement": chosen}, confirm=["agreement"], slot=1, randomness=RANDOM
        )
        assert cowritten(one, sam, robin, last, slots=(0, 1, 1)) == (chosen, ())


def test_a_chain_of_edits_is_one_version() -> None:
    """What one person wrote over and over counts as they left it; what they took back doesn't clash."""
    one = create({}, agreement="We wash the dishes.")
    first = amend([one], {}, agreement="We dry the dishes.")
    second = amend([one, first], {}, agreement="We wash the dishes soon.")
    other = amend([one], {}, agreement="We clean the dishes.")
    assert cowritten(one, first, second, other, slots=(0, 0, 1)) == ("We clean the dishes soon.", ())


def test_one_person_can_not_drown_out_the_other() -> None:
    """Of a hundred versions of one person a few are looked at, and the other's is among those shown."""
    one = create({}, agreement="tea")
    flood = [amend([one], {}, agreement=f"x{number}") for number in range(100)]
    other = amend([one], {}, agreement="coffee")
    found = cowritten(one, *flood, other, slots=(*([0] * 100), 1))
    assert len(found.versions) == VERSIONS_MAX + 1
    assert found.versions[-1] == "coffee"
    assert "coffee" in found.text


@given(st.one_of(st.booleans(), st.integers(-5, 5), st.text("ab ", max_size=3)))
def test_the_same_can_be_said_again(value: Any) -> None:
    """Only where that is asked for: then it is a change that knows of what came before."""
    one = create({"a": value})
    with pytest.raises(NothingChanged):
        amend([one], {"a": value})
    two = amend_change([one], {"a": value}, confirm=["a"], slot=0, randomness=RANDOM)
    assert read_change(two).deps == (read_change(one).hash,)
    assert read_change(two).keys == {"a"}
    assert typed(EntryDocument([one, two]).fields()) == typed({"a": value})


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
