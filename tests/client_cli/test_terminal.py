"""The command line in a real terminal: questions, colours, editor, and leaving without writing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pexpect

from .conftest import end, press_ctrl_c


def answer(child: Any, *pairs: tuple[str, str]) -> None:
    for question, text in pairs:
        child.expect(question)
        child.sendline(text)


def test_a_checkin_is_asked_question_by_question(sam: Any) -> None:
    child = sam.terminal("checkin", "--private")
    answer(
        child,
        ("to go on:", "tired, glad, low, high"),
        ("At most 3[^:]*to go on:", "tired, glad"),
        ("Went well", "the walk"),
        ("Hard", "x" * 5000),  # longer than a terminal's own line
        ("On my mind", ""),
        ("A lift", ""),
        ("Grateful", ""),
        ("Proud", ""),
        ("3 nothing", "1"),
        ("For later", "milk"),
        ("and\\?", ""),
    )
    child.expect("Only you can see it · ck-")
    assert end(child) == 0
    fields = sam.entries()[0]["fields"]
    assert fields["feelings"] == ["tired", "glad"]
    assert fields["hard"] == "x" * 5000
    assert fields["later"] == ["milk"]
    assert fields["wants"] == "listening"


def test_thanks_ask_for_three_things_and_accept_one(sam: Any) -> None:
    child = sam.terminal("thank", "--private")
    answer(child, ("notice", ""), ("needed[^?]*notice", "You sang on the way home."), ("feel", ""), ("show", ""))
    assert end(child) == 0
    assert sam.entries()[0]["fields"] == {"noticed": "You sang on the way home."}


def test_ctrl_c_and_ctrl_d_leave_without_writing(sam: Any) -> None:
    for stop in (press_ctrl_c, pexpect.spawn.sendeof):
        child = sam.terminal("checkin", "--private")
        answer(child, ("to go on:", "tired"))
        child.expect("Went well[^>]*> ")
        stop(child)
        assert end(child) == 130
        assert "Traceback" not in child.before
    assert sam.entries() == []


def test_colours_only_where_they_are_welcome(sam: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "x")
    assert "\x1b[" not in sam.ok("timeline").out
    for args, env, coloured in (
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--plain"], {}, False),
        (["--accessible"], {}, False),
    ):
        child = sam.terminal("timeline", *args, **env)
        assert end(child) == 0
        assert ("\x1b[" in child.before) is coloured


def test_a_long_timeline_goes_through_the_pager_on_a_terminal_only(sam: Any, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o700)
    sam.ok("checkin", "--private", "--hard", "line\n" * 80)
    sam.env["PAGER"] = str(pager)
    child = sam.terminal("timeline")
    assert end(child) == 0
    assert "PAGED" in child.before
    assert "PAGED" not in sam.ok("timeline").out
    child = sam.terminal("timeline", "--plain")
    assert end(child) == 0
    assert "PAGED" not in child.before


def test_the_editor_gets_a_private_file_that_goes_away(sam: Any, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport os, sys\npath = sys.argv[1]\nassert os.stat(path).st_mode & 0o77 == 0\n"
        "assert os.path.dirname(path).startswith(os.environ['BIDE_HOME'])\n"
        "text = open(path).read().replace('[hard]\\n', '[hard]\\nfrom the editor\\n')\nopen(path, 'w').write(text)\n"
    )
    editor.chmod(0o700)
    sam.env["EDITOR"] = str(editor)
    sam.ok("checkin", "--private", "--edit")
    assert sam.entries()[0]["fields"] == {"hard": "from the editor"}
    editor.write_text("#!/bin/sh\nexit 3\n")
    assert sam.run("checkin", "--private", "--edit").code == 2
    assert not list(sam.home.glob(".edit*"))
    assert len(sam.entries()) == 1


def test_an_edit_is_marked_and_keeps_the_earlier_text(sam: Any) -> None:
    written = sam.json("checkin", "--private", "--hard", "before", "--worry", "same")
    edited = sam.json("edit", written["code"], "--hard", "after")
    assert edited["schema"] == "bide.edit/1"
    (entry,) = sam.entries()
    assert entry["edited"]
    assert entry["fields"] == {"hard": "after", "worry": "same"}
    assert entry["history"][0]["fields"] == {"hard": "before"}
    assert "before" in sam.ok("show", written["code"]).out
    # By this machine's clock, the day as well as the hour.
    utc = datetime.strptime(entry["history"][0]["at"][:16], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        local = utc.astimezone(ZoneInfo(zone))
        assert f"Before {local:%Y-%m-%d %H:%M}:" in sam.run("show", written["code"], env={"TZ": zone}).out
    assert sam.run("edit", written["code"], "--hard", "after").code == 2


def test_init_asks_for_a_name_and_a_passphrase(nobody: Any) -> None:
    child = nobody.terminal("init", "--passphrase")
    answer(
        child,
        ("call you", ""),
        ("empty.*call you", "Robin"),
        ("New passphrase", "one two three"),
        ("Once more", "one two four"),
    )
    answer(child, ("differ.*New passphrase", ""), ("empty.*New passphrase", "one two three"), ("Once more", "one two three"))
    child.expect("nobody can bring the")
    assert end(child) == 0
    child = nobody.terminal("status")
    answer(child, ("Passphrase:", "one two three"))
    child.expect("You are Robin")
    assert end(child) == 0
    child = nobody.terminal("status")
    answer(child, ("Passphrase:", "wrong"), ("Once more.*Passphrase:", ""), ("Once more.*Passphrase:", "wrong"))
    assert end(child) == 7
    child = nobody.terminal("status")
    answer(child, ("Passphrase:", "wrong"), ("Once more.*Passphrase:", "one two three"))
    child.expect("You are Robin")
    assert end(child) == 0


def test_two_who_write_at_once_lose_nothing(sam: Any) -> None:
    processes = [sam.start("checkin", "--private", "--hard", f"number {number}", "--json") for number in range(6)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert sorted(e["fields"]["hard"] for e in sam.entries()) == [f"number {number}" for number in range(6)]
    assert sam.json("doctor")["sound"]
