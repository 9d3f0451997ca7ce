"""Importing what other journals export: their files become keepsakes, once, with the time that they had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from client_cli.conftest import BIDE

EXPORTS = Path(__file__).with_name("exports")
JRNL = str(Path(sys.executable).with_name("jrnl"))
CONFIG = """\
colors: {{body: none, date: none, tags: none, title: none}}
default_hour: 9
default_minute: 0
editor: ''
encrypt: false
highlight: false
indent_character: '|'
journals:
  default: {{journal: "{journal}"}}
linewrap: 79
tagsymbols: '#@'
template: false
timeformat: '%F %r'
version: v4.6
"""
WRITTEN = (
    "2024-03-01 20:15: A walk with @Robin. The river was high. *",
    "2024-03-02 at 7am: First line here\n\nSecond paragraph [2024-01-01] in it\n[not a date] at the start. #Work",
    "2024-03-02 at 7am: Same minute. سلام ส 😀",
    "2024-03-03: A day without a time",
)


class Jrnl:
    """The real jrnl, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.txt"
        self._config = folder / "jrnl.yaml"
        self._config.write_text(CONFIG.format(journal=self.journal))
        self._env = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

    def run(self, *args: str, stdin: str | None = None) -> str:
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        command = [JRNL, "--config-file", str(self._config), *args]
        done = subprocess.run(command, capture_output=True, text=True, env=self._env, timeout=60, check=True, **given)
        return str(done.stdout)


@pytest.fixture
def jrnl(tmp_path: Path) -> Jrnl:
    """A journal that jrnl wrote."""
    (tmp_path / "jrnl").mkdir()
    journal = Jrnl(tmp_path / "jrnl")
    for text in WRITTEN:
        journal.run(stdin=text + "\n")
    return journal


def fields(sam: Any) -> list[dict[str, Any]]:
    """What each keepsake says, without where it is from."""
    unsaid = ("source", "original")
    return [{name: value for name, value in e["fields"].items() if name not in unsaid} for e in sam.entries()]


def test_a_journal_of_the_real_jrnl_comes_along_in_either_form_once(sam: Any, jrnl: Jrnl) -> None:
    """Text and JSON of one journal are the same entries, private, at their own time; a second run brings nothing."""
    printed = jrnl.run("--export", "json")
    dry = sam.json("import", "jrnl", str(jrnl.journal), "--dry-run")
    assert (dry["new"], dry["dry_run"], sam.entries()) == (4, True, [])
    assert sam.json("import", "jrnl", str(jrnl.journal))["new"] == 4
    assert sam.json("import", "jrnl", str(jrnl.journal))["new"] == 0
    again = sam.json("import", "jrnl", "-", stdin=printed)
    assert (again["new"], again["here"], again["changed"]) == (0, 4, 0)
    entries = sam.entries()
    assert [(e["kind"], e["visibility"], e["day"], e["at"], e["tz"]) for e in entries][:2] == [
        ("keepsake", "private", "2024-03-01", "2024-03-01T19:15:00.000Z", "Europe/Berlin"),
        ("keepsake", "private", "2024-03-02", "2024-03-02T06:00:00.000Z", "Europe/Berlin"),
    ]
    assert entries[3]["at"] == "2024-03-03T08:00:00.000Z"
    said = fields(sam)
    assert said[0] == {"title": "A walk with @Robin. The river was high.", "tags": ["robin"]}
    both = {"title": "First line here", "tags": ["work"]}
    assert both | {"text": "Second paragraph [2024-01-01] in it\n[not a date] at the start. #Work"} in said[1:3]
    assert {"title": "Same minute.", "text": "سلام ส 😀"} in said[1:3]
    assert len(sam.json("search", "river", "high")["entries"]) == 1


def test_the_json_of_the_real_jrnl_first(sam: Any, jrnl: Jrnl) -> None:
    """The other way round it is the same."""
    assert sam.json("import", "jrnl", "-", stdin=jrnl.run("--export", "json"))["new"] == 4
    assert sam.json("import", "jrnl", str(jrnl.journal))["here"] == 4


def test_what_was_changed_or_added_in_jrnl_since(sam: Any, jrnl: Jrnl) -> None:
    """What is new comes, also within the same minute; what was changed is told of, and stays here as it was."""
    sam.ok("import", "jrnl", str(jrnl.journal))
    text = jrnl.journal.read_text().replace("The river was high.", "The river was low.")
    jrnl.journal.write_text(text)
    jrnl.run(stdin="2024-03-02 at 7am: A third in that minute\n")
    counts = sam.json("import", "jrnl", str(jrnl.journal))
    assert (counts["new"], counts["here"], counts["changed"]) == (1, 3, 1)
    assert sorted(said["title"][:12] for said in fields(sam)) == sorted(
        ["A walk with ", "First line h", "Same minute.", "A third in t", "A day withou"]
    )
    assert "changed over there" in sam.ok("import", "jrnl", str(jrnl.journal)).err


def test_a_keepsake_that_was_edited_or_taken_back_here_stays_so(sam: Any, jrnl: Jrnl) -> None:
    """Importing again neither undoes an edit nor brings back what was taken back."""
    sam.ok("import", "jrnl", str(jrnl.journal))
    first, *_others, last = (e["code"] for e in sam.entries())
    sam.ok("edit", first, "--from-json", "-", stdin=json.dumps({"title": "Mine now"}))
    sam.ok("undo", last, "--no-input")
    counts = sam.json("import", "jrnl", str(jrnl.journal))
    assert (counts["new"], counts["changed"]) == (0, 0)
    assert fields(sam)[0]["title"] == "Mine now"


def make_zip(folder: Path, **journals: bytes) -> Path:
    """A Day One export with photos."""
    path = folder / "dayone.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in journals.items():
            archive.writestr(f"{name}.json", data)
        archive.writestr("photos/0e2d16db35b89f9880ee5b3441659d54.jpeg", b"\xff\xd8" + bytes(5000))
    return path


def test_day_one(sam: Any, tmp_path: Path) -> None:
    """Zip and bare JSON are the same; Markdown, zones, tags and days from before 1970 are right; photos are counted."""
    source = EXPORTS / "dayone.json"
    other = json.dumps({"entries": [{"uuid": "77", "creationDate": "2024-05-01T12:00:00Z", "text": "From another journal"}]})
    path = make_zip(tmp_path, Journal=source.read_bytes(), Travel=other.encode())
    counts = sam.json("import", "dayone", str(path))
    assert (counts["found"], counts["new"], counts["left"], counts["empty"]) == (3, 3, 3, 1)
    assert sam.json("import", "dayone", str(source))["here"] == 2
    moon, walk, travel = sam.entries()
    assert (moon["day"], moon["at"], moon["tz"]) == ("1969-07-20", "1970-01-01T00:00:00.000Z", "UTC")
    assert (walk["day"], walk["at"], walk["tz"]) == ("2024-01-06", "2024-01-05T23:02:50.000Z", "Asia/Bangkok")
    assert walk["fields"]["title"] == "A walk"
    assert walk["fields"]["text"] == "We went down to the river. It was *cold*!\n\nสวัสดี 🌊"
    assert walk["fields"]["tags"] == ["river", "เดิน"]
    kept = json.loads(walk["fields"]["original"])
    assert kept["location"] == {"placeName": "Ferry pier", "localityName": "Bangkok", "country": "Thailand"}
    assert (kept["starred"], kept["journal"]) == (True, "Journal")
    assert travel["fields"]["text"] == "From another journal"


def test_an_entry_that_was_edited_in_day_one_is_told_of(sam: Any) -> None:
    """By its own id, wherever its time went."""
    text = (EXPORTS / "dayone.json").read_text()
    sam.ok("import", "dayone", "-", stdin=text)
    later = text.replace("We went", "We ran").replace("2024-01-05T23:02:50Z", "2024-01-05T21:00:00Z")
    counts = sam.json("import", "dayone", "-", stdin=later)
    assert (counts["new"], counts["here"], counts["changed"]) == (0, 1, 1)


def test_daylio(sam: Any) -> None:
    """Quotes, lines and formatting are read; a mood stays the person's word unless it is one of our feelings."""
    path = EXPORTS / "daylio.csv"
    assert sam.json("import", "daylio", str(path))["new"] == 3
    assert sam.json("import", "daylio", str(path))["new"] == 0
    assert fields(sam) == [
        {"text": "First line.\nSecond line, with 1 < 2 and a <3.", "tags": ["meh", "work"]},
        {"feelings": ["calm"]},
        {
            "title": 'Late "show"',
            "text": "We laughed, a lot.\nReally & long.\n- popcorn",
            "tags": ["rad", "friends", "movies / tv", "مشي"],
        },
    ]
    assert [e["day"] for e in sam.entries()] == ["2024-03-01", "2024-03-02", "2024-03-02"]
    assert [e["at"][11:16] for e in sam.entries()] == ["19:15", "07:05", "22:40"]


def test_long_texts_are_split_and_odd_characters_replaced(sam: Any) -> None:
    """Nothing is lost: every word is in one of the parts; what can't be shown is counted."""
    words = [f"word{number}" for number in range(3000)]
    text = " ".join(words[:1500]) + "\n\n" + " ".join(words[1500:])
    entry = {"title": "Lo\x07ng", "body": text + "\x00", "date": "2024-03-01", "time": "20:15"}
    counts = sam.json("import", "jrnl", "-", stdin=json.dumps({"entries": [entry]}))
    assert (counts["new"], counts["split"], counts["replaced"]) == (1, 1, 2)
    parts = sorted((e["fields"] for e in sam.entries()), key=lambda said: said["title"])
    assert [part["title"] for part in parts] == ["Lo\ufffdng (1 of 3)", "Lo\ufffdng (2 of 3)", "Lo\ufffdng (3 of 3)"]
    assert " ".join(part["text"] for part in parts).rstrip("\ufffd").split() == words
    assert sam.json("import", "jrnl", "-", stdin=json.dumps({"entries": [entry]}))["here"] == 1


BOMB = b'{"entries": [' + b" " * (300 * 1024 * 1024) + b"]}"


def bad_files(folder: Path) -> list[tuple[str, str, str]]:
    """Format, file, and what the sentence has to name."""
    journal = "[2024-03-01 08:15:00 PM] A secret\nwith a body\n\n[2024-03-02 08:15:00 PM] Another\nwith more\n"
    dayone = (EXPORTS / "dayone.json").read_bytes()
    daylio = (EXPORTS / "daylio.csv").read_bytes()
    zipped = make_zip(folder, Journal=dayone).read_bytes()
    no_date = json.dumps({"entries": [{"uuid": "1", "creationDate": "2024-01-05T23:02:50Z"}, {"uuid": "2", "text": "secret"}]})
    odd_day = json.dumps({"entries": [{"title": "a", "body": "secret", "date": "2024-02-31", "time": "20:15"}]})
    with zipfile.ZipFile(folder / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "secret")
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("Journal.json", BOMB)
    made: list[tuple[str, str, bytes, str]] = [
        ("jrnl", "cut.txt", journal[:-6].encode(), "line 5"),
        ("jrnl", "plain.txt", b"Dear diary, a secret.\n", "No entry of jrnl"),
        ("jrnl", "before.txt", b"A secret first.\n" + journal.encode(), "Line 1"),
        ("jrnl", "latin.txt", journal.encode() + "Größe\n".encode("latin-1"), "UTF-8 text (line 6)"),
        ("jrnl", "cut.json", b'{"entries": [{"title": "a sec', "cut"),
        ("jrnl", "other.json", b'{"things": []}', "no list of entries"),
        ("jrnl", "day.json", odd_day.encode(), "Entry 1"),
        ("jrnl", "empty.txt", b" \n", "empty"),
        ("dayone", "cut.json", dayone[: len(dayone) // 2], "cut"),
        ("dayone", "broken.json", dayone.replace(b'"text":', b'"text"', 1), "line 11"),
        ("dayone", "no-date.json", no_date.encode(), "Entry 2"),
        ("dayone", "list.json", b"[1, 2]", "not from Day One"),
        ("dayone", "cut.zip", zipped[: len(zipped) // 2], "damaged"),
        ("dayone", "empty.zip", (folder / "empty.zip").read_bytes(), "no journal"),
        ("dayone", "bomb.zip", (folder / "bomb.zip").read_bytes(), "256 MiB"),
        ("daylio", "cut.csv", daylio[:-20], "line 4"),
        ("daylio", "columns.csv", b"full_date,date,activities\n2024-03-01,March 1,secret\n", "time, mood"),
        ("daylio", "row.csv", daylio.replace(b",calm,,", b",calm,", 1), "line 3"),
        ("daylio", "day.csv", daylio.replace(b"2024-03-01,", b"01.03.24,", 1), "line 4"),
        ("daylio", "backup.daylio", zipped, "backup"),
        ("daylio", "utf16.csv", daylio.decode().encode("utf-16"), "UTF-8"),
        ("bide", "timeline.json", b'{"schema": "bide.timeline/1", "entries": []}', "no export of Bide"),
        ("bide", "form.json", b'{"schema": "bide.export/1", "entries": [{"id": "secret"}]}', "Entry 1"),
        ("bide", "deep.json", b"[" * 100_000, "JSON"),
    ]
    files = []
    for format_, name, data, named in made:
        path = folder / f"{format_}-{name}"
        path.write_bytes(data)
        files.append((format_, str(path), named))
    return [*files, ("jrnl", str(folder), "folder"), ("jrnl", str(folder / "nothing"), "no such file")]


def test_bad_files_are_refused_in_a_sentence_and_nothing_is_written(sam: Any, tmp_path: Path) -> None:
    """Cut in half, in the wrong format, encoding or form: exit code 2, the place and never the text, and no entry."""
    for format_, path, named in bad_files(tmp_path):
        refused = sam.run("import", format_, path)
        assert refused.code == 2, (path, refused)
        assert named in refused.err, (path, refused)
        assert "secret" not in refused.err
        assert "Traceback" not in refused.err
        assert refused.out == ""
    assert sam.entries() == []


def test_options_that_do_not_fit(sam: Any) -> None:
    """Each in a sentence."""
    source = str(EXPORTS / "daylio.csv")
    assert sam.run("import", "daylio", source, "--zone", "Mars/Olympus").code == 2
    assert sam.run("import", "daylio", source, "--timeformat", "%F").code == 2
    assert "jrnl" in sam.run("import", "jrn", source).err
    assert sam.run("import", "daylio", source, "--with", "Robin").code == 3
    assert sam.entries() == []


def test_unusual_dates_of_jrnl_are_read_as_its_config_says(sam: Any) -> None:
    """What could be two days is not guessed."""
    text = "[03/04/24 20:15] Written\n"
    assert "--timeformat" in sam.run("import", "jrnl", "-", stdin=text).err
    sam.ok("import", "jrnl", "-", "--timeformat", "%D %R", "--zone", "America/New_York", stdin=text)
    (entry,) = sam.entries()
    assert (entry["day"], entry["at"], entry["tz"]) == ("2024-03-04", "2024-03-05T01:15:00.000Z", "America/New_York")


def test_an_import_that_is_killed_half_way_is_completed_by_the_next(sam: Any, tmp_path: Path) -> None:
    """What was written is whole, a second run brings the rest, and nothing is there twice."""
    count = 2000
    lines = [
        f"[2024-{n % 12 + 1:02}-{n % 28 + 1:02} {n // 60 % 24:02}:{n % 60:02}] Number {n}\nand its text\n" for n in range(count)
    ]
    path = tmp_path / "journal.txt"
    path.write_text("\n".join(lines))
    process = sam.start("import", "jrnl", str(path), "--json")
    while process.poll() is None and not sam.entries("--limit", "1"):
        pass
    process.kill()
    process.communicate()
    there = len(sam.entries())
    assert there % 100 == 0
    counts = sam.json("import", "jrnl", str(path))
    assert (counts["here"], counts["new"]) == (there, count - there)
    assert sorted(int(said["title"].split()[1]) for said in fields(sam)) == list(range(count))
    assert not [f for f in sam.json("doctor")["findings"] if f["level"] == "damage"]


def test_a_pipe_is_read_as_a_file_is(sam: Any, tmp_path: Path) -> None:
    """Once and from its beginning: what looks at the kind of file takes nothing out of it."""
    entries = [{"uuid": "P", "creationDate": "2024-01-01T00:00:00Z", "text": "through a pipe"}]
    reader, writer = os.pipe()
    os.write(writer, json.dumps({"entries": entries}).encode())
    os.close(writer)
    done = subprocess.run(
        [BIDE, "import", "dayone", f"/dev/fd/{reader}"],
        env=sam.env,
        capture_output=True,
        pass_fds=(reader,),
        timeout=60,
        check=False,
    )
    os.close(reader)
    assert done.returncode == 0, done.stderr
    assert [entry["fields"]["text"] for entry in sam.entries()] == ["through a pipe"]
