"""Questions and answers, from one person to the other and back: drawing, asking, answering, opening, and leaving no trace."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bide.words import deck
from bide_cli.prompting.questions import Card, in_turn, sets_for
from bide_cli.terminal.shell import Shell

SETS = ("questions-1", "questions-2", "questions-3")


def end(child: Any) -> int:
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def exchange(*people: Any) -> None:
    for person in (*people, *people):
        person.ok("sync")


def questions(person: Any) -> list[dict[str, Any]]:
    return list(person.entries("--kind", "question"))


def answers(person: Any, code: str) -> list[dict[str, Any]]:
    replies = person.json("show", code)["entry"]["replies"]
    return [reply for reply in replies if reply["kind"] == "answer"]


def test_answers_open_once_both_have_answered(couple: Any) -> None:
    """The way through: asked by one, answered by both, closed until then and open afterwards."""
    sam, robin = couple
    asked = sam.json("ask", "--question", "What are you carrying just now?")
    assert asked["schema"] == "bide.ask/1"
    assert asked["reveal"] == "both"
    code = asked["code"]
    answered = sam.json("answer", code, "--answer", "-", stdin="The move.\n")
    assert (answered["about"], answered["open"]) == (asked["id"], False)
    exchange(sam, robin)
    assert [(a["hidden"], a["fields"]) for a in answers(robin, code)] == [(True, {})]
    assert code in [each["code"] for each in robin.json("answer")["questions"]]
    answered = robin.json("answer", code, "--from-json", "-", stdin='{"answer": "My mother."}')
    assert answered["open"] is True
    exchange(robin, sam)
    for person in couple:
        assert {a["fields"]["answer"] for a in answers(person, code)} == {"The move.", "My mother."}
        assert code not in [each["code"] for each in person.json("answer")["questions"]]


def test_an_answer_that_opens_at_once_can_be_read_before(couple: Any) -> None:
    """The words say which it is."""
    sam, robin = couple
    asked = sam.json("ask", "--question", "Tea or coffee?", "--reveal", "at-once", "--answer", "Tea.")
    assert (asked["reveal"], asked["answer"]["kind"]) == ("at_once", "answer")
    exchange(sam, robin)
    assert [a["fields"] for a in answers(robin, asked["code"])] == [{"answer": "Tea."}]
    assert "as soon as it arrives" in robin.ok("answer", asked["code"], "--answer", "Coffee.").err


def test_a_second_answer_of_one_person_is_an_edit(couple: Any) -> None:
    """Exit 8, with the command that does it; and that command works."""
    _, robin = couple
    code = robin.json("ask", "--question", "Sea or hills?", "--answer", "Hills.")["code"]
    again = robin.run("answer", code, "--answer", "Sea.")
    assert again.code == 8
    edit = next(line for line in again.err.splitlines() if "bide edit an-" in line).split("bide edit ")[1].split()[0]
    robin.ok("edit", edit, "--from-json", "-", stdin='{"answer": "Both."}')
    assert answers(robin, code)[0]["fields"]["answer"] == "Both."


def test_what_can_not_be_answered_says_so(couple: Any, tmp_path: Path) -> None:
    """No question, nothing there, an empty answer, none at all: a sentence each, and nothing is written."""
    sam, _ = couple
    thanks = sam.json("thank", "--noticed", "You waited for me.")["code"]
    assert sam.run("answer", thanks, "--answer", "x").code == 8
    assert sam.run("answer", "qu-ZZZZZZ", "--answer", "x").code == 4
    code = sam.json("ask", "--question", "And now?")["code"]
    assert sam.run("answer", code, "--answer", "  ").code == 2
    assert sam.run("answer", code).code == 2
    assert sam.run("answer", code, "--from-json", "-", stdin='{"answer": 5}').code == 2
    assert answers(sam, code) == []


def test_a_bad_answer_leaves_no_question_behind(couple: Any) -> None:
    """Both are checked before either is written."""
    sam, _ = couple
    before = len(questions(sam))
    assert sam.run("ask", "--from-json", "-", stdin=json.dumps({"question": "Why?", "answer": 5})).code == 2
    assert sam.run("ask", "--question", "Why?", "--answer", "x" * 10_001).code == 2
    assert sam.run("ask", "--question", "Why?", "--reveal", "never").code == 2
    assert sam.run("ask").code == 2
    assert len(questions(sam)) == before


def test_a_card_can_be_named(couple: Any) -> None:
    """By its id or its number; the entry notes deck and card, so that it isn't drawn again."""
    sam, _ = couple
    card = deck("questions-2").items[10]
    by_id = sam.json("ask", "--deck", "questions-2", "--item", card.id)
    assert by_id["question"] == card.text
    fields = questions(sam)[-1]["fields"]
    assert (fields["deck"], fields["item"]) == ("questions-2", card.id)
    assert sam.json("ask", "--deck", "questions-2", "--item", "11")["question"] == card.text
    assert sam.run("ask", "--deck", "questions-2", "--item", "13").code == 4
    assert sam.run("ask", "--item", "1").code == 2
    assert sam.run("ask", "--deck", "new-things", "--item", "1").code == 2
    assert sam.run("ask", "--deck", "question-2", "--item", "1").code == 4


def test_a_deck_of_ones_own_can_be_asked_from(couple: Any) -> None:
    """And one with a mistake says its line, before anything is asked."""
    sam, _ = couple
    folder = sam.home / "decks"
    folder.mkdir(exist_ok=True)
    (folder / "summer.toml").write_text('items = ["Which sea is yours?"]\n')
    (folder / "broken.toml").write_text('items = ["a?"]\nkind = 3\n')
    assert sam.json("ask", "--deck", "summer", "--item", "1")["question"] == "Which sea is yours?"
    result = sam.run("ask", "--deck", "broken", "--item", "1")
    assert result.code == 2
    assert "broken.toml, line 2" in result.err


def test_asking_and_answering_on_a_terminal(couple: Any) -> None:
    """n goes on, Enter takes it, then when it opens, then the own answer; what was passed over is nowhere."""
    sam, robin = couple
    before = {entry["id"] for entry in questions(sam)}
    child = sam.terminal("ask", "--depth", "3")
    child.expect("with the light low")
    child.expect("q: not now")
    child.sendline("x")
    child.expect("type n, o or q")
    child.sendline("n")
    child.expect("q: not now")
    child.sendline("")
    child.expect("When do the answers open")
    child.expect("Choice")
    child.sendline("")
    child.expect("Shared with Robin · qu-")
    child.expect("Your own answer")
    child.sendline("Mine, for now.")
    child.expect("Shared with Robin · an-")
    child.expect("once there are two answers")
    assert end(child) == 0
    (new,) = [entry for entry in questions(sam) if entry["id"] not in before]
    assert new["fields"]["deck"] == "questions-3"
    assert new["fields"]["reveal"] == "both"
    exchange(sam, robin)
    child = robin.terminal("answer", new["code"])
    child.expect("What is your answer")
    child.sendline("Mine, too.")
    child.expect("both are open")
    child.expect("Mine, for now.")
    assert end(child) == 0


@pytest.mark.parametrize("args", [(), ("--accessible",)])
def test_leaving_the_questions_stores_nothing(couple: Any, args: tuple[str, ...]) -> None:
    """Neither what was shown nor that somebody looked: not a file of the home holds more than before."""
    sam, _ = couple
    before = sam.json("digest")["spaces"]
    child = sam.terminal("ask", *args)
    for typed in ("n", "n", "q"):
        child.expect("Choice" if args else "q: not now")
        child.sendline(typed)
    child.expect("Nothing was asked")
    assert end(child) == 0
    child = sam.terminal("answer", *args)
    child.expect("Open between you")
    child.expect("nothing now")
    child.expect("Choice")
    child.sendline("leave")
    assert end(child) == 0
    assert sam.json("digest")["spaces"] == before


def test_own_words_and_no_own_answer(couple: Any) -> None:
    """Enter goes past the own answer, and the question stands."""
    sam, _ = couple
    child = sam.terminal("ask")
    child.expect("q: not now")
    child.sendline("o")
    child.expect("would you like to ask")
    child.sendline("Shall we dance?")
    child.expect("Choice")
    child.sendline("2")
    child.expect("Your own answer")
    child.sendline("")
    assert end(child) == 0
    entry = questions(sam)[-1]
    assert entry["fields"]["question"] == "Shall we dance?"
    assert entry["fields"]["reveal"] == "at_once"
    assert entry["replies"] == []


def test_open_questions_are_listed_in_neutral_words(couple: Any) -> None:
    """Nobody is said to wait, and nobody not to have answered."""
    sam, robin = couple
    code = sam.json("ask", "--question", "Who sings first?")["code"]
    exchange(sam, robin)
    listed = robin.ok("answer").out
    line = next(line for line in listed.splitlines() if line.startswith(code))
    assert line == f"{code}  Who sings first? · Sam asked it"
    assert not any(word in listed.casefold() for word in ("wait", "hasn't", "not answered", "overdue"))


def test_alone_there_is_nobody_to_ask(sam: Any) -> None:
    """Exit 3, with what to do, before anything is asked."""
    for args in (("ask", "--question", "Who?"), ("answer",)):
        result = sam.run(*args)
        assert result.code == 3
        assert "bide pair" in result.err


def test_the_set_is_gone_through_before_anything_comes_again(tmp_path: Path) -> None:
    """Easy sets first, each mixed; what was asked comes last."""
    sets = sets_for(Shell(tmp_path), "partner")
    assert [len(cards) for cards in sets] == [12, 12, 12]
    asked: Counter[tuple[str, str]] = Counter()
    drawn: list[Card] = []
    for _ in range(72):
        card = in_turn(sets, asked, random.Random(len(drawn)).shuffle)[0]
        asked[card.key] += 1
        drawn.append(card)
    assert [card.deck for card in drawn] == [name for name in SETS for _ in range(12)] * 2
    assert len(set(drawn[:36])) == len(set(drawn[36:])) == 36
    assert [card.item for card in drawn[:12]] != [item.id for item in deck("questions-1")]


@pytest.mark.parametrize(("relation", "name"), [("friend", "friends"), ("family", "family")])
def test_friends_and_family_have_sets_of_their_own(tmp_path: Path, relation: str, name: str) -> None:
    """Only the parts of their deck that are questions; the third depth is the deepest there is."""
    shell = Shell(tmp_path)
    sets = sets_for(shell, relation)
    light, deeper = deck(name).in_part("light"), deck(name).in_part("deeper")
    assert [[card.item for card in cards] for cards in sets] == [[i.id for i in light], [i.id for i in deeper]]
    assert sets_for(shell, relation, depth=3) == sets_for(shell, relation, depth=2) == [sets[1]]
    assert sets_for(shell, relation, depth=1) == [sets[0]]
    assert sets_for(shell, "partner", deck=name) == sets


def test_an_answer_to_what_has_not_arrived_waits_for_it(couple: Any) -> None:
    """With the whole id; it goes once the question is here."""
    sam, robin = couple
    asked = sam.json("ask", "--question", "Who carries the lamp?")
    early = robin.json("answer", asked["id"], "--answer", "I do.")
    assert (early["held"], early["about"]) == (True, asked["id"])
    exchange(sam, robin)
    robin.ok("sync")
    assert [a["by"]["me"] for a in answers(robin, asked["code"])] == [True]


def test_a_question_that_is_held_takes_its_answer_along(couple: Any) -> None:
    """Nothing is shared before it goes, and both go in their order."""
    sam, _ = couple
    config = sam.home / "config.toml"
    before = config.read_text()
    config.write_text(before + "[hold]\nquestion = 30\n")
    try:
        held = sam.json("ask", "--question", "Do we paint the door?", "--answer", "Blue.")
        assert held["held"] is True
        assert held["id"] not in [entry["id"] for entry in questions(sam)]
        sam.ok("send", held["code"])
    finally:
        config.write_text(before)
    sam.ok("sync")
    assert [a["fields"]["answer"] for a in answers(sam, held["id"])] == ["Blue."]


def test_json_on_a_terminal_proposes_nothing(couple: Any) -> None:
    """What is said to people is silent there, so only what can be answered without it is asked."""
    sam, _ = couple
    child = sam.terminal("ask", "--json")
    child.expect("would you like to ask")
    child.sendline("Shall we swim?")
    child.expect('"question": "Shall we swim\\?", "reveal": "both"')
    assert end(child) == 0


def test_an_answer_taken_back_is_no_answer(couple: Any) -> None:
    """The other one stays closed, the program doesn't say that it is open, and the question can be answered anew."""
    sam, robin = couple
    asked = sam.json("ask", "--question", "What did you dream?")["id"]
    exchange(sam, robin)
    bait = robin.json("answer", asked, "--answer", "Bait.")["id"]
    robin.ok("undo", bait, "--yes")
    exchange(sam, robin)
    given = sam.json("answer", asked, "--answer", "Of a lighthouse.")
    assert given["open"] is False
    exchange(sam, robin)
    for words in (["show", asked], ["show", given["id"], "--json"], ["timeline"], ["search", "lighthouse"], ["export"]):
        assert "a lighthouse." not in robin.ok(*words).out
    assert asked in [question["id"] for question in robin.json("answer")["questions"]]
    assert robin.json("answer", asked, "--answer", "Of rain.")["open"] is True
    assert "Of a lighthouse." in robin.ok("show", asked).out
