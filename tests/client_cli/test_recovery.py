"""`bide recovery`: the whole way, with real homes and a real relay."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import BIDE, RELAY, Person, Relay, end, make_person, pair, press_ctrl_c, wait_for
from .test_devices import add, shown


def make_words(person: Person) -> str:
    """A phrase, as a script makes it."""
    made = person.json("recovery", "create", "--words-noted", "--no-input")
    assert made["synced"] is True
    assert all(space["covered"] for space in made["spaces"])
    return " ".join(made["words"])


def use(person: Person, words: str, *args: str, name: str = "new laptop") -> Any:
    key = str(person.home.with_suffix(".key"))
    return person.json("recovery", "use", "--words", "-", "--name", name, "--key-file", key, "--no-input", *args, stdin=words)


def refused(person: Person, words: str, *args: str) -> Any:
    key = str(person.home.with_suffix(".key"))
    command = ("recovery", "use", "--words", "-", "--name", "new", "--key-file", key, "--no-input", "--json", *args)
    result = person.run(*command, stdin=words)
    assert result.code != 0
    assert not (person.home / "bide.db").exists()
    assert not any(word in result.err.split() for word in words.split()[:3])
    return result


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Ada and Robin, who have written, Ada for herself too: their homes and the relay's data, for each test to copy."""
    folder = tmp_path_factory.mktemp("begun")
    relay = Relay(folder / "relay")
    ada, robin = make_person(folder, "Ada", relay), make_person(folder, "Robin")
    pair(ada, robin)
    ada.ok("thank", "--noticed", "You drove my mother.")
    ada.ok("checkin", "--private", "--worry", "Only mine.")
    ada.ok("sync")
    robin.ok("sync")
    relay.stop()
    return folder, int(relay.url.rpartition(":")[2])


@pytest.fixture
def relay(tmp_path: Path, begun: tuple[Path, int]) -> Iterator[Relay]:
    folder, port = begun
    shutil.copytree(folder / "relay", tmp_path / "relay")
    relay = Relay(tmp_path / "relay", port)
    yield relay
    relay.stop()


@pytest.fixture
def couple(tmp_path: Path, begun: tuple[Path, int], relay: Relay) -> tuple[Person, Person]:
    """Ada and Robin as they were, each test's own."""
    assert relay.url
    for name in ("ada", "robin"):
        shutil.copytree(begun[0] / name, tmp_path / name)
    return Person(tmp_path / "ada"), Person(tmp_path / "robin")


def test_the_whole_story(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """Laptop and phone are gone; the words and the relay bring everything back, and the thief gets nothing more."""
    ada, robin = couple
    phone = Person(tmp_path / "phone")
    add(ada, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    words = make_words(ada)
    told = robin.ok("sync").err
    assert "Ada has a recovery phrase now." in told
    assert "recovery phrase (on paper) · Ada" in robin.ok("device").out
    before = shown(ada)
    new = Person(tmp_path / "new")
    result = use(new, words, "--relay", relay.url)
    assert (result["recovered"], result["name"], result["device"], result["removed"]) == (True, "Ada", "new laptop", 2)
    assert (result["private"], result["missing"], result["synced"]) == (True, 0, True)
    assert shown(new) == before
    told = robin.ok("sync").err
    assert "Ada has come back with a recovery phrase, on a new device: new laptop" in told
    assert "recovery phrase" not in robin.ok("sync").err
    new.ok("thank", "--noticed", "Written after.")
    new.ok("checkin", "--private", "--worry", "For myself, after.")
    new.ok("sync")
    robin.ok("thank", "--noticed", "Good to have you back.")
    robin.ok("sync")
    new.ok("sync")
    assert "Written after." in str(shown(robin))
    assert "Good to have you back." in str(shown(new))
    for old in (ada, phone):
        gone = old.run("sync", "--json")
        assert gone.code == 8
        assert "removed" in gone.err
        assert "Written after." not in str(shown(old))
        assert "For myself, after." not in str(shown(old))
    listed = [(each["name"], each["state"], each["recovery"], each["recovered"]) for each in new.json("device")["devices"]]
    assert listed[:4] == [
        ("device 1", "removed", False, False),
        ("phone", "removed", False, False),
        ("recovery phrase (on paper)", "active", True, False),
        ("new laptop", "active", False, True),
    ]
    assert "brought in by a recovery phrase" in robin.ok("device").out
    assert new.json("recovery", "check", "--words", "-", "--no-input", stdin=words)["right"] is True
    for person in (new, robin):
        assert not [f for f in person.json("doctor")["findings"] if f["level"] == "damage"]
        assert "on_theirs" not in str(
            [e["delivery"] for e in robin.entries() if e["fields"].get("noticed", "").startswith("Good")]
        )


def test_again_and_again(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """The same words bring back the journal when the next device is lost as well."""
    ada, robin = couple
    words = make_words(ada)
    use(Person(tmp_path / "one"), words, "--relay", relay.url, name="one")
    two = Person(tmp_path / "two")
    assert use(two, words, "--relay", relay.url, name="two")["removed"] == 1
    assert shown(two) == shown(ada)
    two.ok("thank", "--noticed", "Third device.")
    two.ok("sync")
    robin.ok("sync")
    assert "Third device." in str(shown(robin))


def test_words_that_count_no_more(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    ada, robin = couple
    old = make_words(ada)
    new = " ".join(ada.json("recovery", "rotate", "--words-noted", "--no-input")["words"])
    assert old != new
    assert "count no more" in refused(Person(tmp_path / "a"), old, "--relay", relay.url).err
    assert "count no more" in ada.run("recovery", "check", "--words", "-", stdin=old).err
    assert ada.json("recovery", "check", "--words", "-", stdin=new)["phrases"] == 1
    assert ada.run("recovery", "create", "--json", "--words-noted").code == 8
    destroyed = ada.json("recovery", "destroy", "--yes")
    assert (destroyed["destroyed"], destroyed["spaces"], destroyed["synced"]) == (1, 2, True)
    assert "count no more" in refused(Person(tmp_path / "b"), new, "--relay", relay.url).err
    assert ada.json("recovery")["phrases"] == 0
    assert ada.run("recovery", "destroy", "--yes").code == 8
    assert ada.run("recovery", "rotate", "--json", "--words-noted").code == 8
    robin.ok("sync")


def test_slips_and_wrong_places(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """A wrong word is named by its place; nothing is made, and nothing typed comes back in what is said."""
    ada, _ = couple
    words = make_words(ada).split()
    place = Person(tmp_path / "new")
    assert "number 3" in refused(place, " ".join([*words[:2], "xylophonist", *words[3:]]), "--relay", relay.url).err
    assert "these are 23" in refused(place, " ".join(words[:23]), "--relay", relay.url).err
    swapped = [words[1], words[0], *words[2:]]
    if words[0] != words[1]:
        assert refused(place, " ".join(swapped), "--relay", relay.url).code in (2, 4, 5, 6, 7, 8)
    assert refused(place, " ".join(words)).code == 2  # nobody said where the journal is
    typed = place.run("recovery", "use", "--words", " ".join(words), "--relay", relay.url, "--no-input")
    assert typed.code == 2
    assert "command line" in typed.err
    unreachable = refused(place, " ".join(words), "--relay", "ws://127.0.0.1:9")
    assert json.loads(unreachable.err)["code"] == "relay_unreachable"
    other = Relay(tmp_path / "other-relay")
    try:
        lacking = refused(place, " ".join(words), "--relay", other.url)
    finally:
        other.stop()
    assert json.loads(lacking.err)["code"] == "not_found"
    existing = ada.run(
        "recovery", "use", "--words", "-", "--relay", relay.url, "--name", "x", "--no-input", stdin=" ".join(words)
    )
    assert existing.code == 8
    # And the right words still work, with their numbers and in capitals.
    listed = "\n".join(f"{number}. {word.upper()}" for number, word in enumerate(words, 1))
    assert use(place, listed, "--relay", relay.url)["recovered"] is True


def test_who_has_run_init_already_loses_nothing_by_it(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """A home in which nothing was written gives way; it keeps its lock."""
    ada, robin = couple
    words = make_words(ada)
    new = make_person(tmp_path, "Somebody")
    assert use_begun(new, words, relay)["name"] == "Ada"
    assert shown(new) == shown(ada)
    assert new.json("status")["name"] == "Ada"
    new.ok("thank", "--noticed", "From the new one.")
    new.ok("sync")
    robin.ok("sync")
    assert "From the new one." in str(shown(robin))
    assert new.run("recovery", "use", "--words", "-", "--relay", relay.url, "--name", "x", stdin=words).code == 8


def use_begun(person: Person, words: str, relay: Relay) -> Any:
    return person.json("recovery", "use", "--words", "-", "--name", "n", "--relay", relay.url, "--no-input", stdin=words)


def test_somebody_elses_words_open_their_journal_and_are_not_mine(couple: tuple[Person, Person]) -> None:
    ada, robin = couple
    theirs = make_words(robin)
    make_words(ada)
    told = ada.run("recovery", "check", "--words", "-", stdin=theirs)
    assert told.code == 2
    assert "not of this journal" in told.err


def test_killed_half_way_it_begins_anew(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """SIGKILL at many moments: there is either no home, or a whole one; the next try comes through, and one device is left."""
    ada, robin = couple
    words = make_words(ada)
    before = shown(ada)
    new = Person(tmp_path / "new")
    key = str(tmp_path / "new.key")
    command = ("recovery", "use", "--words", "-", "--relay", relay.url, "--name", "new", "--key-file", key, "--no-input")
    unfinished = 0
    for step in range(6):
        process = new.start(*command)
        assert process.stdin is not None
        process.stdin.write(words)
        process.stdin.close()
        process.stdin = None
        # It has begun to be made, and is killed a little later each time.
        wait_for(lambda: bool(list(new.home.glob(".init-*/*.db"))) or (new.home / "bide.db").exists())
        time.sleep(0.04 * step)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        if (new.home / "bide.db").exists():
            break
        unfinished += 1
    assert unfinished
    if not (new.home / "bide.db").exists():
        use(new, words, "--relay", relay.url, name="new")
    new.ok("sync")
    robin.ok("sync")
    assert shown(new) == before
    mine = [each for each in robin.json("device")["devices"] if each["by"]["name"] == "Ada" and each["state"] == "active"]
    assert [(each["recovery"]) for each in mine] == [True, False]
    assert not list(new.home.glob(".init-*"))


def test_private_entries_that_no_relay_takes_come_back_by_a_file(tmp_path: Path) -> None:
    """Ada joined on a relay that lets in by invite, and has none: the words lead to what she shares."""
    data = tmp_path / "by-invite"
    relay = ByInvite(data)
    try:
        robin, ada = make_person(tmp_path, "Robin"), make_person(tmp_path, "Ada")
        robin.ok("relay", "set", relay.url, "--invite", relay.invite())
        pair(robin, ada)
        ada.ok("thank", "--noticed", "Shared.")
        ada.ok("checkin", "--private", "--worry", "Only mine.")
        ada.ok("sync")
        made = ada.json("recovery", "create", "--words-noted", "--no-input")
        words = " ".join(made["words"])
        assert [(each["kind"], each["covered"], each["on_relay"]) for each in made["spaces"]] == [
            ("own", True, False),
            ("pair", True, True),
        ]
        assert "From a bundle file only" in ada.ok("recovery").out
        bundle = str(tmp_path / "all.bide")
        ada.ok("bundle", "export", bundle)
        one, two = Person(tmp_path / "one"), Person(tmp_path / "two")
        both = use(one, words, "--relay", relay.url, "--bundle", bundle, name="one")
        assert (both["private"], len(shown(one))) == (True, 2)
        alone = use(two, words, "--relay", relay.url, name="two")
        assert (alone["private"], alone["missing"], len(shown(two))) == (False, 0, 1)
        assert all(each["covered"] for each in alone["spaces"])
        two.ok("checkin", "--private", "--worry", "Anew.")
        two.ok("sync")
    finally:
        relay.stop()


def test_what_cannot_be_had_stops_it_unless_it_is_left_out(tmp_path: Path) -> None:
    """Two relays, of which one is away: nothing is changed, and nothing silently lost."""
    here, away = Relay(tmp_path / "here"), Relay(tmp_path / "away")
    try:
        ada, robin = make_person(tmp_path, "Ada", here), make_person(tmp_path, "Robin", away)
        pair(robin, ada)
        ada.ok("checkin", "--private", "--worry", "Only mine.")
        ada.ok("thank", "--noticed", "Shared.")
        ada.ok("sync")
        words = make_words(ada)
        away.stop()
        new = Person(tmp_path / "new")
        told = refused(new, words, "--relay", here.url)
        assert "--without-missing" in told.err
        ada.ok("thank", "--noticed", "Nothing was changed.")
        assert ada.run("sync").code == 5  # it is away, and nobody was removed
        result = use(new, words, "--relay", here.url, "--without-missing")
        assert (result["missing"], result["private"], len(shown(new))) == (1, True, 1)
    finally:
        here.stop()
        away.stop()


def test_what_was_left_quietly_keeps_nothing_back(tmp_path: Path) -> None:
    """Nothing of it is sent any more, not even that the words open it: all else comes back by them."""
    here, away = Relay(tmp_path / "here"), Relay(tmp_path / "away")
    try:
        ada, robin = make_person(tmp_path, "Ada", here), make_person(tmp_path, "Robin", away)
        pair(robin, ada)
        ada.ok("checkin", "--private", "--worry", "Only mine.")
        ada.ok("sync")
        words = make_words(ada)
        ada.ok("leave", "--quietly", "--yes")
        ada.ok("sync")
        away.stop()
        result = use(Person(tmp_path / "new"), words, "--relay", here.url)
        assert (result["missing"], result["private"]) == (0, True)
    finally:
        here.stop()
        away.stop()


class ByInvite(Relay):
    """A relay that lets in only who has an invite."""

    flags = ()

    def invite(self) -> str:
        made = subprocess.run([RELAY, "invite", "--data", str(self.data)], capture_output=True, text=True, check=True)
        return made.stdout.split()[-1]


def test_a_thief_cannot_end_the_phrase_after_it_was_used(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    ada, robin = couple
    words = make_words(ada)
    robin.ok("sync")
    for name in ("stolen", "told"):
        shutil.copytree(ada.home, tmp_path / name)
    thief, told = Person(tmp_path / "stolen"), Person(tmp_path / "told")
    new = Person(tmp_path / "new")
    use(new, words, "--relay", relay.url)
    robin.ok("sync")
    for _ in range(2):  # the second time it knows by itself
        online = told.run("recovery", "destroy", "--yes")
        assert (online.code, "removed" in online.err) == (8, True)
    thief.ok("relay", "unset")
    assert thief.json("recovery", "destroy", "--yes")["destroyed"] == 1  # never online, it doesn't know better
    thief.ok("thank", "--noticed", "From the thief.", "--with", "Robin")
    bundle = tmp_path / "poisoned.bide"
    thief.ok("bundle", "export", str(bundle), "--with", "Robin")
    robin.run("bundle", "import", str(bundle))  # not even by hand
    robin.ok("sync")
    new.ok("sync")
    assert "From the thief." not in str(shown(robin)) + str(shown(new))
    assert new.json("recovery")["phrases"] == 1
    third = Person(tmp_path / "third")
    assert use(third, words, "--relay", relay.url)["recovered"] is True


def test_from_a_bundle_file_without_any_relay(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    ada, robin = couple
    words = make_words(ada)
    robin.ok("sync")
    bundle = tmp_path / "journal.bide"
    ada.ok("bundle", "export", str(bundle))
    relay.stop()
    before = shown(ada)
    new = Person(tmp_path / "new")
    result = use(new, words, "--bundle", str(bundle))
    assert (result["recovered"], result["private"]) == (True, True)
    assert shown(new) == before
    new.ok("thank", "--noticed", "By file.")
    new.ok("bundle", "export", str(bundle), "--force", "--with", "Robin")
    told = robin.ok("bundle", "import", str(bundle)).err
    assert "Ada has come back with a recovery phrase" in told
    assert "By file." in str(shown(robin))
    relay.start()
    new.ok("relay", "set", relay.url)
    new.ok("sync")
    robin.ok("thank", "--noticed", "By relay.")
    robin.ok("sync")
    new.ok("sync")
    assert "By relay." in str(shown(new))
    assert ada.run("sync").code == 8


def test_at_the_terminal(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """Shown once, asked back, taken off the screen; then typed on the new device."""
    ada, _ = couple
    child = ada.terminal("recovery", "create")
    child.expect("When they are on the paper: Enter")
    lines = child.before.splitlines()
    numbered = {
        int(part.split(".")[0]): part.split(".")[1].strip()
        for line in lines
        for part in line.strip().split("   ")
        if "." in part and part.split(".")[0].strip().isdecimal()
    }
    assert sorted(numbered) == list(range(1, 25))
    child.sendline("")
    child.expect_exact("\x1b[3J")
    for _ in range(3):
        child.expect(r"Which word is number (\d+) on your paper")
        number = int(child.match.group(1))
        child.sendline("wrong")
        child.expect(f"not what was shown as number {number}")
        child.expect(f"Which word is number {number} on your paper")
        child.sendline(numbered[number])
    child.expect("The phrase counts now")
    assert end(child) == 0
    new = Person(tmp_path / "new")
    child = new.terminal("recovery", "use", "--relay", relay.url, "--key-file", str(tmp_path / "new.key"))
    child.expect("From word 1:")
    child.sendline(" ".join(numbered[n] for n in range(1, 13)))
    child.expect("From word 13:")
    child.sendline(" ".join(numbered[n] for n in range(13, 25)))
    child.expect("What is this device to be called")
    child.sendline("laptop")
    child.expect("Welcome back, Ada")
    assert end(child) == 0
    assert shown(new) == shown(ada)


def test_making_needs_a_person_or_a_script_that_notes_the_words(couple: tuple[Person, Person]) -> None:
    ada, _ = couple
    assert ada.run("recovery", "create", "--no-input").code == 2
    assert ada.run("recovery", "create", "--json", "--no-input").code == 2
    assert ada.json("recovery")["phrases"] == 0
    assert "bide recovery create" in ada.ok("recovery").out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs something that takes nothing: /dev/full")
def test_words_that_never_came_out_are_told_of_until_there_are_others(couple: tuple[Person, Person]) -> None:
    """What they were printed to took nothing, or Bide was killed before."""
    ada, _ = couple
    with Path("/dev/full").open("w") as full:
        made = subprocess.run(
            [BIDE, "recovery", "create", "--json", "--words-noted", "--no-input"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ada.env,
            check=False,
        )
    assert made.returncode != 0
    told = ada.json("recovery")
    assert (told["phrases"], told["given"]) == (1, False)
    assert "Perhaps nobody has" in ada.ok("recovery").err
    assert "Perhaps nobody has" in ada.ok("doctor").out
    ada.json("recovery", "rotate", "--words-noted", "--no-input")
    told = ada.json("recovery")
    assert (told["phrases"], told["given"]) == (1, True)
    assert "Perhaps nobody has" not in ada.ok("recovery").err + ada.ok("doctor").out


def test_a_phrase_is_not_revoked_or_renamed_as_a_device(couple: tuple[Person, Person]) -> None:
    ada, _ = couple
    make_words(ada)
    refused_one = ada.run("device", "revoke", "recovery phrase (on paper)", "--yes")
    assert refused_one.code == 8
    assert "bide recovery destroy" in refused_one.err
    assert ada.run("device", "rename", "recovery phrase (on paper)", "x").code == 8
    assert ada.json("status")["spaces"][0]["devices"] == [
        {"by": ada.json("status")["spaces"][0]["devices"][0]["by"], "this": True}
    ]


def test_what_is_shared_later_comes_back_too(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    ada, _ = couple
    words = make_words(ada)
    kim = make_person(tmp_path, "Kim", relay)
    pair(kim, ada)
    ada.ok("thank", "--noticed", "To Kim.", "--with", "Kim")
    for _ in range(2):
        ada.ok("sync")
        kim.ok("sync")
    assert all(space["covered"] for space in ada.json("recovery")["spaces"])
    new = Person(tmp_path / "new")
    use(new, words, "--relay", relay.url)
    assert "To Kim." in str(shown(new))


def test_no_words_in_what_is_kept(tmp_path: Path, relay: Relay, couple: tuple[Person, Person]) -> None:
    """The words are in no file of either home."""
    ada, _ = couple
    words = make_words(ada)
    place = Person(tmp_path / "new")
    use(place, words, "--relay", relay.url)
    needles = [words.encode(), words.upper().encode(), " ".join(words.split()[:3]).encode()]
    for folder in (ada.home, place.home):
        for file in folder.rglob("*"):
            if file.is_file():
                data = file.read_bytes()
                assert not any(needle in data for needle in needles)


def test_who_stops_is_told_that_the_words_count_for_nothing(tmp_path: Path, relay: Relay) -> None:
    """And isn't left with them on the screen; nor is who typed them."""
    ada = make_person(tmp_path, "Ada", relay)
    terminal = ada.terminal("recovery", "create")
    terminal.expect("When they are on the paper")
    press_ctrl_c(terminal)
    terminal.expect_exact("\x1b[3J")
    terminal.expect("Stopped: the words that were shown count for nothing, and nothing was changed.")
    assert end(terminal) == 130
    assert ada.json("recovery")["phrases"] == 0
    words = make_words(ada)
    terminal = ada.terminal("recovery", "check")
    terminal.expect("From word 1")
    terminal.sendline(words)
    terminal.expect_exact("\x1b[3J")
    terminal.expect("The words are right.")
    assert end(terminal) == 0
