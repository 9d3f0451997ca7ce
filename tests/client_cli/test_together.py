"""Two people with a real relay: pairing, syncing, watching, and the relay away."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from .conftest import press_ctrl_c


def until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.05)


def founded(couple: Any, folder: Path, name: str) -> Any:
    """A further device without a relay set, of the same make as the couple's."""
    person = type(couple[0])(folder / name)
    person.ok("init", "--name", name, "--key-file", str(folder / f"{name}.key"), "--no-input")
    return person


def texts(person: Any) -> list[str]:
    return [entry["fields"].get("hard", "") for entry in person.entries("--kind", "checkin")]


def test_both_see_what_either_shares(couple: Any) -> None:
    sam, robin = couple
    sam.ok("checkin", "--hard", "from Sam")
    robin.ok("thank", "--noticed", "You drove my mother home in the rain.")
    assert robin.json("status")["spaces"][1]["pending"] >= 1
    sent = sam.json("sync")
    assert sent["schema"] == "bide.sync/1"
    assert sent["sent"] >= 1
    assert sent["pending"] == 0
    assert robin.json("sync")["received"] >= 1
    sam.ok("sync")
    assert [e["id"] for e in sam.entries("--with", "Robin")] == [e["id"] for e in robin.entries("--with", "Sam")]
    assert sam.json("digest")["spaces"][1] | {"with": 0} == robin.json("digest")["spaces"][1] | {"with": 0}
    assert robin.json("status")["last_contact"]["ok"]


def test_hearing_goes_there_and_back(couple: Any) -> None:
    sam, robin = couple
    entry = sam.json("checkin", "--hard", "nobody asked")["code"]
    sam.ok("sync")
    robin.ok("sync")
    assert sam.run("hear", entry, "--mirrored", "x").code == 8
    heard = robin.json("hear", entry, "--mirrored", "You felt alone.")
    assert heard["schema"] == "bide.hear/1"
    robin.ok("sync")
    sam.ok("sync")
    assert sam.run("hear", entry, "--heard", "--not-quite", "x").code == 2
    sam.ok("hear", entry, "--not-quite", "Tired, not alone.")
    (reply,) = sam.json("show", entry)["entry"]["replies"]
    assert reply["fields"]["answer"] == "not_quite"
    assert robin.run("edit", entry, "--hard", "mine now").code == 8


def test_a_repair_goes_step_by_step(couple: Any) -> None:
    sam, robin = couple

    def exchange() -> None:
        for person in (sam, robin, sam):
            person.ok("sync")

    begun = sam.json("repair", "--topic", "The dishes on Sunday", "--now")
    assert begun["schema"] == "bide.repair/1"
    code = begun["code"]
    exchange()
    assert robin.run("repair", code, "settle").code == 8
    robin.ok("repair", code, "accept")
    robin.ok("repair", code, "tell", "--own-part", "I left.", "--felt", "angry", "--now")
    assert robin.run("repair", code, "tell", "--own-part", "only this").code == 2
    assert robin.run("repair", code, "tell", "--gesture", "tea").code == 2
    exchange()
    sam.ok("repair", code, "hear", "--now", "--from-json", "-", stdin='{"mirrored": "You were angry."}')
    exchange()
    robin.ok("repair", code, "answer", "--heard")
    robin.ok("repair", code, "reconnect", "--gesture", "tea", "--now")
    exchange()
    sam.ok("repair", code, "agree", "--agreement", "We take turns.", "--now")
    sam.ok("repair", code, "settle")
    exchange()
    assert "Sam:" in (shown := robin.ok("show", code).out)
    assert "settled it" in shown
    assert "for both of you" in robin.ok("repair", code, "settle").err
    assert robin.json("show", code)["entry"]["state"] == "settled"
    assert robin.json("repair")["conversations"] == []
    assert "We take turns." in robin.ok("show", code).out


def test_a_repair_is_led_on_a_terminal(couple: Any) -> None:
    sam, _ = couple
    sam.ok("repair", "--topic", "The garden", "--now")
    child = sam.terminal("repair", "--now")
    child.expect(r"(\d+) n  something new")
    for question, text in (("Choice", child.match.group(1)), ("calm enough", ""), ("one line", "The holidays")):
        child.expect(question)
        child.sendline(text)
    child.expect("Shared with Robin · rp-")
    child.expect(pexpect.EOF)
    child = sam.terminal("repair")
    child.expect(r"(\d+)    The holidays · you asked")
    number = child.match.group(1)
    for question, text in (
        ("Choice", "?"),
        ("own time.*Choice", number),
        ("Choice", "?"),
        ("own time.*w  withdraw.*Choice", "w"),
        ("good\\?", "y"),
    ):
        child.expect(question)
        child.sendline(text)
    child.expect("It is over")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_relay_away_is_no_reason_not_to_write(couple: Any, relay: Any) -> None:
    sam, robin = couple
    relay.stop()
    try:
        written = sam.ok("checkin", "--hard", "offline")
        assert "Shared with Robin" in written.out
        result = sam.run("sync", "--json")
        assert result.code == 5
        assert result.error["code"] == "relay_unreachable"
        assert result.json["pending"] >= 1
        assert "waiting here" in sam.run("sync").out
        assert sam.json("status")["last_contact"]["code"] == "relay_unreachable"
    finally:
        relay.start()
    sam.ok("sync")
    robin.ok("sync")
    assert "offline" in texts(robin)


def test_after_a_write_it_goes_by_itself(couple: Any) -> None:
    sam, robin = couple
    begun = time.monotonic()
    assert sam.run("checkin", "--hard", "by itself", env={"BIDE_AUTO_SYNC": "1"}).code == 0
    assert time.monotonic() - begun < 5
    until(lambda: sam.json("status")["spaces"][1]["pending"] == 0)
    robin.ok("sync")
    assert "by itself" in texts(robin)


def test_watchers_pass_things_on_as_they_happen(couple: Any) -> None:
    sam, robin = couple
    sam.ok("sync")
    robin.ok("sync")
    watchers = [person.start("sync", "--watch", "--json") for person in (sam, robin)]
    try:
        for watcher in watchers:
            assert json.loads(watcher.stdout.readline())["event"] == "reached"
        assert robin.run("sync", "--watch").code == 8
        assert sam.run("checkin", "--hard", "at once", env={"BIDE_AUTO_SYNC": "1"}).code == 0
        until(lambda: "at once" in texts(robin))
    finally:
        for watcher in watchers:
            watcher.send_signal(signal.SIGTERM)
    for watcher in watchers:
        out, err = watcher.communicate(timeout=20)
        assert watcher.returncode == 0, err
        assert "at once" not in out
    assert not (robin.home / "watch.sock").exists()


def test_a_watcher_comes_back_when_the_relay_does(couple: Any, relay: Any) -> None:
    sam, robin = couple
    robin.ok("sync")
    watcher = robin.start("sync", "--watch", "--json")
    try:
        assert json.loads(watcher.stdout.readline())["event"] == "reached"
        relay.stop()
        sam.ok("checkin", "--hard", "while it was away")
        relay.start()
        sam.ok("sync")
        until(lambda: "while it was away" in texts(robin), 30)
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=20)
    assert watcher.returncode == 0


def test_pairing_tells_both_the_same_words(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann, ben = founded(couple, tmp_path, "Ann"), founded(couple, tmp_path, "Ben")
    ann.ok("relay", "set", relay.url)
    process = ann.start("pair", "--json", "--words-verified")
    first = json.loads(process.stdout.readline())
    assert first["schema"] == "bide.pair/1"
    joined = ben.json("join", first["code"], "--words-verified")
    last = json.loads(process.communicate(timeout=30)[0])
    assert (last["schema"], joined["schema"]) == ("bide.pair/1", "bide.join/1")
    assert last["paired"] is joined["paired"] is True
    assert (last["with"], joined["with"]) == ("Ben", "Ann")
    assert last["safety_words"] == joined["safety_words"]
    assert len(last["safety_words"]) == 6
    assert ben.json("relay")["relay"] == relay.url


def test_a_wrong_code_is_spent_and_shares_nothing(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann, ben = founded(couple, tmp_path, "Ann"), founded(couple, tmp_path, "Ben")
    ann.ok("relay", "set", relay.url)
    process = ann.start("pair", "--json", "--words-verified")
    code = json.loads(process.stdout.readline())["code"]
    number, words, authority = re.fullmatch(r"(\d+)-([a-z-]+)@(.*)", code).groups()  # type: ignore[union-attr]
    wrong = "-".join(reversed(words.split("-")))
    if wrong == words:
        pytest.skip("the words read the same backwards")
    result = ben.run("join", f"{number}-{wrong}@{authority}", "--words-verified", "--json")
    assert result.code == 6
    assert result.error["code"] == "code_mismatch"
    process.communicate(timeout=30)
    assert process.returncode == 6
    assert ben.run("join", code, "--words-verified").code in (6, 8)
    for person in (ann, ben):
        assert [space["kind"] for space in person.json("status")["spaces"]] == ["own"]


HIDDEN = "·····"


def words_shown(child: Any) -> list[str]:
    child.expect("Here:  ([^\r\n]+)")
    words: list[str] = child.match.group(1).split()
    child.expect(r"Which word is the (\w+) one")
    return words


def test_the_words_are_compared_across_the_screens(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann, ben = founded(couple, tmp_path, "Ann"), founded(couple, tmp_path, "Ben")
    ann.ok("relay", "set", relay.url)
    first = ann.terminal("pair")
    first.expect(r"Say to the other:  (\S+)")
    second = ben.terminal("join")
    second.expect("Code:")
    second.sendline("not a code")
    second.expect("Code:")
    second.sendline(first.match.group(1).replace("-", " ").upper())
    here, there = words_shown(first), words_shown(second)
    assert here.index(HIDDEN) != there.index(HIDDEN)
    first.sendline("wrongword")
    first.expect("once more")
    first.sendline(there[here.index(HIDDEN)])
    first.expect("Waiting for Ben")
    second.sendline(here[there.index(HIDDEN)].upper())
    for child in (first, second):
        child.expect("Paired")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0


def test_words_that_differ_end_it_on_both_sides(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann, ben = founded(couple, tmp_path, "Ann"), founded(couple, tmp_path, "Ben")
    ann.ok("relay", "set", relay.url)
    first = ann.terminal("pair")
    first.expect(r"Say to the other:  (\S+)")
    second = ben.terminal("join", first.match.group(1))
    words_shown(first)
    words_shown(second)
    first.sendline("wrong")
    first.expect("once more")
    first.sendline("wrong")
    first.expect(pexpect.EOF)
    first.close()
    assert first.exitstatus == 6
    # At once, while it still asks.
    second.expect("The other side broke off")
    second.expect("Ask Ann to run: bide pair")
    second.expect(pexpect.EOF)
    second.close()
    assert second.exitstatus == 8
    for person in (ann, ben):
        assert not any(space["state"] == "active" and space["kind"] == "pair" for space in person.json("status")["spaces"])


def test_nobody_to_compare_the_words_is_told_before_a_code_is_spent(couple: Any) -> None:
    result = couple[0].run("pair", "--json")
    assert result.code == 2
    assert "--words-verified" in result.error["hint"]


def test_ctrl_c_while_the_words_are_compared_ends_it_on_both_sides(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann, ben = founded(couple, tmp_path, "Ann"), founded(couple, tmp_path, "Ben")
    ann.ok("relay", "set", relay.url)
    first = ann.terminal("pair")
    first.expect(r"Say to the other:  (\S+)")
    second = ben.terminal("join", first.match.group(1))
    here, there = words_shown(first), words_shown(second)
    first.sendline(there[here.index(HIDDEN)])
    first.expect("Waiting for Ben")
    press_ctrl_c(second)
    second.expect(pexpect.EOF)
    second.close()
    assert second.exitstatus == 130
    first.expect("broke off")
    first.expect("For a new code: bide pair")
    first.expect(pexpect.EOF)
    first.close()
    assert first.exitstatus == 8


def test_an_earlier_text_of_a_repair_says_whose_it_is(couple: Any) -> None:
    sam, robin = couple
    code = sam.json("repair", "--topic", "The bicycles", "--now")["code"]
    for part in ("I took it.", "I took yours."):
        sam.ok("repair", code, "tell", "--own-part", part, "--felt", "sorry", "--now")
    sam.ok("sync")
    robin.ok("sync")
    for person, who in ((sam, "You:"), (robin, "Sam:")):
        before = person.ok("show", code).out.partition("Before ")[2]
        assert f"{who}  My part: I took it." in before
        assert "own_part" not in before


def test_what_waits_is_told_in_words_and_only_if_somebody_wrote_it(couple: Any, relay: Any, tmp_path: Path) -> None:
    ann = founded(couple, tmp_path, "Ann")
    ann.ok("relay", "set", relay.url)
    relay.stop()
    try:
        assert ann.run("sync").out == "Nothing new\n"
        assert ann.run("sync", "--json").json["pending"] > 0
        assert "not all of it" not in ann.ok("status").out
        ann.ok("checkin", "--private", "--hard", "x")
        assert "1 entry here, not all of it is on the relay yet" in ann.ok("status").out
        assert "waiting here" in ann.run("sync").out
    finally:
        relay.start()
