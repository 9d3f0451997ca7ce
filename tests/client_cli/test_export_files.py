"""Exporting: all comes out as it is, hostile text stays text, ``--mine`` holds only my own words, and the JSON comes back."""

from __future__ import annotations

import html.parser
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from client_cli.chromium import Chromium
from client_cli.conftest import make_person
from markdown_it import MarkdownIt

from bide.ids import SpaceId
from bide.replica import Replica
from bide.replica.authoring.importing import imported_entry_id
from bide.storage.memory import MemoryStorage
from bide.testing import FakeClock

Person = Any
HOSTILE = (
    "SAMSAYS <script>alert(1)</script> <img src=x onerror=alert(1)> & &amp; \u202ereversed\u202c\n"
    "# no heading\n\n- no item\n1. no number\n> no quote\n    no code\n```\nno fence\n```\n"
    "[no link](https://example.org) ![no picture](https://example.org/x.png) <https://example.org>\n"
    "https://example.org/bare www.example.org a@example.org | no | table | *no* _no_ `no` ~~no~~ \\* $x$\n---\n===\n[x]: /url"
)
ARABIC = "SAMSAYS كان يوما جميلا على ضفة النهر"
THAI = "ROBINSAYS วันนี้เราเดินด้วยกัน 🌊👩‍👩‍👧"
VOID = {"meta", "br"}


def given(**fields: Any) -> str:
    return json.dumps(fields)


def exchange(*people: Person) -> None:
    """Both ways."""
    for person in (*people, people[0]):
        person.ok("sync")


@pytest.fixture(scope="module")
def life(couple: tuple[Person, Person]) -> tuple[Person, Person]:
    """Two people who have written something of every kind; each one's words say whose they are."""
    sam, robin = couple

    def write(person: Person, *args: str, **fields: Any) -> str:
        code: str = person.json(*args, "--from-json", "-", stdin=given(**fields))["code"]
        exchange(sam, robin)
        return code

    checkin = write(sam, "checkin", hard=HOSTILE, went_well=ARABIC, feelings=["tired"], later=["SAMSAYS milk", "bread"])
    heard = write(robin, "hear", checkin, mirrored=THAI, validated="ROBINSAYS it makes sense")
    sam.ok("hear", heard, "--not-quite", "SAMSAYS what I meant")
    exchange(sam, robin)
    thanks = write(robin, "thank", noticed="ROBINSAYS the soup", felt="ROBINSAYS held")
    write(sam, "receive", thanks, words="SAMSAYS thank you")
    write(robin, "edit", thanks, noticed="ROBINSAYS the soup and the bread")
    shared = write(sam, "share", text="SAMSAYS a fear", depth=2, wants="listening")
    write(sam, "edit", shared, text="SAMSAYS an old fear")
    question = write(robin, "ask", question="ROBINSAYS what carries you?")
    write(sam, "answer", question, answer="SAMSAYS the house")
    write(robin, "answer", question, answer="ROBINSAYS my mother")
    closed = write(sam, "ask", question="SAMSAYS and what else?")
    write(robin, "answer", closed, answer="ROBINSAYS a secret that is not open yet")
    write(robin, "feel", feelings=["calm"], note="ROBINSAYS after the bath")
    write(sam, "did", what="SAMSAYS night train", idea="mine", memory="SAMSAYS the sea")
    write(sam, "reflect", text="SAMSAYS for nobody else", feelings=["sad"])
    repair = write(robin, "repair", "--now", topic="ROBINSAYS the dishes")
    sam.ok("repair", repair, "accept")
    exchange(sam, robin)
    write(robin, "repair", repair, "tell", "--now", own_part="ROBINSAYS I left", felt="ROBINSAYS angry")
    write(sam, "repair", repair, "hear", "--now", mirrored="SAMSAYS you were angry")
    write(sam, "repair", repair, "tell", "--now", own_part="SAMSAYS I was late", felt="SAMSAYS sorry 😶")
    write(sam, "repair", repair, "tell", "--now", own_part="SAMSAYS I was late again", felt="SAMSAYS sorry 😶")
    write(robin, "repair", repair, "hear", "--now", mirrored="ROBINSAYS you were late")
    write(sam, "repair", repair, "answer", "--now", verdict="heard")
    write(robin, "repair", repair, "answer", "--now", verdict="heard")
    write(robin, "repair", repair, "reconnect", "--now", gesture="ROBINSAYS tea")
    write(sam, "repair", repair, "agree", "--now", agreement="BOTHSAY we take turns")
    taken = write(sam, "checkin", hard="TAKENBACK words")
    sam.ok("undo", taken, "--yes")
    exchange(sam, robin)
    return sam, robin


def exported(person: Person, *args: str) -> list[dict[str, Any]]:
    """The entries of a JSON export."""
    entries: list[dict[str, Any]] = person.ok("export", "--format", "json", *args).json["entries"]
    return entries


def by_id(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of one millisecond may stand in either order."""
    return sorted(entries, key=lambda entry: str(entry["id"]))


def new_home(folder: Path, name: str) -> Person:
    """Another device, which shares nothing with anybody."""
    return make_person(folder, name)


def test_the_json_has_everything_as_it_is_shown(life: tuple[Person, Person]) -> None:
    """What ``timeline --json`` says, with who exported it, when, and by which version."""
    sam, _robin = life
    document = sam.ok("export", "--format", "json").json
    assert document["schema"] == "bide.export/1"
    assert document["by"] == {"name": "Sam", "me": True}
    assert {"at", "version", "mine"} <= set(document)
    assert by_id(document["entries"]) == by_id(sam.entries())
    kinds = {"checkin", "appreciation", "share", "question", "feeling", "activity", "reflection", "repair"}
    assert kinds <= {entry["kind"] for entry in document["entries"]}
    assert sam.json("export") | {"at": ""} == document | {"at": ""}


def test_everything_comes_back_unchanged_through_another_journal(life: tuple[Person, Person], tmp_path: Path) -> None:
    """Export, import as keepsakes, export: the same entries, of every kind, in every script; twice brings nothing."""
    sam, _robin = life
    written = sam.ok("export", "--format", "json").out
    other = new_home(tmp_path, "Sam")
    counts = other.json("import", "bide", "-", stdin=written)
    assert counts["new"] == counts["found"] == len(json.loads(written)["entries"])
    assert other.json("import", "bide", "-", stdin=written)["new"] == 0
    assert {entry["kind"] for entry in other.entries()} == {"keepsake"}
    assert other.json("search", "كان")["entries"][0]["fields"]["by_name"] == "Sam"
    assert by_id(exported(other)) == by_id(json.loads(written)["entries"])
    assert [entry["kind"] for entry in exported(other, "--kind", "repair")] == ["repair"]
    third = new_home(tmp_path / "third", "Kim")
    third.ok("import", "bide", "-", stdin=other.ok("export", "--format", "json").out)
    assert by_id(exported(third)) == by_id(json.loads(written)["entries"])


def test_an_export_that_goes_back_where_it_is_from_brings_nothing(life: tuple[Person, Person]) -> None:
    """What is here is here already."""
    sam, _robin = life
    written = sam.ok("export", "--format", "json").out
    counts = sam.json("import", "bide", "-", stdin=written)
    assert (counts["new"], counts["here"]) == (0, counts["found"])


def test_entries_larger_than_a_field_come_back_whole(tmp_path: Path) -> None:
    """One whose earlier texts make it far larger than fits into a keepsake."""
    sam = new_home(tmp_path, "Sam")
    texts = [f'{number} "\\ à e\u0301 ' + "สวัสดี " * 1400 for number in range(4)]
    code = sam.json("checkin", "--private", "--from-json", "-", stdin=given(hard=texts[0]))["code"]
    for text in texts[1:]:
        sam.ok("edit", code, "--from-json", "-", stdin=given(hard=text))
    written = sam.ok("export", "--format", "json").out
    other = new_home(tmp_path / "other", "Sam")
    assert other.json("import", "bide", "-", stdin=written)["split"] == 1
    assert len(other.entries()) > 4
    assert exported(other) == json.loads(written)["entries"]
    assert other.json("import", "bide", "-", stdin=written)["here"] == 1


def test_what_the_other_person_shares_never_comes_out_in_my_name(life: tuple[Person, Person]) -> None:
    """A keepsake of theirs that claims to keep an entry of mine stays a keepsake of theirs."""
    sam, robin = life
    forged = sam.ok("export", "--format", "json", "--kind", "checkin").json
    forged["entries"] = forged["entries"][:1]
    forged["entries"][0] |= {"id": "01a20528-ded8-7c76-8518-18bbd9a76386"}
    forged["entries"][0]["fields"] = {"hard": "FORGED words"}
    robin.ok("import", "bide", "-", "--with", "Sam", "--yes", stdin=json.dumps(forged))
    exchange(sam, robin)
    found = [entry for entry in exported(sam) if "FORGED" in json.dumps(entry)]
    assert [(entry["kind"], entry["by"]["name"]) for entry in found] == [("keepsake", "Robin")]
    assert "FORGED" not in sam.ok("export", "--mine").out


@pytest.mark.parametrize("format_", ["json", "markdown", "html"])
def test_mine_holds_my_own_words_and_nothing_of_the_other(life: tuple[Person, Person], format_: str) -> None:
    """Neither their entries, replies, topics, tells, gestures nor earlier texts; not even what both agreed on."""
    for person, mine, theirs in ((life[0], "SAMSAYS", "ROBINSAYS"), (life[1], "ROBINSAYS", "SAMSAYS")):
        out = person.ok("export", "--mine", "--format", format_).out
        assert theirs not in out, re.findall(f".{{0,2000}}{theirs}.{{0,200}}", out)
        assert "BOTHSAY" not in out
        assert mine in out
    words = life[0].ok("export", "--mine", "--format", format_).out
    for said in ("what I meant", "I was late again", "you were angry", "thank you", "the house", "for nobody else"):
        assert f"SAMSAYS {said}" in words


def test_mine_of_what_was_imported_again(life: tuple[Person, Person], tmp_path: Path) -> None:
    """Whose words they are is known from the entry that a keepsake keeps, and Sam's are not Kim's."""
    written = life[0].ok("export", "--format", "json").out
    for name, there in (("Sam", True), ("Kim", False)):
        other = new_home(tmp_path / name, name)
        other.ok("import", "bide", "-", stdin=written)
        out = other.ok("export", "--mine").out
        assert "ROBINSAYS" not in out
        assert ("SAMSAYS I was late again" in out) is there


@pytest.mark.parametrize("format_", ["json", "markdown", "html"])
def test_what_is_hidden_or_taken_back_stays_so(life: tuple[Person, Person], format_: str) -> None:
    """An answer that is not open, and a text that was taken back, are in no format."""
    out = life[0].ok("export", "--format", format_).out
    assert "not open yet" not in out
    assert "TAKENBACK" not in out
    assert "ROBINSAYS my mother" in out


class Page(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_and_runs_nothing(life: tuple[Person, Person]) -> None:
    """Well formed, without script, link or picture; what people wrote is text in it, in its own direction."""
    out = life[0].ok("export", "--format", "html").out
    page = Page(out)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "img", "link", "a", "iframe", "form", "object"})
    assert {"main", "header", "section", "article", "h1", "h2", "h3", "time", "dl"} <= names
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name in ("style", "src", "href")]
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in out
    assert "prefers-color-scheme: dark" in out
    assert "@media print" in out
    assert {attrs.get("dir") for tag, attrs in page.tags if tag in ("p", "li") and "lang" in attrs} == {"auto"}


def test_the_page_in_a_real_browser(life: tuple[Person, Person], tmp_path: Path) -> None:
    """Its own style applies under its own policy, nothing is fetched, and Arabic runs from the right."""
    target = tmp_path / "journal.html"
    life[0].ok("export", "--output", str(target))
    with Chromium(tmp_path / "profile") as browser:
        browser.view(width=800)
        browser.open(target)
        assert browser.ask("document.scripts.length") == 0
        assert browser.ask("getComputedStyle(document.querySelector('main')).maxWidth") != "none"
        assert browser.ask("document.querySelectorAll('article h3').length") > 5
        arabic = "[...document.querySelectorAll('p')].find(p => p.textContent.includes('النهر') && p.dir == 'auto')"
        assert browser.ask(f"{arabic}.textContent.includes('SAMSAYS')")
        assert [sent["request"]["url"] for sent in browser.told("Network.requestWillBeSent")] == [target.as_uri()]
        light = browser.ask("getComputedStyle(document.body).backgroundColor")
        browser.view(width=800, dark=True)
        assert browser.ask("getComputedStyle(document.body).backgroundColor") != light


def test_markdown_shows_what_people_wrote_as_text(life: tuple[Person, Person]) -> None:
    """Through a real Markdown reader, with links and tables on: only the structure that Bide made."""
    out = life[0].ok("export", "--format", "markdown").out
    reader = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
    drawn = reader.render(out)
    page = Page(drawn.replace("<br />", "").replace("<hr />", "<hr></hr>"))
    names = {tag for tag, _ in page.tags}
    assert names <= {"h1", "h2", "h3", "p", "em", "strong", "ul", "li", "blockquote"}
    assert "<script>alert(1)</script>" in page.text
    flat = " ".join(page.text.replace("\N{NO-BREAK SPACE}", " ").split())
    for line in re.sub("[\u202e\u202c]", "", HOSTILE).split("\n"):
        assert " ".join(line.split()) in flat, line
    assert not re.search(r"https?://|www\.", out)


def test_a_file_is_for_its_owner_and_never_overwritten_unasked(life: tuple[Person, Person], tmp_path: Path) -> None:
    """Mode 0600, the format by its ending, nothing left behind, and one sentence about what is private."""
    sam, _robin = life
    target = tmp_path / "journal.md"
    done = sam.ok("export", "--output", str(target))
    assert done.out == ""
    assert "private" in done.err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_text().startswith("# The journal of Sam")
    target.write_text("mine")
    refused = sam.run("export", "--output", str(target))
    assert (refused.code, target.read_text()) == (2, "mine")
    told = sam.json("export", "--output", str(target), "--force", "--shared-only")["written"]
    assert (told["format"], told["private"]) == ("markdown", 0)
    assert "for nobody else" not in target.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.md"]
    link = tmp_path / "link.md"
    link.symlink_to(target)
    assert sam.run("export", "--output", str(link), "--force").code == 2
    assert sam.run("export", "--output", str(tmp_path / "no" / "folder.md")).code == 2
    assert sam.run("export", "--output", str(tmp_path), "--force").code == 2


def test_filters(life: tuple[Person, Person]) -> None:
    """Days, kinds, people, and private or shared."""
    sam, _robin = life
    assert {e["visibility"] for e in exported(sam, "--private-only")} == {"private"}
    assert {e["visibility"] for e in exported(sam, "--shared-only", "--with", "Robin")} == {"shared"}
    assert {e["kind"] for e in exported(sam, "--kind", "share", "--kind", "repair")} == {"share", "repair"}
    assert exported(sam, "--until", "2001-01-01") == []
    assert "empty" in sam.ok("export", "--until", "2001-01-01").err
    assert sam.run("export", "--private-only", "--shared-only").code == 2
    assert sam.run("export", "--since", "soon").code == 2
    assert sam.run("export", "--kind", "novel").code == 2
    assert sam.run("export", "--with", "Kim").code == 4
    assert sam.run("export", "--json", "--format", "html").code == 2


def test_two_devices_that_import_the_same_file_have_one_entry(tmp_path: Path) -> None:
    """The id follows from the space and the source, so it is the same wherever it is reckoned."""
    space = Replica.create(MemoryStorage(), name="Sam", clock=FakeClock()).reader.own_space()
    one = imported_entry_id(space, 1_700_000_000_000, b"jrnl")
    assert one == imported_entry_id(space, 1_700_000_000_000, b"jrnl")
    assert one != imported_entry_id(space._replace(space_id=SpaceId(bytes(16))), 1_700_000_000_000, b"jrnl")
    assert (one[:6], one[6] >> 4, one[15] & 1) == ((1_700_000_000_000).to_bytes(6, "big"), 7, space.slot)


def test_sharing_an_import_is_asked_about(life: tuple[Person, Person], tmp_path: Path) -> None:
    """Unasked it is refused; on a terminal a no writes nothing and a yes shares."""
    sam, robin = life
    path = tmp_path / "journal.txt"
    path.write_text("[2024-03-01 20:15] Shared knowingly\n")
    before = len(sam.entries())
    assert sam.run("import", "jrnl", str(path), "--with", "Robin").code == 2
    for answer, more in (("n", 0), ("y", 1)):
        child = sam.terminal("import", "jrnl", str(path), "--with", "Robin")
        child.expect("Share all of it with Robin")
        child.sendline(answer)
        child.expect("Shared with Robin" if more else "Nothing was written")
        child.wait()
        assert len(sam.entries()) == before + more
    exchange(sam, robin)
    (entry,) = robin.json("search", "knowingly")["entries"]
    assert (entry["kind"], entry["by"]["name"], entry["visibility"]) == ("keepsake", "Sam", "shared")
