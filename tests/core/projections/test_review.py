"""A look back: which days, which words and which facts are in it, and what never is."""

from __future__ import annotations

import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.errors import InputError
from bide.projections.review import WEEKS_MAX, WORDS_MAX, Step, period_until, review

TODAY = "2026-11-22"
CORES = {"glad": "glad", "light": "glad", "worn": "worn", "tired": "worn", "glad/sunny": "glad"}


def entry(kind: str, fields: dict[str, Any], *, day: str = TODAY, me: bool = True, **more: Any) -> dict[str, Any]:
    """An entry as the timeline gives it."""
    return {
        "id": f"{kind}-{day}-{me}-{len(str(fields))}",
        "code": "xx-000000",
        "kind": kind,
        "by": {"name": "Sam" if me else "Robin", "me": me},
        "day": day,
        "visibility": "shared",
        "shared_with": ["Robin"],
        "fields": fields,
        "replies": [],
        "alternatives": {},
        "hidden": False,
        "retracted": False,
        "released_to": "",
        "written_on": "",
        "later": False,
    } | more


def look(*entries: dict[str, Any], weeks: int = 12, **options: Any) -> dict[str, Any]:
    """The review of these entries."""
    came_on = options.pop("came_on", {})
    return review(entries, period_until(TODAY, weeks), core_of=lambda stored: CORES.get(stored, ""), came_on=came_on, **options)


def answered(*who: bool, day: str = TODAY, **more: Any) -> list[dict[str, Any]]:
    """Answers by me (True) and by the other (False)."""
    return [entry("answer", {"answer": f"by {'me' if me else 'them'}"}, me=me, day=day, **more) for me in who]


@given(st.dates(datetime.date(1, 1, 1), datetime.date(9998, 12, 31)), st.integers(1, WEEKS_MAX))
def test_a_period_is_whole_and_has_few_columns(today: datetime.date, weeks: int) -> None:
    """Its parts follow each other without a gap, from a Monday to today, and a picture has room for all of them."""
    period = period_until(today.isoformat(), weeks)
    days = [(datetime.date.fromisoformat(span.first), datetime.date.fromisoformat(span.last)) for span in period.spans]
    assert all(first <= last for first, last in days)
    assert all(after[0] - before[1] == datetime.timedelta(1) for before, after in pairwise(days))
    assert period.last == today.isoformat()
    assert days[0][0].weekday() == 0
    assert len(days) <= 32
    assert period.span_of(period.first) == 0
    assert period.span_of(period.last) == len(days) - 1
    if days[0][0].year > 1:
        assert (days[-1][1] - days[0][0]).days // 7 == weeks - 1


@pytest.mark.parametrize(
    ("weeks", "step"), [(1, Step.WEEK), (26, Step.WEEK), (27, Step.MONTH), (131, Step.QUARTER), (520, Step.YEAR)]
)
def test_a_longer_time_has_longer_columns(weeks: int, step: Step) -> None:
    """Weeks, then months, then quarters, then years."""
    assert period_until(TODAY, weeks).step is step


@pytest.mark.parametrize("weeks", [0, -1, WEEKS_MAX + 1])
def test_a_number_of_weeks_that_makes_no_sense_is_refused(weeks: int) -> None:
    """With a sentence, not with a traceback."""
    with pytest.raises(InputError):
        period_until(TODAY, weeks)


def test_feelings_are_counted_by_week_and_by_day_of_the_week() -> None:
    """By their cores; a word that belongs to none is counted as a word alone."""
    data = look(
        entry("feeling", {"feelings": ["glad", "tired"]}, day="2026-11-22"),
        entry("checkin", {"feelings": ["glad/sunny"]}, day="2026-11-16"),
        entry("share", {"feelings": ["light"], "text": "x"}, day="2026-11-15"),
        entry("reflection", {"feelings": ["glad", "mellow"], "text": "x"}, day="2026-08-31"),
        weeks=12,
    )
    glad, worn = data["feelings"]["cores"]
    assert (glad["core"], worn["core"]) == ("glad", "worn")
    assert glad["by_span"] == [1, *[0] * 9, 1, 2]
    assert worn["by_span"] == [*[0] * 11, 1]
    assert glad["by_weekday"] == [2, 0, 0, 0, 0, 0, 2]
    words = {item["word"]: (item["times"], item["core"]) for item in data["feelings"]["words"]}
    assert words == {"glad": (2, "glad"), "tired": (1, "worn"), "sunny": (1, "glad"), "light": (1, "glad"), "mellow": (1, "")}


def test_the_words_chosen_most_stand_first_and_are_few() -> None:
    """Equal ones by the alphabet, so that the picture is the same on every device."""
    chosen = [entry("feeling", {"feelings": [f"word {number:02}"]}) for number in range(30)]
    words = look(*chosen, entry("feeling", {"feelings": ["zest"]}), entry("feeling", {"feelings": ["zest"]}))["feelings"][
        "words"
    ]
    assert len(words) == WORDS_MAX
    assert [item["word"] for item in words[:3]] == ["zest", "word 00", "word 01"]


def test_my_own_words_stand_under_their_days() -> None:
    """What was good, what was hard, what I noticed: mine, oldest first, and without what was to be organised."""
    data = look(
        entry("checkin", {"went_well": "late", "later": ["milk"], "worry": "money"}, day="2026-11-20"),
        entry("checkin", {"proud": "early", "hard": "rain"}, day="2026-11-01"),
        entry("checkin", {"later": ["bread"]}, day="2026-11-02"),
        entry("appreciation", {"noticed": "the soup", "shows": "care"}),
        entry("checkin", {"went_well": "too early"}, day="2026-08-30"),
        entry("checkin", {"went_well": "not yet"}, day="2026-11-23"),
    )
    assert [item["fields"] for item in data["good"]] == [{"proud": "early"}, {"went_well": "late"}]
    assert [item["fields"] for item in data["hard"]] == [{"hard": "rain"}, {"worry": "money"}]
    assert [item["fields"] for item in data["noticed"]] == [{"noticed": "the soup", "shows": "care"}]
    assert "milk" not in str(data)
    assert "bread" not in str(data)


def test_nothing_of_what_the_other_wrote_is_in_it() -> None:
    """Beyond the facts: what was done, what was agreed, what was asked."""
    settled = {
        "topics": [{"by": {}, "topic": "the dishes"}, {"by": {}, "topic": "the dishes"}],
        "tells": [{"felt": "SECRET"}],
        "agreement": "in turns",
    }
    data = look(
        entry("checkin", {"went_well": "SECRET", "feelings": ["glad"]}, me=False),
        entry("appreciation", {"noticed": "SECRET"}, me=False),
        entry("activity", {"what": "the night market", "memory": "SECRET", "idea": "mine"}, me=False),
        entry("question", {"question": "What then?"}, me=False, replies=answered(True, False)),
        entry("repair", settled, state="settled", me=False),
        entry("keepsake", {"text": "x", "feelings": ["glad"], "by_name": "Robin"}),
    )
    assert "SECRET" not in str(data)
    assert "by them" not in str(data)
    assert data["feelings"] == {"cores": [], "words": []}
    (done,), (talk,), (question,) = data["together"], data["talks"], data["questions"]
    assert (done["what"], done["memory"]) == ("the night market", "")
    assert "idea" not in done
    assert (talk["topics"], talk["agreement"]) == (["the dishes"], "in turns")
    assert (question["question"], question["answer"]) == ("What then?", "by me")
    assert "Robin" not in str({**data, "together": [], "talks": [], "questions": []})


@pytest.mark.parametrize("change", [{"retracted": True}, {"released_to": "another"}, {"hidden": True}])
def test_what_was_taken_back_or_went_on_is_in_no_statistic(change: dict[str, Any]) -> None:
    """An entry that was released counts where it went on to."""
    data = look(
        entry("checkin", {"went_well": "x", "feelings": ["glad"]}, **change), entry("activity", {"what": "y"}, **change)
    )
    assert not data["good"]
    assert not data["together"]
    assert not data["feelings"]["words"]


@pytest.mark.parametrize("state", ["invited", "open", "told", "heard", "reconnecting", "later", "resting", "withdrawn"])
def test_a_talk_that_is_not_settled_is_not_in_it(state: str) -> None:
    """Nobody reads what is still open, was put off or was withdrawn as something missing."""
    fields = {"topics": [{"topic": "x"}], "agreement": "y"}
    assert look(entry("repair", fields, state=state))["talks"] == []


@pytest.mark.parametrize(
    "replies",
    [
        [],
        answered(True),
        answered(False),
        [*answered(True), *answered(False, retracted=True)],
        [*answered(True), entry("answer", {}, me=False, hidden=True)],
    ],
)
def test_a_question_counts_once_both_have_answered(replies: list[dict[str, Any]]) -> None:
    """An answer of one alone is not shown, and neither is its absence."""
    assert look(entry("question", {"question": "x"}, replies=replies))["questions"] == []


def test_later_changes_nothing() -> None:
    """That the other said "not now" is no fact about an entry of mine."""
    one = entry("checkin", {"hard": "x", "feelings": ["worn"]})
    assert look(one) == look(one | {"later": True})


def test_what_was_released_stands_where_it_was_written() -> None:
    """It is about the day of its words, not about the day of their release."""
    released = entry("checkin", {"hard": "x"}, written_on="2026-10-01")
    assert [item["day"] for item in look(released)["hard"]] == ["2026-10-01"]
    assert look(released | {"written_on": "2026-01-01"})["hard"] == []


def test_a_talk_stands_under_the_day_it_was_settled() -> None:
    """It may have begun long before the period."""
    old = entry("repair", {"topics": [], "agreement": "y"}, state="settled", day="2026-07-01")
    assert look(old)["talks"] == []
    assert [item["day"] for item in look(old, came_on={old["id"]: "2026-11-01"})["talks"]] == ["2026-11-01"]


def test_private_entries_are_in_it_unless_they_are_left_out() -> None:
    """And the data says whether any are."""
    own = entry("checkin", {"hard": "mine", "feelings": ["worn"]}, visibility="private", shared_with=[])
    shared = entry("checkin", {"hard": "ours"})
    both, less = look(own, shared), look(own, shared, shared_only=True)
    assert ([item["fields"]["hard"] for item in both["hard"]], both["holds_private"]) == (["mine", "ours"], True)
    assert ([item["fields"]["hard"] for item in less["hard"]], less["holds_private"]) == (["ours"], False)
    assert less["feelings"]["words"] == []


def test_an_empty_time_is_fine() -> None:
    """All members are there, with nothing in them."""
    data = look()
    assert not any(data[key] for key in ("good", "hard", "noticed", "together", "talks", "questions"))
    assert data["feelings"] == {"cores": [], "words": []}
    assert len(data["spans"]) == 12
