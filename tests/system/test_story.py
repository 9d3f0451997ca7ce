"""The main job and its bad days, with real processes: two homes, one relay, one timeline."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from homes import TIMEOUT_S, Home, pair

from bide_relay.testing import RelayProcess

SECRET_WORDS = ("pomegranate", "ทับทิม", "رمان")


def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    """``bide demo`` ends well, with both timelines the same and nothing readable at the relay."""
    result = subprocess.run(
        [sys.executable, "-m", "bide_cli.main", "demo", "--dir", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "The same." in result.stdout
    assert "FOUND" not in result.stdout
    assert "BIDE_HOME=" in result.stdout


def test_two_people_write_offline_and_read_the_same(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """What both wrote while the relay was down is on both timelines afterwards, and readable offline again."""
    sam, robin = couple
    relay.stop()
    mine, theirs = sam.write("the bread"), robin.write("the rain")
    invited = ((sam, "the dishes"), (robin, "that evening"))
    crossed = [home.json("repair", "--topic", topic, "--now")["id"] for home, topic in invited]
    assert sam.ids() == {mine, crossed[0]}
    relay.start()
    for home in (sam, robin, sam):
        home.run("sync")
    relay.stop()
    assert sam.ids() == robin.ids() == {mine, theirs, min(crossed)}
    assert sam.pair_digest() == robin.pair_digest()
    topics = {t["topic"] for t in robin.json("show", crossed[0])["entry"]["fields"]["topics"]}
    assert topics == {"the dishes", "that evening"}


def test_a_relay_that_is_down_delays_nothing(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """A write succeeds and says it will go later; sync ends with 5; delivery is told as it is."""
    sam, robin = couple
    relay.stop()
    entry = sam.write("anyway")
    code, _, err = sam.call("sync")
    assert code == 5
    assert err.strip()
    assert sam.json("show", entry)["entry"]["delivery"] == "here"
    relay.start()
    sam.run("sync")
    assert sam.json("show", entry)["entry"]["delivery"] == "on the relay"
    robin.run("sync")
    robin.write("thank you")
    robin.run("sync")
    sam.run("sync")
    assert sam.json("show", entry)["entry"]["delivery"] == "on a device of theirs"


def test_a_wrong_code_is_spent_and_shares_nothing(tmp_path: Path, relay: RelayProcess) -> None:
    """Both sides end with 6, neither has a space, the code can't be tried again, and a new one works."""
    sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
    sam.run("relay", "set", relay.url)
    waiting = sam.start("pair", "--json", "--words-verified")
    assert waiting.stdout is not None
    code = json.loads(waiting.stdout.readline())["code"]
    nameplate, rest = code.split("-", 1)
    words, authority = rest.split("@")
    wrong = f"{nameplate}-{'-'.join(reversed(words.split('-')))}@{authority}"
    exit_code, _, err = robin.call("join", "--code", "-", "--words-verified", "--json", stdin=wrong + "\n")
    assert exit_code == 6, err
    assert json.loads(err)["code"] == "code_mismatch"
    waiting.communicate(timeout=TIMEOUT_S)
    assert waiting.returncode == 6
    exit_code, _, _ = robin.call("join", "--code", "-", "--words-verified", stdin=code + "\n")
    assert exit_code != 0
    for home in (sam, robin):
        assert [space["kind"] for space in home.json("status")["spaces"]] == ["own"]
        assert home.call("thank", "--noticed", "you")[0] == 3
    pair(sam, robin, relay.url)


def test_nothing_readable_is_left_on_any_disk(couple: tuple[Home, Home], relay: RelayProcess, tmp_path: Path) -> None:
    """Known words are in no file of a home or a relay, whatever the script."""
    sam, robin = couple
    for word in SECRET_WORDS:
        sam.json("checkin", "--from-json", "-", stdin=json.dumps({"hard": word}))
        sam.json("checkin", "--private", "--from-json", "-", stdin=json.dumps({"worry": word}))
    sam.run("sync")
    robin.run("sync")
    assert len(robin.json("search", SECRET_WORDS[1])["entries"]) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "relay.db" for path in files)
    for path in files:
        data = path.read_bytes()
        for word in (*SECRET_WORDS, "Robin"):
            assert word.encode() not in data, f"{path.name} holds a word in the clear"


def test_writers_at_once_lose_nothing(couple: tuple[Home, Home]) -> None:
    """Ten commands at once on one home all land, in one log without gap or fork."""
    sam, robin = couple
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ids = set(pool.map(lambda number: sam.write(f"number {number}"), range(10)))
    assert len(ids) == 10
    assert ids <= sam.ids()
    sam.assert_sound()
    sam.run("sync")
    robin.run("sync")
    assert ids <= robin.ids()


def test_a_watcher_brings_entries_as_they_come(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """``bide sync --watch`` receives live, survives a relay that restarts, and ends cleanly when asked to."""
    sam, robin = couple
    watcher = robin.start("sync", "--watch")
    try:
        first = sam.write("first")
        sam.run("sync")
        _wait_for(lambda: first in robin.ids())
        relay.kill()
        relay.start()
        second = sam.write("second")
        sam.run("sync")
        _wait_for(lambda: second in robin.ids())
        third = robin.write("third")
        _wait_for(lambda: sam.call("sync")[0] == 0 and third in sam.ids())
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.communicate(timeout=TIMEOUT_S)
    assert watcher.returncode in (0, 130)


def _wait_for(condition: object, *, seconds: float = 30) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.2)
