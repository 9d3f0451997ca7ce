"""The page of ``bide review --html``, opened and looked at in a real Chromium."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_cli.chromium import REQUIRED, Chromium, find_chromium
from client_cli.conftest import Person, make_person
from client_cli.reviewed import HOSTILE, write_weeks
from PIL import Image, ImageChops

CONTRAST_MIN, PICTURE_CONTRAST_MIN = 4.5, 3.0
"""What WCAG 2.2 asks of text, and of what a picture is understood by."""
WIDTHS = (360, 390, 768, 1200)
PARTS = ("feelings", "weekdays", "words", "good", "hard", "noticed", "together", "talks", "questions")

CONTRASTS = """(() => {
  const channel = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = node => {
    for (let e = node; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour;
      if (colour[3] !== 0) throw new Error('a ground that shines through');
    }
    throw new Error('no ground at all');
  };
  const ratio = (one, two) => {
    const [a, b] = [light(one), light(two)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.matches('title, desc, svg title')) continue;
    const style = getComputedStyle(e);
    const inPicture = !!e.closest('svg');
    const shape = e.matches('circle, rect');
    const says = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!says && !shape) continue;
    const colour = inPicture ? style.fill : style.color;
    found.push({name: e.tagName + '.' + (e.getAttribute('class') || ''), shape, ratio: ratio(rgba(colour), ground(e))});
  }
  return found;
})()"""
PICTURES = """[...document.querySelectorAll('svg')].map(svg => {
  const box = svg.getBoundingClientRect();
  const table = svg.parentElement.querySelector('table');
  const inside = [...svg.querySelectorAll('circle, rect, text')].every(mark => {
    const its = mark.getBoundingClientRect();
    return its.width > 0 && its.left >= box.left - 1 && its.right <= box.right + 1 && its.bottom <= box.bottom + 1;
  });
  const named = svg.getAttribute('aria-labelledby').split(' ').map(id => document.getElementById(id).textContent);
  const numbers = table ? [...table.querySelectorAll('td')].map(cell => +cell.textContent) : [];
  return {width: box.width, height: box.height, role: svg.getAttribute('role'), named, inside,
          marks: svg.querySelectorAll('circle, rect').length, told: numbers.filter(n => n > 0).length,
          heads: table ? table.querySelectorAll('th[scope]').length : 0};
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of Sam's twelve weeks with Robin."""
    folder = tmp_path_factory.mktemp("page")
    sam, robin = make_person(folder, "Sam"), make_person(folder, "Robin")
    write_weeks(sam.home, robin.home)
    for weeks in ("12", "26", "60", "520"):
        sam.ok("review", "--weeks", weeks, "--html", str(folder / f"review-{weeks}.html"))
    return folder / "review-12.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all of them."""
    with Chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


def test_it_is_one_file_that_asks_for_nothing_and_runs_nothing(page: Path, chromium: Chromium) -> None:
    """One request, the page itself; no complaint on the console, though the policy forbids all the rest."""
    before = len(chromium.told("Network.requestWillBeSent"))
    chromium.view(width=1200)
    chromium.open(page)
    asked = [request["request"]["url"] for request in chromium.told("Network.requestWillBeSent")[before:]]
    assert asked == [page.as_uri()]
    assert chromium.told("Log.entryAdded") == []
    assert chromium.told("Runtime.consoleAPICalled") == []
    assert chromium.told("Runtime.exceptionThrown") == []
    assert chromium.ask("document.compatMode") == "CSS1Compat"
    assert chromium.ask("document.documentElement.lang") == "en"
    policy = chromium.ask("document.querySelector('meta[http-equiv=\"Content-Security-Policy\"]').content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert chromium.ask("document.querySelectorAll('script, link, img, iframe, object, embed, form, base').length") == 0
    assert not re.search(r"(?i)https?://|\bsrc=|url\(|@import|\son\w+=", page.read_text(encoding="utf-8").replace(ESCAPED, ""))


ESCAPED = "src=x onerror=alert(1)"
"""The one place where something like that stands: in a person's words, which are only words."""


def test_the_policy_would_stop_what_a_mistake_let_through(page: Path, chromium: Chromium, tmp_path: Path) -> None:
    """With a script and a picture from elsewhere put into it, neither is run or fetched."""
    spoilt = tmp_path / "spoilt.html"
    text = page.read_text(encoding="utf-8")
    bad = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'></body>"
    spoilt.write_text(text.replace("</body>", bad), encoding="utf-8")
    chromium.open(spoilt)
    assert chromium.ask("document.title").startswith("A look back")
    refused = [entry["entry"]["text"] for entry in chromium.told("Log.entryAdded")]
    assert sum("Content Security Policy" in words for words in refused) >= 2
    chromium.notices.clear()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("weeks", ["12", "26", "60", "520"])
def test_it_fits_every_window(page: Path, chromium: Chromium, width: int, weeks: str) -> None:
    """Nothing hangs over the side, closed or opened; pictures have room and stay inside it."""
    chromium.view(width=width)
    chromium.open(page.with_name(f"review-{weeks}.html"))
    for opened in ("false", "true"):
        chromium.ask(f"document.querySelectorAll('details').forEach(each => each.open = {opened})")
        assert chromium.ask("document.documentElement.scrollWidth") <= width
    pictures: list[dict[str, Any]] = chromium.ask(PICTURES)
    assert len(pictures) == 3
    for picture in pictures:
        assert picture["width"] > width * 0.5 or picture["width"] >= 600
        assert picture["height"] > 50
        assert picture["inside"], picture
        assert picture["role"] == "img"
        assert all(picture["named"])


def test_every_picture_has_its_table_beside_it(page: Path, chromium: Chromium) -> None:
    """With a number for every mark, and heads that a screen reader can name; reachable by keyboard."""
    chromium.view(width=1200)
    chromium.open(page)
    for picture in chromium.ask(PICTURES):
        assert picture["marks"] == picture["told"] > 0
        assert picture["heads"] > 1
    assert chromium.ask("document.querySelectorAll('details table').length") == 3
    chromium.ask("document.querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        chromium.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert chromium.ask("document.querySelector('details').open") is True


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("dark", [False, True])
def test_everything_can_be_read(page: Path, chromium: Chromium, dark: bool, media: str) -> None:
    """Text stands out as WCAG asks, in the light, in the dark and on paper."""
    chromium.view(width=800, dark=dark, media=media)
    chromium.open(page)
    found = chromium.ask(CONTRASTS)
    assert len([each for each in found if each["shape"]]) > 20
    assert len([each for each in found if not each["shape"]]) > 100
    weak = [each for each in found if each["ratio"] < (PICTURE_CONTRAST_MIN if each["shape"] else CONTRAST_MIN)]
    assert weak == []


def test_dark_and_light_are_two_pictures(page: Path, chromium: Chromium, tmp_path: Path) -> None:
    """Both are drawn, neither is blank, paper is white, and links lead to their parts."""
    shots = {}
    for name, dark, media in (("light", False, "screen"), ("dark", True, "screen"), ("paper", True, "print")):
        chromium.view(width=390, height=1600, dark=dark, media=media)
        chromium.open(page)
        path = chromium.screenshot(tmp_path / f"{name}.png", whole=False)
        shots[name] = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        assert len(shots[name].getcolors(1 << 24) or []) > 200
    corners = {name: shot.getpixel((2, 1598)) for name, shot in shots.items()}
    assert min(corners["light"]) > 230  # type: ignore[arg-type]
    assert max(corners["dark"]) < 50  # type: ignore[arg-type]
    assert corners["paper"] == (255, 255, 255)
    assert ImageChops.difference(shots["light"], shots["dark"]).getbbox() == (0, 0, 390, 1600)
    targets = chromium.ask("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert targets == list(PARTS)
    assert chromium.ask("[...document.querySelectorAll('section')].map(section => section.id)") == list(PARTS)


def test_it_prints_with_the_tables_open(page: Path, chromium: Chromium) -> None:
    """On paper nothing is folded away, and there are several sheets."""
    chromium.view(width=800, media="print")
    chromium.open(page)
    assert chromium.ask("[...document.querySelectorAll('table')].every(t => t.getBoundingClientRect().height > 50)")
    assert chromium.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    printed = chromium.pdf()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 2


def test_words_are_only_words(page: Path, chromium: Chromium) -> None:
    """What a person typed stands there as they typed it, whatever it looks like, in its own direction."""
    chromium.view(width=390)
    chromium.open(page)
    said = chromium.ask("[...document.querySelectorAll('.said')].map(p => p.textContent)")
    assert HOSTILE in said
    assert chromium.ask("document.title").startswith("A look back, ")
    assert chromium.ask("document.querySelectorAll('.said *').length") == 0
    assert chromium.ask("[...document.querySelectorAll('.said')].every(p => p.dir === 'auto')") is True


def test_it_says_what_is_private(page: Path, chromium: Chromium) -> None:
    """At the top, and at each entry that only I can see."""
    chromium.view(width=1200)
    chromium.open(page)
    assert chromium.ask("document.getElementById('private-note').getBoundingClientRect().height") > 20
    assert chromium.ask("[...document.querySelectorAll('.mine')].every(e => e.textContent === 'only you')") is True
    assert chromium.ask("document.querySelectorAll('.mine').length") > 5


def test_an_empty_page_is_a_page_too(sam: Person, chromium: Chromium, tmp_path: Path) -> None:
    """With a kind sentence and no picture of nothing."""
    sam.ok("review", "--html", str(tmp_path / "empty.html"))
    chromium.view(width=390)
    chromium.open(tmp_path / "empty.html")
    assert "that is fine" in chromium.ask("document.querySelector('main').innerText")
    assert chromium.ask("document.querySelectorAll('svg, nav, table').length") == 0


def test_a_missing_browser_is_never_passed_over_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is skipped with a reason; where a browser is required it fails."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="Chromium is not installed"):
        find_chromium()
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="Chromium is not installed"):
        find_chromium()
