"""``bide doctor`` as a person meets it: what is said of damage, who is asked for what, and what a killed repair leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from client_cli.conftest import BIDE, Person, Relay, end
from client_cli.test_unlocking import RIGHT, put_under_passphrase, secret_file

from bide.errors import Phrase
from bide.replica.examining.doctor import LAID_BY, NOTE, Finding
from bide.replica.examining.mending import NoRelayHasIt
from bide.storage.opening import PAGE_BYTES, open_database
from bide_cli.building import mending
from bide_cli.cli import run
from bide_cli.commands.doctor import _ways_back
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.waiting import Waiting
from bide_cli.unlocking.agent import end_agent
from bide_cli.unlocking.opening import forget_key

BEGINNING = "The beginning of the database file can't be read any more."


def break_beginning(home: Path) -> None:
    """Lose the first page: no key opens the database any more."""
    with (home / "bide.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 50)


def break_page(home: Path, number: int) -> None:
    """Lose another page."""
    with (home / "bide.db").open("r+b") as file:
        file.seek(number * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


def test_what_was_wrong_is_said_as_well_as_what_was_mended(sam: Person) -> None:
    """To people and to scripts; and a second run has nothing to say."""
    sam.ok("thank", "--private", "--noticed", "The kettle was on")
    break_beginning(sam.home)
    whole = (sam.home / "bide.db").read_bytes()
    result = sam.run("doctor", "--repair")
    assert result.code == 0
    assert result.err.startswith(BEGINNING)
    assert "bide sync" not in result.err, "there is no relay to sync with"
    assert "DAMAGE" not in result.out
    assert "nothing to mend" in sam.ok("doctor", "--repair").err
    (sam.home / "bide.db").write_bytes(whole)
    told = sam.json("doctor", "--repair")
    assert (told["damage"], told["sound"]) == ([BEGINNING], True)
    assert [entry["kind"] for entry in sam.entries()] == ["appreciation"]


def test_a_wrong_passphrase_of_a_damaged_home_is_asked_for_three_times_and_no_more(sam: Person) -> None:
    """And is called wrong, whatever else may be the matter."""
    put_under_passphrase(sam)
    break_beginning(sam.home)
    child = sam.terminal("doctor")
    for _ in range(3):
        child.expect("Passphrase:")
        child.sendline("eight slow herons")
    assert end(child) == 7
    assert "Passphrase:" not in child.before
    assert "doesn't open this home" in child.before


def test_the_agent_is_enough_to_look_at_a_damaged_home_and_to_mend_it(sam: Person, tmp_path: Path) -> None:
    """Who has opened the home for a while is not asked because it is damaged."""
    put_under_passphrase(sam)
    words = {"BIDE_PASSPHRASE_FILE": secret_file(tmp_path / "words", RIGHT.encode())}
    assert sam.run("unlock", env=words).code == 0
    try:
        break_beginning(sam.home)
        result = sam.run("doctor")
        assert (result.code, BEGINNING in result.out) == (1, True), result
        assert sam.run("doctor", "--repair").code == 0
        assert sam.run("doctor").code == 0
    finally:
        end_agent(sam.home)


def test_what_a_killed_repair_left_is_removed_by_the_next_command(sam: Person) -> None:
    """It would be taken for newer than it is one day. While somebody is mending it is left alone."""
    left = [sam.home / name for name in ("mending", "mending-abc", "damaged-2026-01-01.part")]
    kept = sam.home / "damaged-2026-01-01"
    for folder in (*left, kept):
        folder.mkdir()
        (folder / "ready.db").write_bytes(b"x")
    (sam.home / "key.lock").touch(0o600)
    with (sam.home / "key.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sam.ok("status")
        assert left[0].exists()
        assert left[2].exists()
    sam.ok("status")
    assert not [folder for folder in left if folder.exists()]
    assert kept.exists()


def test_an_old_database_of_a_killed_repair_never_takes_the_place_of_a_newer_one(sam: Person) -> None:
    """A repair that was killed when it was done, an entry after it, and the beginning lost once more."""
    sam.ok("thank", "--private", "--noticed", "one")
    (sam.home / "mending").mkdir()
    (sam.home / "key.lock").touch(0o600)
    shutil.copyfile(sam.home / "bide.db", sam.home / "mending" / "ready.db")
    sam.ok("thank", "--private", "--noticed", "two")
    break_page(sam.home, 0)
    sam.ok("doctor", "--repair")
    assert len(sam.entries()) == 2


def test_ctrl_c_waits_until_the_new_database_is_in_its_place(
    sam: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In between nothing opens the home; before that, Ctrl-C leaves everything as it was, and says so."""
    sam.ok("thank", "--private", "--noticed", "one")
    break_beginning(sam.home)
    before = (sam.home / "bide.db").read_bytes()
    for name, value in sam.env.items():
        monkeypatch.setenv(name, value)

    def interrupted(name: str) -> None:
        """Ctrl-C at the beginning of a step."""
        step = getattr(mending, name)

        def interrupt(*args: object, **kwargs: object) -> object:
            os.kill(os.getpid(), signal.SIGINT)
            return step(*args, **kwargs)

        monkeypatch.setattr(mending, name, interrupt)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context():
        interrupted("_make_room")
        with pytest.raises(KeyboardInterrupt):
            run(["doctor", "--repair"])
    monkeypatch.undo()
    for name, value in sam.env.items():
        monkeypatch.setenv(name, value)
    assert "Stopped. Nothing was changed." in capsys.readouterr().err
    assert (sam.home / "bide.db").read_bytes() == before
    assert not list(sam.home.glob("damaged-*"))
    assert not (sam.home / "mending").exists()
    interrupted("_write_over")
    assert run(["doctor", "--repair"]) == 0
    forget_key(sam.home)
    assert len(sam.entries()) == 1


def test_what_can_still_be_read_and_is_nowhere_else_is_not_mended_away(sam: Person) -> None:
    """Without a relay, where log entries are lost: the timeline is still there, and an export keeps it. Not a byte changes."""
    for number in range(3):
        sam.ok("thank", "--private", "--noticed", f"number {number}")
    whole = (sam.home / "bide.db").read_bytes()
    refused = 0
    for page in range(1, 12):
        (sam.home / "bide.db").write_bytes(whole)
        break_page(sam.home, page)
        before = (sam.home / "bide.db").read_bytes()
        result = sam.run("doctor", "--repair", "--json")
        if result.code != 0:
            assert result.error["code"] == NoRelayHasIt.code, (page, result)
            assert (sam.home / "bide.db").read_bytes() == before
            assert sam.ok("export").out.count("number") == 3
            refused += 1
        else:
            assert len(sam.entries()) == 3, page
    assert refused == 1, "the page with the log entries"


def lose_an_entry(home: Path) -> None:
    """One in the middle of the own log, so that nothing after it can be proved. The timeline has it still."""
    database = open_database(home / "bide.db", (home.parent / "key").read_bytes())
    database.execute("DELETE FROM envelope WHERE seq = 4")
    database.close()


def own_key(person: Person, tmp_path: Path) -> None:
    """Let the home have its key file beside it."""
    config = person.home / "config.toml"
    lines = config.read_text().splitlines()
    key_file = Path(next(line for line in lines if line.startswith("key_file")).partition('"')[2].rstrip('"'))
    secret_file(tmp_path / "key", key_file.read_bytes())
    config.write_text(config.read_text().replace(str(key_file), str(tmp_path / "key")))


def test_whoever_lost_what_the_relay_lost_too_may_go_on_without_it(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """Before that nothing is written, since Robin may have it. Who goes on is heard by Robin, who has it."""
    sam, robin = two
    own_key(sam, tmp_path)
    for number in range(5):
        sam.ok("thank", "--noticed", f"number {number}")
    for person in (sam, robin):
        person.ok("sync")
    lose_an_entry(sam.home)
    relays[0].stop()
    shutil.rmtree(relays[0].data)
    relays[0].start()
    assert sam.json("doctor", "--repair")["mended"]["must_sync"] == 1
    assert "are on no relay" in sam.ok("sync").err
    refused = sam.run("thank", "--noticed", "too early", "--json")
    assert (refused.code, refused.error["code"]) == (8, "not_allowed"), refused
    sam.ok("thank", "--private", "--noticed", "to nobody")
    for args in (("thank", "--noticed", "too early"), ("erase", "--all", "--yes"), ("leave", "--yes")):
        hint = sam.run(*args, "--json").error["hint"]
        assert ("bide sync" in hint, "bide doctor --repair" in hint) == (True, True), args
    assert "bide leave --quietly" in sam.run("leave", "--yes").err
    assert "Nothing can be written here now" in sam.ok("status").out
    for answer in ("n", "y"):
        child = sam.terminal("doctor", "--repair")
        child.expect("keeps and shows it, and it can't be erased")
        child.expect("Go on without it")
        child.sendline(answer)
        assert end(child) == 0, child.before
        assert ("doctor --repair" in " ".join(str(child.before).split())) is (answer == "n")
    for words in (("thank", "--noticed", "too early"), ("doctor",), ("doctor", "--repair")):
        decided = sam.run(*words)
        assert "bide sync" in decided.out + decided.err
        assert "doctor --repair" not in decided.out + decided.err, words
    told = sam.ok("sync").err
    assert "goes on as a new device" in told
    assert "revoke" not in told, "what it was is no device of its own any more"
    assert "Nothing can be written here now" not in sam.ok("status").out
    sam.ok("thank", "--noticed", "gone on")
    for person in (sam, robin, sam):
        person.ok("sync")
    assert "gone on" in robin.ok("timeline").out
    assert "number 4" not in sam.ok("timeline").out
    assert "nothing to mend" in sam.run("doctor", "--repair").err


@pytest.mark.parametrize("locked", ["key file", "relative key file", "passphrase"])
def test_what_was_laid_by_comes_back_with_the_two_commands_that_are_said(sam: Person, tmp_path: Path, locked: str) -> None:
    """Who is asked may mend it all the same. The commands are run as they stand, twice, in a folder of somebody's."""
    own_key(sam, tmp_path)
    for number in range(9):
        sam.ok("thank", "--private", "--noticed", f"number {number}")
    lose_an_entry(sam.home)
    if locked == "passphrase":
        put_under_passphrase(sam)
        sam.env["BIDE_PASSPHRASE_FILE"] = secret_file(tmp_path / "words", RIGHT.encode())
    elif locked == "relative key file":
        sam.env["BIDE_KEY_FILE"] = os.path.relpath(tmp_path / "key")
    before = (sam.home / "bide.db").read_bytes()
    for answer, code in (("n", 1), ("y", 0)):
        child = sam.terminal("doctor", "--repair")
        child.expect("Mend it all the same")
        assert (sam.home / "bide.db").read_bytes() == before
        child.sendline(answer)
        assert end(child) == code, child.before
    kept = next(sam.home.glob("damaged-*"))
    told = sam.ok("doctor").out
    commands = [line.strip() for line in told.splitlines() if line.strip().startswith("bide ")]
    file = f"{kept.name}.json"
    assert commands == [
        f"bide --home {kept} export --format json --output {file}",
        f"bide import bide {file}",
    ]
    assert any(all(command in finding["words"] for command in commands) for finding in sam.json("doctor")["findings"])
    assert sam.ok("timeline").out.count("number") < 9
    env = {**sam.env, "PATH": f"{Path(BIDE).parent}:{sam.env['PATH']}"}
    if locked == "relative key file":
        env["BIDE_KEY_FILE"] = "key"
    for _ in range(2):
        for command in commands:
            subprocess.run(command, shell=True, check=True, env=env, cwd=tmp_path, capture_output=True)
        assert sam.ok("export").out.count("number") >= 9
        assert len(sam.entries()) == 9
        (tmp_path / file).unlink()
    shutil.rmtree(kept)
    assert "bide import" not in sam.ok("doctor").out, "there is nothing left to read it from"


def test_the_way_back_names_the_home_that_was_named(sam: Person, tmp_path: Path) -> None:
    """Whose home is not the one of every day would else bring it back into another."""
    findings = [Finding(NOTE, Phrase(LAID_BY, {"count": 1, "space": "it"}))]
    home = tmp_path / "another home"
    for name in ("damaged-2026-01-01", "damaged-2026-01-01-2", "damaged-2026-01-02.part"):
        (home / name).mkdir(parents=True)
        (home / name / "bide.db").touch()
    first, second = _ways_back(home, findings)
    assert str(first.words).splitlines()[1:] == [
        f"bide --home '{home}/damaged-2026-01-01' export --format json --output damaged-2026-01-01.json",
        f"bide --home '{home}' import bide damaged-2026-01-01.json",
    ]
    assert "damaged-2026-01-01-2" in str(second.words)
    assert _ways_back(home, []) == []


def test_a_relay_counts_once_it_has_acknowledged_what_is_lost(sam: Person, tmp_path: Path, relay: Relay) -> None:
    """To name one that has nothing changes nothing; with one that has it all is mended, and comes back."""
    own_key(sam, tmp_path)
    for number in range(9):
        sam.ok("thank", "--private", "--noticed", f"number {number}")
    sam.ok("relay", "set", relay.url)
    whole = (sam.home / "bide.db").read_bytes()
    lose_an_entry(sam.home)
    before = (sam.home / "bide.db").read_bytes()
    result = sam.run("doctor", "--repair", "--json")
    assert (result.code, result.error["code"]) == (1, NoRelayHasIt.code), result
    assert (sam.home / "bide.db").read_bytes() == before
    assert not list(sam.home.glob("damaged-*"))
    (sam.home / "bide.db").write_bytes(whole)
    sam.ok("sync")
    sam.ok("thank", "--private", "--noticed", "number 9, not sent")
    lose_an_entry(sam.home)
    assert sam.json("doctor", "--repair")["mended"]["laid_by"] > 5
    sam.ok("sync")
    assert len(sam.entries()) == 10
    assert "laid by" not in sam.ok("doctor").out


def test_how_far_it_is_is_shown_on_a_terminal_after_a_second(
    sam: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it before that, nothing with --json, and the line is gone afterwards."""
    clock = [100.0]
    monkeypatch.setattr("bide_cli.terminal.waiting.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for as_json in (True, False):
        waiting = Waiting(Shell(sam.home, as_json=as_json))
        clock[0] += 100
        waiting.begin("Looking")
        waiting.progress(1, 4)
        assert capsys.readouterr().err == ""
        clock[0] += 1.5
        waiting.progress(2, 4)
        waiting.end()
        assert capsys.readouterr().err == ("" if as_json else "\rLooking 50 %\x1b[K\r\x1b[K")
