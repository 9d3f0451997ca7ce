"""The commands of the practice as two people use them: flags, questions, JSON, and what can go wrong."""

from __future__ import annotations

import json
from typing import Any

import pexpect
import pytest

Person = Any


def end(child: Any) -> int:
    """Wait for the end of a terminal session."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def exchange(*people: Person) -> None:
    """Both ways."""
    for person in (*people, people[0]):
        person.ok("sync")


SAID = [
    (("share", "--text", "I was scared.", "--depth", "2", "--wants", "listening", "--feelings", "afraid"), "share"),
    (("feel", "relieved", "calm/floaty", "--note", "After the bath."), "feeling"),
    (("did", "--what", "Night train", "--idea", "both", "--memory", "The sea"), "activity"),
]


@pytest.mark.parametrize(("args", "kind"), SAID, ids=[kind for _, kind in SAID])
def test_what_one_says_stands_in_the_others_timeline(couple: tuple[Person, Person], args: tuple[str, ...], kind: str) -> None:
    """By flags, with who can see it and how to undo it, and in JSON of its own schema."""
    sam, robin = couple
    told = sam.ok(*args).out
    assert "Shared with Robin" in told
    written = sam.json(*args)
    assert written["schema"] == f"bide.{args[0]}/1"
    assert (written["kind"], written["shared_with"]) == (kind, ["Robin"])
    exchange(sam, robin)
    shown = robin.json("show", written["id"])["entry"]
    assert shown["kind"] == kind
    assert shown["by"] == {"name": "Sam", "me": False}


def test_reflecting_stays_here(couple: tuple[Person, Person]) -> None:
    """A reflection never reaches the other."""
    sam, robin = couple
    written = sam.json("reflect", "--text", "Not aloud yet.")
    assert written["visibility"] == "private"
    exchange(sam, robin)
    assert robin.run("show", written["id"]).code == 4
    assert sam.run("reflect", "--text", "x", "--with", "Robin").code == 2


def test_receiving_with_and_without_words(couple: tuple[Person, Person]) -> None:
    """It stands beneath what was told; nobody can receive their own."""
    sam, robin = couple
    share = sam.json("share", "--text", "I was scared.")["id"]
    exchange(sam, robin)
    assert robin.json("receive", share, "--no-input")["about"] == share
    robin.ok("receive", share, "--words", "-", stdin="Thank you for telling me.")
    refused = sam.run("receive", share, "--no-input")
    assert refused.code == 8
    exchange(robin, sam)
    replies = sam.json("show", share)["entry"]["replies"]
    assert [reply["fields"] for reply in replies] == [{}, {"words": "Thank you for telling me."}]


def test_later_and_back(couple: tuple[Person, Person]) -> None:
    """The other sees that it is kept for later, and no reason."""
    sam, robin = couple
    share = sam.json("share", "--text", "Can we talk about the summer?")["id"]
    exchange(sam, robin)
    assert robin.json("later", share)["later"] is True
    exchange(robin, sam)
    assert sam.json("show", share)["entry"]["later"] is True
    robin.ok("later", share, "--back")
    exchange(robin, sam)
    assert sam.json("show", share)["entry"]["later"] is False
    assert sam.run("later", share).code == 8


BAD = [
    (("share",), "--text"),
    (("share", "--text", "x", "--depth", "4"), "'depth' is one of: 1, 2, 3"),
    (("share", "--text", "x" * 10_001), "10,001"),
    (("share", "--text", "x", "--wants", "praise"), "listening, advice, nothing"),
    (("feel", "hapy"), "'hapy' is not among the feelings"),
    (("feel", "calm", "--feelings", "sad"), "once"),
    (("feel", "calm", "sad", "held", "worn"), "at most 3"),
    (("did", "--idea", "mine"), "'what' is empty"),
    (("did", "--ideas", "--what", "x"), "nothing is written"),
    (("checkin", "--wants", "advice", "--hard", "x\x07"), "can't be shown"),
]


@pytest.mark.parametrize(("args", "words"), BAD, ids=[" ".join(args)[:30] for args, _ in BAD])
def test_what_cannot_be_used_is_said_in_a_sentence(couple: tuple[Person, Person], args: tuple[str, ...], words: str) -> None:
    """Exit code 2, what to do, and nothing written."""
    sam, _ = couple
    before = len(sam.entries())
    result = sam.run(*args, "--no-input")
    assert result.code == 2
    assert words in result.err
    assert len(sam.entries()) == before


def test_ideas_are_shown_and_nothing_is_written(sam: Person) -> None:
    """Three of them, without anybody to share with."""
    ideas = sam.json("did", "--ideas")["ideas"]
    assert len({idea["id"] for idea in ideas}) == 3
    assert sam.entries() == []


def test_finding_a_feeling_step_by_step(sam: Person) -> None:
    """By number, level by level, by a word that is nearly right, and stopping wherever it fits."""
    child = sam.terminal("feel", "--private")
    child.expect("9.worn")
    child.expect("to go on:")
    child.sendline("3")
    child.expect("close: ")
    child.expect("Enter for close:")
    child.sendline("1")
    child.expect("held: ")
    child.expect("Enter for held:")
    child.sendline("")
    child.expect("So far: held")
    child.expect("to go on:")
    child.sendline("77")
    child.expect("from 1 to 9")
    child.expect("to go on:")
    child.sendline("reliev")
    child.expect("1.relieved")
    child.expect("for none:")
    child.sendline("1")
    child.expect("Anything to add")
    child.sendline("")
    assert end(child) == 0
    [entry] = sam.entries()
    assert entry["fields"]["feelings"] == ["held", "relieved"]


def test_words_that_are_known_are_kept(sam: Person) -> None:
    """Of two typed words one is not known: it is named, the other stays, and the question goes on."""
    child = sam.terminal("feel", "--private")
    child.expect("to go on:")
    child.sendline("tired, haeld")
    child.expect("'haeld' is not among the feelings here")
    child.expect("for none:")
    child.sendline("")
    child.expect("So far: tired")
    child.expect("to go on:")
    child.sendline("")
    child.expect("Anything to add")
    child.sendline("")
    assert end(child) == 0
    [entry] = sam.entries()
    assert entry["fields"]["feelings"] == ["tired"]


def test_writing_in_answer_to_a_thought(sam: Person) -> None:
    """Whoever begins to write where a thought is offered has written; a slip of the finger is asked about."""
    child = sam.terminal("reflect")
    child.expect("begins without one:")
    child.sendline("x")
    child.expect("begin to write")
    child.expect("begins without one:")
    child.sendline("A quiet evening.")
    child.expect("What goes with it")
    child.expect("to go on:")
    child.sendline("")
    assert end(child) == 0
    [entry] = sam.entries()
    assert entry["fields"]["text"] == "A quiet evening."
    assert entry["fields"]["prompt"]


def test_an_entry_says_what_is_open(couple: tuple[Person, Person]) -> None:
    """Beneath an entry by itself stands what its reader can do with it, and nothing that is done already."""
    sam, robin = couple
    code = str(sam.json("share", "--text", "I miss singing.")["code"])
    sam.ok("sync")
    robin.ok("sync")
    assert f"bide hear {code} · bide receive {code} · bide later {code}" in robin.ok("show", code).out
    assert f"Open to you: bide edit {code} · bide undo {code}" in sam.ok("show", code).out
    later = robin.ok("later", code)
    assert "For later; Sam can see that" in later.out
    assert f"bide later {code} --back" in later.out
    robin.ok("hear", code, "--mirrored", "You want to sing.")
    assert "bide hear" not in robin.ok("show", code).out
    robin.ok("sync")
    sam.ok("sync")
    assert f"bide hear {code}" in sam.ok("show", code).out


def test_words_for_what_was_felt(couple: tuple[Person, Person]) -> None:
    """A question mark at a question about a feeling brings the nine, in the middle of an appreciation."""
    sam, _ = couple
    child = sam.terminal("thank")
    child.expect("What did you notice")
    child.sendline("You drove my mother home.")
    child.expect(r"\(\? for words\)")
    child.sendline("?")
    child.expect("to go on:")
    child.sendline("held")
    child.expect("in your own words")
    child.sendline("Not alone with it.")
    child.expect("show about Robin")
    child.sendline("")
    assert end(child) == 0
    last = sam.entries("--limit", "1")[-1]
    assert last["fields"]["felt"] == "held. Not alone with it."


def test_reflecting_on_a_thought(sam: Person) -> None:
    """A thought is offered, another one on request, and kept with what was written."""
    child = sam.terminal("reflect")
    child.expect("without one:")
    first = child.before.strip().splitlines()[-2].strip()
    child.sendline("n")
    child.expect("without one:")
    second = child.before.strip().splitlines()[-2].strip()
    assert first != second
    child.sendline("")
    child.expect("on your mind")
    child.sendline("The move.")
    child.expect("to go on:")
    child.sendline("")
    assert end(child) == 0
    [entry] = sam.entries()
    assert entry["fields"] == {"prompt": second, "text": "The move."}
    assert "can see it" in child.before


def test_all_fields_at_once_from_json(sam: Person) -> None:
    """Every kind takes one object, unknown fields are refused with the known ones."""
    sam.ok("share", "--private", "--from-json", "-", stdin=json.dumps({"text": "x", "depth": 1, "feelings": ["sad"]}))
    assert sam.entries()[0]["fields"] == {"text": "x", "depth": "1", "feelings": ["sad"]}
    refused = sam.run("share", "--private", "--from-json", "-", stdin=json.dumps({"text": "x", "deep": 1}))
    assert refused.code == 2
    assert "text, depth, feelings, wants" in refused.err


def test_every_question_for_a_screen_reader(sam: Person) -> None:
    """With --accessible each feeling has a line of its own, with what is meant by it."""
    child = sam.terminal("feel", "--private", "--accessible")
    child.expect(r"1  glad: [A-Z].*\r\n\s+2  calm: ")
    child.expect("to go on:")
    child.sendline("4")
    child.expect("able: ")
    child.sendline("")
    child.expect("to go on:")
    child.sendline("")
    child.expect("to add")
    child.sendline("")
    assert end(child) == 0
