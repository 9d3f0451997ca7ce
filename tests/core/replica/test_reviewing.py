"""What a look back reads from a replica: the right days, however large the history and whoever folded."""

from __future__ import annotations

import pytest

from bide.errors import InputError, NotFound
from bide.replica import Replica
from bide.replica.views import reviewing
from bide.testing import FakeClock
from bide.testing_replicas import exchange, new_replica, pair_up

DAY_MS = 86_400_000


@pytest.fixture
def clock() -> FakeClock:
    """One clock for both."""
    return FakeClock(tick_ms=1)


@pytest.fixture
def pair(clock: FakeClock) -> tuple[Replica, Replica]:
    """Sam and Robin."""
    sam, robin = new_replica("Sam", clock=clock), new_replica("Robin", clock=clock)
    pair_up(sam, robin)
    exchange(sam, robin)
    return sam, robin


def settle(sam: Replica, robin: Replica, talk: str, *, clock: FakeClock) -> None:
    """Take a conversation to its end, a day later."""
    steps: tuple[tuple[Replica, str, dict[str, str]], ...] = (
        (sam, "tell", {"own_part": "x", "felt": "y"}),
        (robin, "hear", {"mirrored": "z"}),
        (sam, "answer", {"verdict": "heard"}),
        (robin, "reconnect", {"gesture": "tea"}),
        (sam, "agree", {"agreement": "in turns"}),
        (sam, "settle", {}),
        (robin, "settle", {}),
    )
    for who, step, values in steps:
        if step == "settle":
            clock.advance(DAY_MS)
        who.repair_step(talk, step, values)
        exchange(sam, robin)


def test_a_talk_that_began_before_the_period_counts_when_it_was_settled(
    pair: tuple[Replica, Replica], clock: FakeClock
) -> None:
    """Under the day of the second who settled it, on both devices alike."""
    sam, robin = pair
    talk = sam.invite_to_repair({"topic": "the dishes"}).id
    exchange(sam, robin)
    clock.advance(30 * DAY_MS)
    settle(sam, robin, talk, clock=clock)
    today = sam.review(weeks=1)["until"]
    for replica in pair:
        (found,) = replica.review(weeks=1)["talks"]
        assert (found["day"], found["topics"], found["agreement"]) == (today, ["the dishes"], "in turns")


def test_two_invitations_that_crossed_are_one_talk(pair: tuple[Replica, Replica], clock: FakeClock) -> None:
    """With both topics, and no word about whose is which."""
    sam, robin = pair
    talk = sam.invite_to_repair({"topic": "the dishes"}).id
    robin.invite_to_repair({"topic": "the sink"})
    exchange(sam, robin)
    settle(sam, robin, talk, clock=clock)
    (found,) = sam.review()["talks"]
    assert sorted(found["topics"]) == ["the dishes", "the sink"]
    assert [item["code"] for item in robin.review()["talks"]] == [found["code"]]


def test_a_question_counts_on_the_day_of_the_second_answer(pair: tuple[Replica, Replica], clock: FakeClock) -> None:
    """Each sees only the own answer."""
    sam, robin = pair
    asked = sam.write("question", {"question": "What then?"}).id
    sam.reply("answer", asked, {"answer": "mine"})
    exchange(sam, robin)
    assert sam.review()["questions"] == robin.review()["questions"] == []
    clock.advance(20 * DAY_MS)
    robin.reply("answer", asked, {"answer": "theirs"})
    exchange(sam, robin)
    today = sam.review(weeks=1)["until"]
    for replica, answer in ((sam, "mine"), (robin, "theirs")):
        (found,) = replica.review(weeks=1)["questions"]
        assert (found["day"], found["answer"]) == (today, answer)


def test_what_was_released_is_there_once(pair: tuple[Replica, Replica], clock: FakeClock) -> None:
    """Under the day on which it was written; whoever it was released to has nothing of it in their own look back."""
    sam, robin = pair
    written = sam.write("checkin", {"hard": "x", "feelings": ["sad"]}, private=True)
    day = sam.show(written.id)["day"]
    clock.advance(9 * DAY_MS)
    sam.release(written.id)
    exchange(sam, robin)
    data = sam.review()
    assert [(item["day"], item["visibility"]) for item in data["hard"]] == [(day, "shared")]
    assert [item["times"] for item in data["feelings"]["words"]] == [1]
    assert robin.review()["hard"] == []


def test_a_large_history_is_read_as_far_as_needed(
    pair: tuple[Replica, Replica], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portions from the newest backwards: the same entries, wherever one portion ends."""
    sam, _robin = pair
    for number in range(40):
        clock.advance(DAY_MS)
        sam.write("checkin", {"hard": f"number {number}"}, private=number % 2 == 0)
        sam.write("activity", {"what": f"dance {number}"})
    whole = sam.review(weeks=3)
    assert 15 <= len(whole["hard"]) <= 21
    assert len(whole["together"]) == len(whole["hard"])
    for portion in (1, 2, 7, 39, 40, 41):
        monkeypatch.setattr(reviewing, "_PORTION", portion)
        monkeypatch.setattr(reviewing, "_PORTION_OF_FACTS", portion)
        assert sam.review(weeks=3) == whole


def test_a_feeling_belongs_to_its_core_in_every_language(pair: tuple[Replica, Replica]) -> None:
    """Words of one's own too."""
    sam, _robin = pair
    sam.write("feeling", {"feelings": ["tired", "glad/sunny"]})
    cores = sam.review(language="de")["feelings"]["cores"]
    assert [core["core"] for core in cores] == ["glad", "worn"]
    assert {item["word"] for item in sam.review()["feelings"]["words"]} == {"tired", "sunny"}


def test_bad_questions_are_refused(pair: tuple[Replica, Replica]) -> None:
    """No weeks, and nobody of that name."""
    sam, _robin = pair
    with pytest.raises(InputError):
        sam.review(weeks=0)
    with pytest.raises(NotFound):
        sam.review(with_="Nobody")
