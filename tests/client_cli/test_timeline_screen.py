"""The timeline on real terminals of several widths: every kind of entry, in many scripts, and never wider than the screen."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from client_cli.conftest import Person, Relay, make_person, pair
from wcwidth import wcwidth

from bide.entries.kinds import KINDS

WIDTHS = (40, 60, 80, 120, 200)
NAME = "סלמה"
PROSE = "I was afraid of being a burden, so I said nothing for a whole week, which made it worse for both of us. "
ARABIC = "كان يومًا طويلًا، لكنك انتظرتني حتى عدت إلى البيت (الساعة 23:15) وطبخت لي الحساء. Thank you, habibi! هذا يعني لي."
HEBREW = "היה לי יום קשה, אבל כשראיתי את ההודעה שלך ב-21:30 חייכתי."
JAPANESE = "今日は雨の中、母を家まで送ってくれてありがとう。「自分の家族のように」大切にしてくれて、ほんとうに嬉しかったです。"
THAI = "วันนี้ฉันรู้สึกดีใจมากที่เธอรอฉันกลับบ้านและทำแกงเขียวหวานที่ฉันชอบให้กินตอนดึกขอบคุณมากนะ"
FAMILIES = (
    "Us: 👨‍👩‍👧‍👦👨‍👩‍👧‍👦 👍🏽👍🏽 🇩🇪🇫🇷 ❤️ 1️⃣ and more words that go on until the line is full 👩‍❤️‍👨👩‍❤️‍👨👩‍❤️‍👨👩‍❤️‍👨👩‍❤️‍👨👩‍❤️‍👨"
)
ADDRESS = ("https://example.org/" + "a-long-path/" * 24)[:300]
FIRST_STRONG, POP = "\u2068", "\u2069"

SCRIPT = """
import json, sys
from pathlib import Path
from bide_cli.unlocking.opening import open_replica
from bide_cli.terminal.shell import Shell
replica = open_replica(Shell(Path(sys.argv[1])))
codes = []
for name, arguments, options in json.load(sys.stdin):
    arguments = [codes[a["at"]] if isinstance(a, dict) and "at" in a else a for a in arguments]
    codes.append(getattr(replica, name)(*arguments, **options).code)
print(json.dumps(codes))
"""


def do(person: Person, *calls: tuple[str, list[Any], dict[str, Any]]) -> list[str]:
    """Call methods of a person's replica in a process of its own; gives the codes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(person.home)],
        input=json.dumps(calls),
        env=person.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    codes: list[str] = json.loads(done.stdout)
    return codes


def write(kind: str, values: dict[str, Any], **options: Any) -> tuple[str, list[Any], dict[str, Any]]:
    """The call that writes an entry."""
    return "write", [kind, values], options


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, relay: Relay) -> tuple[Person, Person]:
    """Sam, and somebody whose name runs from right to left; each has written every kind of entry."""
    folder = tmp_path_factory.mktemp("both")
    sam, other = make_person(folder, "Sam", relay), make_person(folder, NAME)
    pair(sam, other)
    codes = do(
        sam,
        write(
            "checkin", {"feelings": "calm, glad/fizzy", "went_well": PROSE, "wants": "listening", "later": ["milk", "bread"]}
        ),
        write("appreciation", {"noticed": ARABIC, "felt": HEBREW, "shows": "That you care."}),
        write("share", {"text": PROSE * 2, "depth": "3", "feelings": "at-home", "wants": "nothing"}),
        write("question", {"question": "What would you do with a free month?", "reveal": "both"}),
        write("feeling", {"feelings": "worn/threadbare", "note": THAI}),
        write("activity", {"what": FAMILIES, "idea": "theirs", "memory": JAPANESE}),
        write("share", {"text": ADDRESS, "depth": "1"}),
        write("share", {"text": "said too soon", "depth": "2"}),
        write("reflection", {"text": "नमस्ते दुनिया 한국어 문장은 단어 사이에 공백이 있습니다"}, private=True),
        write("keepsake", {"title": "The lake", "text": PROSE, "source": "jrnl", "by_name": "Ann"}, private=True),
        ("retract", [{"at": 7}], {}),
        ("release", [{"at": 8}], {}),
    )
    sam.ok("sync")
    other.ok("sync")
    do(
        other,
        ("reply", ["answer", codes[3], {"answer": "Walk to the sea."}], {}),
        ("reply", ["hearing", codes[2], {"mirrored": "You were afraid.", "empathised": "Lonely"}], {}),
        ("reply", ["reception", codes[1], {"words": "It was easy to tell you."}], {}),
        ("postpone", [codes[6]], {}),
    )
    other.ok("sync")
    sam.ok("sync")
    return sam, other


def on_screen(person: Person, columns: int, *args: str, **env: str) -> list[str]:
    """The lines that ``bide timeline`` writes to a real terminal of that width."""
    import pexpect

    child = pexpect.spawn(
        str(Path(sys.executable).with_name("bide")),
        ["timeline", *args],
        env={**person.env, "PAGER": "cat", "LC_ALL": "C.UTF-8", **env},
        encoding="utf-8",
        timeout=20,
        dimensions=(60, columns),
    )
    child.expect(pexpect.EOF)
    text = str(child.before)
    child.close()
    assert child.exitstatus == 0, text
    return text.replace("\r\n", "\n").split("\n")


def without_styles(line: str) -> str:
    """A line without its colours."""
    first, *others = line.split("\x1b[")
    return first + "".join(part.partition("m")[2] for part in others)


def columns_of(line: str) -> int:
    """The columns of a line on a terminal that knows nothing of clusters: as wide as it can get."""
    return sum(max(wcwidth(character), 0) for character in without_styles(line))


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_line_is_wider_than_the_terminal(both: tuple[Person, Person], columns: int) -> None:
    for person in both:
        for args in ([], ["--accessible"]):
            lines = on_screen(person, columns, *args)
            assert max(map(columns_of, lines)) <= columns
            joined = "".join("".join(map(without_styles, lines)).split())
            assert "".join(ADDRESS.split()) in joined
            assert "".join(JAPANESE.split()) in joined
            assert "".join(THAI.split()) in joined


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_cluster_is_torn_apart(both: tuple[Person, Person], columns: int) -> None:
    for line in on_screen(both[0], columns):
        text = without_styles(line).strip(f" {FIRST_STRONG}{POP}")
        assert not text or (unicodedata.category(text[0]) not in ("Mn", "Mc", "Me") and text[0] not in "\u200d\ufe0f、。」")
        assert not text.endswith(("\u200d", "「"))


def test_each_kind_says_what_it_is_and_who_can_see_it(both: tuple[Person, Person]) -> None:
    sam, other = both
    mine, theirs = sam.ok("timeline", "--plain").out, other.ok("timeline", "--plain").out
    for text in (
        "Check-in",
        "wants: just listening",
        "calm, fizzy (glad)",
        "from deep down · wants: nothing in return",
        "at home",
        "threadbare (worn)",
        "thanks you for telling",
        "taken back",
        "kept for later",
        "from jrnl · written by Ann",
        "opens once you both have answered",
        f"Idea         {NAME}",
    ):
        assert text in mine, text
    assert "said too soon" not in mine + theirs
    assert "नमस्ते" in theirs
    assert "thank Sam for telling" in theirs
    assert "Idea         yours" in theirs
    assert "Keepsake" not in theirs
    assert "Walk to the sea." in theirs
    assert "Walk to the sea." not in mine
    heads = [line for line in mine.splitlines() if " · " in line and line.lstrip()[2:3] == ":"]
    assert len(heads) >= 13
    assert all("only you" in head or "shared with" in head for head in heads)


def test_what_is_to_be_organised_stands_last(both: tuple[Person, Person]) -> None:
    lines = both[0].ok("timeline", "--plain", "--kind", "checkin").out.splitlines()
    assert lines[-1].split() == ["For", "later", "milk,", "bread"]


def test_text_from_right_to_left_moves_nothing_around_it(both: tuple[Person, Person]) -> None:
    for columns in WIDTHS:
        lines = on_screen(both[0], columns, TERM="xterm")
        turning = [line for line in lines if any(unicodedata.bidirectional(c) in ("R", "AL") for c in line)]
        assert len(turning) > 5
        for line in turning:
            outside, depth = "", 0
            for character in without_styles(line):
                depth += {FIRST_STRONG: 1, POP: -1}.get(character, 0)
                outside += "" if depth else character
            assert depth == 0
            assert not any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in outside)
        # The end of the paragraph runs as its beginning, though it may begin with a word of another script.
        assert all("habibi" not in line or line.strip().startswith((FIRST_STRONG, "Noticed")) for line in lines)


@pytest.mark.parametrize(("args", "env"), [(["--plain"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": "linux"})])
def test_no_mark_goes_where_it_may_be_shown_as_a_box(both: tuple[Person, Person], args: list[str], env: dict[str, str]) -> None:
    text = "\n".join(on_screen(both[0], 80, *args, **env))
    assert NAME in text
    assert FIRST_STRONG not in text
    assert POP not in text
    piped = both[0].ok("timeline").out + both[0].ok("timeline", "--json").out
    assert FIRST_STRONG not in piped


@pytest.mark.parametrize(
    ("args", "env"), [(["--plain"], {}), (["--accessible"], {}), ([], {"TERM": "dumb"}), ([], {"NO_COLOR": "1"})]
)
def test_colours_are_left_out_where_they_are_not_welcome(
    both: tuple[Person, Person], args: list[str], env: dict[str, str]
) -> None:
    assert "\x1b" in "\n".join(on_screen(both[0], 120))
    assert "\x1b" not in "\n".join(on_screen(both[0], 120, *args, **env))


def test_labels_go_above_their_text_where_there_is_little_room(both: tuple[Person, Person]) -> None:
    for columns in WIDTHS:
        lines = [without_styles(line) for line in on_screen(both[0], columns, "--kind", "checkin")]
        (label,) = [line for line in lines if line.strip().startswith("Went well")]
        assert (label.strip() == "Went well") is (columns == 40)


def test_lines_stay_good_to_read_on_a_wide_screen(both: tuple[Person, Person]) -> None:
    lines = [without_styles(line) for line in on_screen(both[0], 200, "--kind", "share")]
    assert 80 <= max(len(line.strip()) for line in lines if line.strip().startswith("I was")) <= 88
    # What is less read stands to the right, where it ends in one line for all.
    ends = {len(line) for line in lines if " · " in line and line[4:5] == ":" and NAME not in line}
    assert len(ends) <= 1


def test_days_are_headings_and_today_is_called_so(both: tuple[Person, Person]) -> None:
    first = without_styles(on_screen(both[0], 80)[0])
    assert first.startswith(("Today · ", "Yesterday · "))
    assert len(both[0].entries("--since", "today")) + len(both[0].entries("--until", "yesterday")) == len(both[0].entries())


def test_a_feeling_is_found_by_its_word(both: tuple[Person, Person]) -> None:
    sam, _other = both
    for words in (["at home"], ["At", "Home"], ["angekommen"]):
        found = sam.json("search", *words)["entries"]
        assert [entry["fields"]["feelings"] for entry in found] == [["at-home"]], words
    assert len(sam.entries("--search", "at home")) == 1


def test_a_mistyped_kind_or_name_is_guessed(both: tuple[Person, Person]) -> None:
    sam, _other = both
    kind = sam.run("timeline", "--kind", "refelction")
    assert (kind.code, "Did you mean reflection?" in kind.err) == (2, True)
    unlike = sam.run("timeline", "--kind", "xyz")
    assert all(name in unlike.err for name in ("share", "question", "feeling", "activity", "reflection", "keepsake"))
    for option in ("--by", "--with"):
        name = sam.run("timeline", option, "סלמהה")
        assert (name.code, f"Did you mean {NAME}?" in name.err) == (4, True), name.err
    help_text = sam.ok("timeline", "--help").out
    assert all(kind.name in help_text for kind in KINDS.values() if kind.shown and kind.events)
