"""`bide repair` alone leads two people through their conversation, on real terminals; nothing that is typed gets lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pexpect
import pytest
from client_cli.conftest import Person, end, make_person, pair

TELL = ("--own-part", "I was short with you.", "--felt", "ashamed", "--now")


@pytest.fixture(name="people")
def people_fixture(tmp_path: Path, relay: Any) -> tuple[Person, Person]:
    """Sam and Robin, who have paired and share nothing yet."""
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    return sam, robin


def meet(*people: Person) -> None:
    """Bring everybody to the same."""
    for person in (*people, people[0]):
        person.ok("sync")


def told(people: tuple[Person, Person]) -> str:
    """A conversation in which Robin has told; its code."""
    sam, robin = people
    code = str(sam.json("repair", "--topic", "The dishes", "--now")["code"])
    meet(sam, robin)
    robin.ok("repair", code, "tell", *TELL)
    meet(robin, sam)
    return code


def heard(people: tuple[Person, Person]) -> str:
    """A conversation in which there can be an agreement; its code."""
    sam, robin = people
    code = told(people)
    sam.ok("repair", code, "hear", "--mirrored", "It was hard.", "--now")
    meet(sam, robin)
    return code


def screen(person: Person, *args: str, **env: str) -> Any:
    """A terminal without colours, so that what is looked for stands on it as it is."""
    return person.terminal(*args, NO_COLOR="1", **env)


def say(child: Any, *pairs: tuple[str, str]) -> None:
    """Wait for each question, and type its answer."""
    for question, text in pairs:
        child.expect(question)
        child.sendline(text)


def test_from_nothing_to_settled_by_enter_and_words_alone(people: tuple[Person, Person]) -> None:
    """Whoever runs it is offered what is theirs first, sees whose words are whose, and goes on from step to step."""
    sam, robin = people
    child = screen(sam, "repair", "--now")
    say(child, ("calm enough", ""), ("one line", "The dishes"))
    child.expect("Shared with Robin · rp-")
    assert end(child) == 0
    meet(sam, robin)

    child = screen(robin, "repair", "--now")
    child.expect("About +The dishes")
    child.expect("Your turn, when you want it")
    child.expect("1 y  yes, let's talk about it")
    say(child, (r"Choice \[1\]", ""), ("go on.*1 q  nothing now.*2 t  tell yours.*Choice", "t"))
    for stem, question, text in (
        ("Perhaps: ", "own part in it", "I left."),
        ("Perhaps: ", "did you feel", "lost"),
        ("Perhaps: ", "like to ask", "How was it?"),
    ):
        child.expect(stem)
        say(child, (question, text))
    child.expect("say back what they heard, when they are ready")
    assert end(child) == 0
    meet(robin, sam)

    child = screen(sam, "repair", "--now")
    child.expect("Robin:.*I left.")
    child.expect("1 h  say back what you heard")
    say(child, (r"Choice \[1\]", ""))
    assert child.expect("hear them say") == 0
    say(child, ("", "You left."), ("makes sense", ""), ("feel like", ""))
    say(child, ("go on.*2 t  tell yours.*Choice", "2"))
    say(child, ("own part in it", "I shouted."), ("did you feel", "alone"), ("like to ask", ""))
    say(child, ("go on.*2 g  offer a small gesture.*Choice", ""))
    assert end(child) == 0
    meet(sam, robin)

    child = screen(robin, "repair", "--now")
    child.expect("1 h  say back what you heard")
    say(child, (r"Choice \[1\]", "h"), ("hear them say", "You shouted."), ("makes sense", ""), ("feel like", ""))
    say(child, ("2 s  say whether you were heard.*Choice", "s"), ("Were you heard.*Choice", "1"))
    say(child, ("2 g  offer a small gesture.*Choice", "g"), ("small thing", "tea"))
    say(child, ("2 a  write down.*Choice", "a"), ("agree on", "We take turns."))
    say(child, ("2 d  it is settled.*Choice", "d"))
    child.expect("settled once both of you say so")
    assert end(child) == 0
    meet(robin, sam)

    child = screen(sam, "repair", "--now")
    child.expect("We agree +We take turns")
    say(child, (r"1 s  say whether.*Choice", "d"))
    child.expect("settled, for both of you")
    assert end(child) == 0
    assert sam.json("repair")["conversations"] == []


def test_a_pause_and_a_way_back_are_a_letter_away(people: tuple[Person, Person]) -> None:
    """Later, rest, back, help and nothing, from the same screen; withdrawing asks once more."""
    sam, robin = people
    code = told(people)
    for letter, words, state in (
        ("l", "nobody is told why", "later"),
        ("b", "Good to have you back", "told"),
        ("r", "It rests", "resting"),
        ("", "Good to have you back", "told"),  # coming back is what is mine to do, so Enter does it
    ):
        child = screen(sam, "repair", "--now")
        say(child, (r"what is this\?.*Choice", letter))
        child.expect(words)
        index = child.expect(["go on.*Choice", pexpect.EOF])
        if index == 0:
            child.sendline("")
        assert end(child) == 0
        assert sam.json("show", code)["entry"]["state"] == state
    child = screen(sam, "repair", "--now")
    say(child, ("Choice", "?"), ("no place for the other's part.*Choice", "q"))
    child.expect("Nothing changed")
    assert end(child) == 0
    child = screen(sam, "repair", code, "--now")
    say(child, ("w  withdraw.*Choice", "w"), ("For good", ""))
    child.expect("Nothing changed")
    assert end(child) == 0
    child = screen(sam, "repair", code, "--now")
    say(child, ("Choice", "w"), ("For good", "y"))
    child.expect("It is over")
    assert end(child) == 0
    meet(sam, robin)
    child = screen(robin, "repair", code, "--now")
    child.expect("Nothing is open here any more")
    assert end(child) == 0


def test_where_it_is_up_to_the_other_enter_does_nothing(people: tuple[Person, Person]) -> None:
    """Nobody is pressed, and everything that is possible is there all the same."""
    _, robin = people
    told(people)
    child = screen(robin, "repair", "--now")
    child.expect("Nothing waits for you here")
    child.expect("1 q  nothing now")
    say(child, (r"l  keep it for later.*r  let it rest.*w  withdraw.*Choice", ""))
    child.expect("Nothing changed")
    assert end(child) == 0


def test_words_typed_while_it_was_withdrawn_are_given_back(people: tuple[Person, Person]) -> None:
    """One sentence, exit 8, and the whole text once more on the screen."""
    sam, robin = people
    code = told(people)
    child = screen(sam, "repair", "--now")
    say(child, ("Choice", "h"))
    child.expect("hear them say")
    robin.ok("repair", code, "withdraw")
    meet(robin, sam)
    child.sendline("That you felt left alone with it.")
    say(child, ("makes sense", "-"), ("feel like", "heavy"))
    child.expect("This is what you wrote")
    child.expect("I hear: That you felt left alone with it.")
    child.expect("It makes sense: -")
    child.expect("It might feel: heavy")
    child.expect("This conversation was withdrawn, so nothing more can be said in it.")
    assert end(child) == 8
    assert sam.json("show", code)["entry"]["ignored"] == 0


def test_an_answer_to_a_withdrawn_conversation_is_one_sentence(people: tuple[Person, Person]) -> None:
    """On stderr, with exit code 8, and nothing is asked before."""
    sam, robin = people
    code = told(people)
    robin.ok("repair", code, "withdraw")
    meet(robin, sam)
    result = sam.run("repair", code, "hear", "--mirrored", "x", "--now")
    assert (result.code, result.out) == (8, "")
    assert result.err == "This conversation was withdrawn, so nothing more can be said in it.\n"
    error = sam.run("repair", code, "hear", "--mirrored", "x", "--now", "--json").error
    assert (error["code"], error["hint"]) == ("not_allowed", "")
    child = screen(sam, "repair", code, "hear", "--now")
    child.expect("withdrawn")
    assert end(child) == 8
    assert "hear them say" not in child.before


def test_a_clash_is_shown_and_settled_by_choosing(people: tuple[Person, Person]) -> None:
    """Both wordings stand there; taking one of them leaves only that, on both devices."""
    sam, robin = people
    code = heard(people)
    sam.ok("repair", code, "agree", "--agreement", "We wash the dishes.", "--now")
    meet(sam, robin)
    sam.ok("repair", code, "agree", "--agreement", "We dry the dishes.", "--now")
    robin.ok("repair", code, "agree", "--agreement", "We clean the dishes.", "--now")
    meet(sam, robin)
    for person in people:
        entry = person.json("show", code)["entry"]
        assert entry["fields"]["agreement"] == "We dry / clean the dishes."
        assert entry["alternatives"] == {"agreement": ["We dry the dishes.", "We clean the dishes."]}
        shown = person.ok("show", code).out
        assert all(wording in shown for wording in ("We dry / clean the", "We dry the dishes.", "We clean the dishes."))
    child = screen(robin, "repair", "--now")
    child.expect("changed the agreement at the same time")
    say(child, ("1 a  write down.*Choice", ""), ("2 *take this one: We clean the dishes.*Choice", "2"))
    child.expect("Shared with Sam")
    say(child, ("go on.*Choice", ""))
    assert end(child) == 0
    meet(robin, sam)
    for person in people:
        entry = person.json("show", code)["entry"]
        assert (entry["fields"]["agreement"], entry["alternatives"]) == ("We clean the dishes.", {})


def test_an_agreement_can_be_changed_in_the_editor(people: tuple[Person, Person], tmp_path: Path) -> None:
    """It starts from what stands there; a stroke typed at a question is a text and not stdin."""
    sam, _ = people
    code = heard(people)
    sam.ok("repair", code, "agree", "--agreement", "We wash.", "--now")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/We wash[.]/We wash, both./" "$1"\n')
    editor.chmod(0o700)
    child = screen(sam, "repair", code, "agree", "--now", EDITOR=str(editor), VISUAL="")
    say(child, ("on now: We wash.*change it in your editor.*Choice", "2"))
    child.expect("Shared with Robin")
    assert end(child) == 0
    assert sam.json("show", code)["entry"]["fields"]["agreement"] == "We wash, both."


def test_of_several_at_once_one_step_counts_and_the_others_are_refused(people: tuple[Person, Person]) -> None:
    """Checked where it is written: no step is written that would then be ignored."""
    sam, robin = people
    code = sam.json("repair", "--topic", "The dishes", "--now")["code"]
    meet(sam, robin)
    running = [robin.start("repair", code, "accept", "--json", "--no-input") for _ in range(4)]
    ended = [process.communicate(timeout=60) for process in running]
    assert sorted(process.returncode for process in running) == [0, 8, 8, 8], ended
    entry = robin.json("show", code)["entry"]
    assert (entry["state"], entry["ignored"]) == ("open", 0)


def test_accessible_is_numbered_and_plain(people: tuple[Person, Person]) -> None:
    """The same questions without a colour or a cursor movement."""
    sam, _ = people
    told(people)
    child = screen(sam, "repair", "--accessible", "--now")
    say(child, ("1 h  say back.*Choice", "1"), ("hear them say", "You were alone."), ("makes sense", ""), ("feel like", ""))
    say(child, ("go on.*Choice", "1"))
    assert end(child) == 0
    child = sam.terminal("repair", "--accessible")
    child.expect("Choice")
    assert "\x1b" not in child.before
    child.sendline("q")
    assert end(child) == 0


def test_stems_take_three_lines_at_most(people: tuple[Person, Person]) -> None:
    """On a narrow screen too: they are a suggestion, and the question stays in sight."""
    sam, _ = people
    told(people)
    child = screen(sam, "repair", "--plain", "--now")
    child.setwinsize(30, 40)
    say(child, ("Choice", "h"))
    child.expect("hear them say")
    child.sendline("x")
    child.expect("makes sense")
    lines = [line for line in child.before.splitlines() if line.startswith("  ")]
    assert 1 <= len(lines) <= 3
    assert lines[0].startswith("  Perhaps: ")
    child.sendcontrol("c")
    assert end(child) == 130


def test_every_step_as_json(people: tuple[Person, Person]) -> None:
    """One object each, that says what was done and what is possible now."""
    sam, robin = people
    begun = sam.json("repair", "--topic", "The dishes", "--now")
    assert (begun["step"], begun["state"], begun["kind"]) == ("invite", "invited", "repair")
    meet(sam, robin)
    code = begun["code"]
    steps: list[tuple[Person, str, dict[str, str], str]] = [
        (robin, "later", {}, "later"),
        (robin, "return", {}, "invited"),
        (robin, "accept", {}, "open"),
        (robin, "rest", {}, "resting"),
        (robin, "tell", {"own_part": "I left.", "felt": "lost"}, "told"),
        (sam, "hear", {"mirrored": "You left."}, "heard"),
        (robin, "answer", {"verdict": "not_quite", "clarification": "I went away."}, "told"),
        (sam, "hear", {"mirrored": "You went away."}, "heard"),
        (robin, "answer", {"verdict": "heard"}, "heard"),
        (sam, "reconnect", {"gesture": "tea"}, "reconnecting"),
        (robin, "agree", {"agreement": "We take turns."}, "reconnecting"),
        (robin, "settle", {}, "reconnecting"),
        (sam, "settle", {}, "settled"),
        (sam, "withdraw", {}, "withdrawn"),
    ]
    for person, step, fields, state in steps:
        extra = ("--from-json", "-") if fields else ()
        result = person.ok("repair", code, step, *extra, "--json", "--now", stdin=json.dumps(fields) if fields else "")
        done = result.json
        assert done["schema"] == "bide.repair/1"
        assert (done["step"], done["state"], done["id"], done["code"]) == (step, state, begun["id"], code)
        assert done["next"] == person.json("show", code)["entry"]["next"]
        assert result.err == ""
        meet(*(people if person is sam else people[::-1]))
    refused = sam.run("repair", code, "later", "--json")
    assert (refused.code, refused.error["code"]) == (8, "not_allowed")
    assert sam.json("repair", "--no-input")["conversations"] == []


def test_each_changes_the_topic_of_their_own_invitation(people: tuple[Person, Person]) -> None:
    """Two that crossed are one conversation with two topics, and either id will do."""
    sam, robin = people
    ids = [person.json("repair", "--topic", topic, "--now")["id"] for person, topic in ((sam, "dishes"), (robin, "Sunday"))]
    meet(sam, robin)
    for person, entry_id, topic in ((sam, ids[1], "the dishes"), (robin, ids[0], "that Sunday")):
        edited = person.json("edit", entry_id, "--topic", topic)
        assert edited["schema"] == "bide.edit/1"
        assert person.run("edit", entry_id, "--topic", topic).code == 2
    meet(sam, robin)
    for person in people:
        topics = person.json("show", ids[0])["entry"]["fields"]["topics"]
        assert {(t["by"]["name"], t["topic"]) for t in topics} == {("Sam", "the dishes"), ("Robin", "that Sunday")}


def test_what_is_held_is_shown_before_it_is_written_twice(people: tuple[Person, Person]) -> None:
    """With an invitation waiting in the outbox, `bide repair` shows it, and Enter begins no second one."""
    sam, _ = people
    held = str(sam.json("repair", "--topic", "The dishes")["code"])
    child = screen(sam, "repair")
    child.expect("waiting here on this device only")
    child.expect("The dishes")
    child.expect(f"bide send {held}")
    child.expect("something new")
    child.sendline("")
    child.expect("Nothing changed")
    assert end(child) == 0
    assert len(sam.json("outbox")["held"]) == 1
