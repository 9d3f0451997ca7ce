"""``bide review`` as a person and as a script use it: what is in it, on screens of every width, and as a file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from client_cli.conftest import BIDE, Person, make_person
from client_cli.reviewed import AGREEMENT, open_replica, texts, write_weeks

from bide.testing import FakeClock
from bide_cli.terminal.layout import text_columns

NEVER = ("SECRET", "TAKEN BACK", "WITHDRAWN", "ASKED AND NOT ANSWERED", "ALONE", "milk")
BLOCKS = set("▁▂▃▄▅▆▇█━")
HEAVY = {"automerge", "nacl", "pydantic", "websockets", "msgpack", "spake2", "rich", "keyring", "asyncio", "platformdirs"}
SNIPPET = """
import sys
sys.argv = ["bide", "review"]
from bide_cli.main import main
code = main()
print("\\n" + " ".join(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
sys.exit(code)
"""
STYLES = re.compile("\x1b\\[[0-9;]*m|[\u2066-\u2069\u200e\u200f]")


@pytest.fixture(scope="module")
def reviewer(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Sam, after twelve weeks with Robin. For tests that only look."""
    folder = tmp_path_factory.mktemp("reviewed")
    sam, robin = make_person(folder, "Sam"), make_person(folder, "Robin")
    write_weeks(sam.home, robin.home)
    return sam


def on_screen(person: Person, *args: str, columns: int, **env: str) -> list[str]:
    """What a screen of that width shows, without styles."""
    child = pexpect.spawn(
        BIDE,
        ["review", *args],
        env={**person.env, "BIDE_PAGER": "cat", **env},
        encoding="utf-8",
        timeout=30,
        dimensions=(50, columns),
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return STYLES.sub("", str(child.before)).replace("\r", "").rstrip("\n").split("\n")


def test_the_data_is_mine_and_ours(reviewer: Person) -> None:
    """My words by their days, what we had together, and nothing of the other's, nothing open, nothing taken back."""
    data = reviewer.json("review")
    assert data["schema"] == "bide.review/1"
    assert (data["weeks"], data["step"], len(data["spans"])) == (12, "week", 12)
    assert data["holds_private"] is True
    assert not [word for word in NEVER if word in texts(data)]
    assert {core["core"] for core in data["feelings"]["cores"]} == {
        "glad",
        "calm",
        "close",
        "able",
        "sad",
        "afraid",
        "angry",
        "worn",
    }
    assert sum(sum(core["by_span"]) for core in data["feelings"]["cores"]) == sum(
        sum(core["by_weekday"]) for core in data["feelings"]["cores"]
    )
    assert [item["agreement"] for item in data["talks"]] == [AGREEMENT]
    assert [item["topics"] for item in data["talks"]] == [["The dishes on Sunday"]]
    assert [item["what"] for item in data["together"]] == ["The night market"]
    assert [item["answer"] for item in data["questions"]] == ["That somebody keeps the light on."]
    assert [item["fields"]["noticed"] for item in data["noticed"]] == ["You drove my mother home."]
    days = [item["day"] for item in data["good"]]
    assert days == sorted(days)


def test_what_is_private_can_be_left_out(reviewer: Person) -> None:
    """In every list and in every number."""
    both, less = reviewer.json("review"), reviewer.json("review", "--shared-only")
    assert less["holds_private"] is False
    assert '"private"' not in texts(less)
    assert 0 < len(less["good"]) < len(both["good"])
    assert sum(w["times"] for w in less["feelings"]["words"]) < sum(w["times"] for w in both["feelings"]["words"])
    assert reviewer.json("review", "--with", "Robin")["holds_private"] is False


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("weeks", ["1", "12", "26", "60", "520"])
def test_no_line_leaves_the_screen(reviewer: Person, columns: int, weeks: str) -> None:
    """However wide it is, however long the time."""
    lines = on_screen(reviewer, "--weeks", weeks, columns=columns)
    assert max(map(text_columns, lines)) <= columns, max(lines, key=text_columns)
    assert lines[0].startswith("A look back, ")
    assert not [word for word in NEVER if any(word in line for line in lines)]


def test_a_screen_shows_blocks_and_words(reviewer: Person) -> None:
    """A row a feeling under the names of months, then the words by their weeks."""
    lines = on_screen(reviewer, columns=80)
    row = next(line for line in lines if line.startswith("  glad"))
    assert BLOCKS & set(row)
    assert any("━" in line and "thread-bare" in line for line in lines)
    assert any(line.lstrip().startswith("Week of ") for line in lines)
    for text in ("The night market", "The dishes on Sunday", "That somebody keeps the light on."):
        assert any(text in line for line in lines)


@pytest.mark.parametrize(("args", "env"), [(["--plain"], {}), (["--accessible"], {}), ([], {"TERM": "dumb"})])
def test_without_blocks_it_is_said_in_words(reviewer: Person, args: list[str], env: dict[str, str]) -> None:
    """For a screen reader, a file, a terminal that can do nothing."""
    text = "\n".join(on_screen(reviewer, *args, columns=80, **env))
    assert not BLOCKS & set(text)
    assert re.search(r"glad: (\n\s+)?Week of", text)
    assert "\x1b" not in text


def test_a_pipe_gets_plain_words(reviewer: Person) -> None:
    """No colours, no blocks, no marks of direction."""
    out = reviewer.ok("review").out
    assert "\x1b" not in out
    assert not (BLOCKS | set("\u2068\u2069")) & set(out)
    assert "thread-bare (" in out


def test_nothing_heavy_is_imported(reviewer: Person) -> None:
    """A look back is reading."""
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET], env=reviewer.env, capture_output=True, text=True, check=True, timeout=60
    )
    assert "The night market" in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


def test_an_empty_time_is_told_kindly(sam: Person, tmp_path: Path) -> None:
    """In the terminal, in the JSON and on the page."""
    assert "that is fine" in sam.ok("review").out
    assert sam.json("review")["feelings"] == {"cores": [], "words": []}
    sam.ok("review", "--html", str(tmp_path / "r.html"))
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "that is fine" in page
    assert "<svg" not in page


@pytest.mark.parametrize("weeks", ["0", "-3", "1041", "99999999999999999999", "many"])
def test_weeks_that_make_no_sense_are_refused(sam: Person, weeks: str) -> None:
    """With a sentence and the code for bad input."""
    result = sam.run("review", "--weeks", weeks)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert result.err.strip()


def test_a_clock_far_away_breaks_nothing(sam: Person) -> None:
    """Entries of a device whose clock went wrong are simply of another time."""
    for year in (1971, 2100):
        replica = open_replica(sam.home, FakeClock((year - 1970) * 31_556_952_000))
        replica.write("checkin", {"hard": f"in {year}", "feelings": ["sad"]}, private=True)
        assert [item["fields"]["hard"] for item in replica.review()["hard"]] == [f"in {year}"]
        replica.storage.close()
    assert sam.json("review", "--weeks", "1040")["hard"] == []


def test_the_page_is_for_me_alone_and_replaces_nothing(reviewer: Person, tmp_path: Path) -> None:
    """Readable by its owner only, whole or not at all, and never over another file unasked."""
    page = tmp_path / "review.html"
    told = reviewer.ok("review", "--html", str(page))
    assert told.out == ""
    assert str(page) in told.err
    assert "--shared-only" in told.err
    assert page.stat().st_mode & 0o777 == 0o600
    page.write_text("mine")
    again = reviewer.run("review", "--html", str(page))
    assert (again.code, page.read_text()) == (2, "mine")
    assert "--force" in again.err
    reviewer.ok("review", "--html", str(page), "--force", "--shared-only")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert page.stat().st_mode & 0o777 == 0o600
    assert reviewer.json("review", "--html", str(tmp_path / "two.html"))["html"] == str(tmp_path / "two.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["review.html", "two.html"]


def test_a_dash_is_no_file(reviewer: Person) -> None:
    """A page is not for the screen, and a file of that name helps nobody."""
    result = reviewer.run("review", "--html", "-")
    assert (result.code, result.out) == (2, "")
    assert "review.html" in result.err


def test_force_replaces_a_link_and_not_what_it_points_to(reviewer: Person, tmp_path: Path) -> None:
    """A page never lands in a place that was not named."""
    (tmp_path / "other").write_text("other")
    (tmp_path / "link.html").symlink_to(tmp_path / "other")
    assert reviewer.run("review", "--html", str(tmp_path / "link.html")).code == 2
    reviewer.ok("review", "--html", str(tmp_path / "link.html"), "--force")
    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "link.html").is_symlink()


@pytest.mark.parametrize("place", ["", "missing/review.html", "a\nb/c", "x" * 300])
def test_a_place_that_is_none_is_refused(reviewer: Person, tmp_path: Path, place: str) -> None:
    """Before anything is written, with what to do instead."""
    result = reviewer.run("review", "--html", str(tmp_path / place) if place else str(tmp_path))
    assert result.code in (1, 2)
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_not_replaced(reviewer: Person) -> None:
    """Not even with --force."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    result = reviewer.run("review", "--html", "/dev/full", "--force")
    assert result.code == 2
    assert Path("/dev/full").is_char_device()


def test_a_page_that_was_begun_meanwhile_stays(reviewer: Person, tmp_path: Path) -> None:
    """Of two that write to one place at once, one is refused and one page is whole."""
    page = tmp_path / "one.html"
    both = [reviewer.start("review", "--html", str(page)) for _ in range(2)]
    codes = sorted(process.wait(60) for process in both)
    for process in both:
        process.communicate()
    assert codes == [0, 2]
    assert page.read_text(encoding="utf-8").endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["one.html"]


def test_ten_years_are_looked_back_on(reviewer: Person) -> None:
    """A column a year, and the same words in it."""
    data: dict[str, Any] = reviewer.json("review", "--weeks", "520")
    assert data["step"] == "year"
    assert len(data["spans"]) in (10, 11)


def test_a_full_disk_leaves_nothing_behind(reviewer: Person, tmp_path: Path) -> None:
    """One sentence says so; no half page stays, and what was there before does."""
    page = tmp_path / "review.html"
    page.write_text("before")
    limited = f'ulimit -f 32; exec "{BIDE}" review --html "{page}" --force'
    done = subprocess.run(["bash", "-c", limited], env=reviewer.env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "can't be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["review.html"]
    assert page.read_text() == "before"
