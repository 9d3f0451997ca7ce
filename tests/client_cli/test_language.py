"""Bide speaks the language that was chosen, everywhere, and English where it has no other."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

from bide.errors import BideError, InputError, Phrase
from bide_cli import language
from bide_cli.cli import SUMMARIES, bide

MARKS = "⟦⟧"
TAG = "zz"
"""A language in which every message is the English one between marks."""
ROOT = Path(__file__).parent.parent.parent
SNIPPET = """
import sys
sys.argv = ["bide", *sys.argv[1:]]
from bide_cli.main import main
code = main()
print("\\n" + " ".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
PROGRAM_WORDS = {"bide", "jrnl", "Day", "One", "Daylio", "Markdown", "HTML", "JSON"}
NOT_YET: dict[str, str] = {}
"""What is not marked yet, by the arguments of the run, and why. Empty when everything is."""


TOOL = """
import contextlib, functools, io, json, sys
from docs import translate
translate.collect = functools.cache(translate.collect)
for line in sys.stdin:
    sys.argv = ["translate", *json.loads(line)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = translate.main()
    print(json.dumps([code, said.getvalue()]), flush=True)
"""
"""The translators' tool as often as it is asked for. It looks for the messages once: they stay, and nothing takes as long."""


class Translating(NamedTuple):
    """What a run of the tool came to."""

    code: int
    out: str


@functools.cache
def tool() -> subprocess.Popen[str]:
    """The process of the translators' tool."""
    return subprocess.Popen([sys.executable, "-c", TOOL], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def translate(*args: str) -> Translating:
    """Run the translators' tool."""
    stdin, stdout = tool().stdin, tool().stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(json.dumps(args) + "\n")
    stdin.flush()
    line = stdout.readline()
    assert line, "the tool ended"
    return Translating(*json.loads(line))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the marking language."""
    locale = tmp_path_factory.mktemp("locale")
    done = translate("--marked", str(locale))
    assert done.code == 0, done.out
    return locale


def make_catalogue(locale: Path, messages: dict[Any, Any], like: str = "de") -> Path:
    """Compile translations into the marking language's place, with the plural forms of another."""
    catalogue = Catalog(locale=like)
    for message, translation in messages.items():
        catalogue.add(message, translation)
    path = locale / TAG / "LC_MESSAGES" / "bide.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalogue)
    return path


@pytest.fixture
def spoken_to(sam: Any, folder: Path) -> Any:
    """Sam, who is spoken to in the marking language."""
    sam.env |= {"BIDE_LOCALE_DIR": str(folder), "BIDE_LANGUAGE": TAG}
    return sam


# Which language


@pytest.mark.parametrize(
    ("env", "config", "expected"),
    [
        ({"BIDE_LANGUAGE": TAG}, "", True),
        ({"BIDE_LANGUAGE": f"{TAG}_AT.UTF-8@euro"}, "", True),
        ({"BIDE_LANGUAGE": "en"}, TAG, False),
        ({"BIDE_LANGUAGE": "xx", "LANG": TAG}, TAG, False),
        ({"LC_ALL": "C"}, TAG, True),
        ({"LC_ALL": f"{TAG}_DE.UTF-8", "LANG": "C"}, "", True),
        ({"LC_MESSAGES": TAG, "LANG": "C"}, "", True),
        ({"LANG": f"{TAG}-DE"}, "", True),
        ({"LC_ALL": "C.UTF-8", "LANG": TAG}, "", False),
        ({"LANG": TAG}, "en", False),
        ({"LANG": "../zz"}, "", False),
        ({}, "", False),
    ],
)
def test_the_first_that_says_a_language_decides(
    sam: Any, folder: Path, env: dict[str, str], config: str, expected: bool
) -> None:
    """BIDE_LANGUAGE, then the config, then the system; what is not here is English."""
    for name in language.LOCALE_VARIABLES:
        sam.env.pop(name, None)
    if config:
        with (sam.home / "config.toml").open("a") as file:
            file.write(f'language = "{config}"\n')
    sam.env |= {"BIDE_LOCALE_DIR": str(folder), "BIDE_LANGUAGE": "", "PYTHONUTF8": "1", **env}
    helped, failed = sam.ok("--help").out, sam.run("show", "nothing").err
    assert [MARKS[0] in helped, MARKS[0] in failed] == [expected, expected]


def test_the_home_that_is_named_says_the_language_of_help(nobody: Any, sam: Any, folder: Path) -> None:
    """The config that counts is that of the home of this call, before or after the command."""
    with (sam.home / "config.toml").open("a") as file:
        file.write(f'language = "{TAG}"\n')
    nobody.env |= {"BIDE_LOCALE_DIR": str(folder), "BIDE_LANGUAGE": ""}
    assert MARKS[0] in nobody.ok("--home", str(sam.home), "pair", "--help").out
    assert MARKS[0] in nobody.ok("pair", f"--home={sam.home}", "--help").out


def test_a_damaged_catalogue_or_config_is_spoken_to_in_english(sam: Any, tmp_path: Path) -> None:
    """Help comes all the same."""
    make_catalogue(tmp_path / "locale", {}).write_bytes(b"\xde\x12\x04\x95broken")
    sam.env |= {"BIDE_LOCALE_DIR": str(tmp_path / "locale"), "BIDE_LANGUAGE": TAG}
    assert sam.ok("--help").out.startswith("Usage:")
    (sam.home / "config.toml").write_bytes(b"\xff")
    sam.env["BIDE_LANGUAGE"] = ""
    assert sam.ok("--help").out.startswith("Usage:")


@pytest.mark.parametrize("args", [["timeline"], ["--help"]], ids=lambda args: args[0])
def test_english_reads_no_catalogue(sam: Any, args: list[str]) -> None:
    """The reading path imports no gettext for it."""
    env = {**sam.env, "BIDE_LANGUAGE": "", "LC_ALL": "en_GB.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, *args], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(done.stderr.split("\n")[-2].split())
    # click itself imports gettext.
    assert ("gettext" in modules) is ("click" in modules)
    assert "bide_cli.helping" not in modules or "click" in modules


# How it is said


@pytest.fixture
def speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Speak, inside of this process, a language with these translations."""
    import gettext

    monkeypatch.setattr(gettext, "gettext", gettext.gettext)
    monkeypatch.setattr(gettext, "ngettext", gettext.ngettext)
    monkeypatch.setattr(language, "_catalogue", None)
    monkeypatch.setattr(language, "_tag", "en")

    def speak(messages: dict[Any, Any], like: str = "de") -> None:
        make_catalogue(tmp_path, messages, like)
        monkeypatch.setenv("BIDE_LOCALE_DIR", str(tmp_path))
        monkeypatch.setenv("BIDE_LANGUAGE", TAG)
        language.settle()

    return speak


def test_a_plural_has_as_many_forms_as_its_language(speaking: Any) -> None:
    """Three where there are three, and numbers are grouped as they are there."""
    forms = ("{n} wpis", "{n} wpisy", "{n} wpisów")
    speaking({("{n} entry", "{n} entries"): forms, "1,000": "1\u00a0000"}, "pl")
    said = [language.plural("{n} entry", "{n} entries", number) for number in (1, 3, 5, 22, 1000)]
    assert said == ["1 wpis", "3 wpisy", "5 wpisów", "22 wpisy", "1\u00a0000 wpisów"]
    assert language.language() == TAG


def test_english_is_said_as_it_stands() -> None:
    """Without a catalogue."""
    error = InputError("There is no kind called {kind!r}.", hint="{n} are known.", kind="x", n=3)
    assert language.sentence(error) == ("There is no kind called 'x'.", "3 are known.")
    assert language.plural("{n} entry", "{n} entries", 30_000) == "30,000 entries"
    assert language._("") == ""


def test_how_many_there_are_is_grouped_in_the_words_of_the_core_too(speaking: Any) -> None:
    """Also in words within words; other numbers are not."""
    error = BideError("{what} at {port}", what=Phrase("{count} entries", {"count": 2503}), port=8765)
    assert language.sentence(error)[0] == "2,503 entries at 8765"
    speaking({"{count} entries": "{count} Einträge", "1,000": "1.000"})
    assert language.sentence(error)[0] == "2.503 Einträge at 8765"


def test_an_error_is_said_with_its_values(speaking: Any) -> None:
    """Those that are words are said in the language too."""
    speaking({"{who} is away.": "{who} ist fort.", "the other": "die andere Person", "Ask {name}.": "Frag {name}."})
    error = BideError("{who} is away.", who=Phrase("the other"))
    error.advise("Ask {name}.", name="Robin")
    assert language.sentence(error) == ("die andere Person ist fort.", "Frag Robin.")
    assert (error.message, error.hint) == ("the other is away.", "Ask Robin.")


@pytest.mark.parametrize("translated", ["Es fehlt.", "{kind} {more}", "{0}", "{kind", "{kind.nothing}"])
def test_a_translation_that_does_not_fit_is_not_used(speaking: Any, translated: str) -> None:
    """Better an English sentence than half a one."""
    speaking({"No {kind}.": translated})
    assert language.sentence(BideError("No {kind}.", kind="x"))[0] == "No x."


# The catalogues


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """The untranslated catalogue of a new language, made by the tool."""
    path = tmp_path / "nl" / "LC_MESSAGES" / "bide.po"
    path.parent.mkdir(parents=True)
    translate("--locale", str(tmp_path))
    return path


def fill(path: Path, translations: dict[str, str]) -> None:
    """Type translations into a catalogue, as a translator would."""
    text = path.read_text("utf-8")
    for message, translation in translations.items():
        assert f'msgid "{message}"\nmsgstr ""' in text
        text = text.replace(f'msgid "{message}"\nmsgstr ""', f'msgid "{message}"\nmsgstr "{translation}"')
    path.write_text(text, "utf-8")


def test_a_translation_is_held_to_its_source(catalogue: Path) -> None:
    """The check names what is not translated, and what has other placeholders or spaces."""
    right = {"Passphrase:": "Wachtzin:", "Waiting for {name} …": "Wachten op {name} …"}
    wrong = {
        "Relay: {url}": "Relais: {uri}",
        "Say to the other:  {code}": "Zeg: {code",
        " or ": "of",
        "1,000": "duizend",
        "{n} sent": "verzonden",
    }
    fill(catalogue, right | wrong)
    text = catalogue.read_text("utf-8")
    plural = 'msgid "{n} entry"\nmsgid_plural "{n} entries"\nmsgstr[0] ""\nmsgstr[1] ""'
    assert plural in text
    text = text.replace(plural, plural.replace('[0] ""', '[0] "een stuk"').replace('[1] ""', '[1] "stukken"'))
    catalogue.write_text(text, "utf-8")
    checked = check_all(catalogue)
    for message in wrong:
        assert any(repr(message) in line and "not translated" not in line for line in checked), message
    assert not any(repr(message) in line for line in checked for message in right)
    assert any("'{n} entry'" in line and "stukken" in line for line in checked)
    assert any("bide.mo is stale" in line for line in checked)


def check_all(catalogue: Path) -> list[str]:
    done = translate("--check", "--all", "--locale", str(catalogue.parents[2]))
    assert done.code == 1, done.out
    return done.out.splitlines()


def test_writing_the_catalogues_twice_changes_nothing(catalogue: Path) -> None:
    """What is translated is kept, and compiled the same every time."""
    fill(catalogue, {"Passphrase:": "Wachtzin:"})
    translate("--locale", str(catalogue.parents[2]))
    first = catalogue.read_bytes(), catalogue.with_suffix(".mo").read_bytes()
    translate("--locale", str(catalogue.parents[2]))
    assert (catalogue.read_bytes(), catalogue.with_suffix(".mo").read_bytes()) == first
    assert "Wachtzin:" in first[0].decode()
    assert b"Wachtzin:" in first[1]
    assert not [line for line in check_all(catalogue) if "stale" in line]


def test_a_translation_of_words_that_changed_is_fuzzy(catalogue: Path) -> None:
    """It is kept for the translator to look at, and not shown."""
    text = catalogue.read_text("utf-8")
    assert 'msgid "Choose the relay."' in text
    text = text.replace('msgid "Choose the relay."\nmsgstr ""', 'msgid "Choose a relay."\nmsgstr "Kies een relais."')
    catalogue.write_text(text, "utf-8")
    translate("--locale", str(catalogue.parents[2]))
    assert re.search(r'#, fuzzy\nmsgid "Choose the relay."\nmsgstr "Kies een relais."', catalogue.read_text("utf-8"))
    assert b"Kies een relais" not in catalogue.with_suffix(".mo").read_bytes()
    assert any("'Choose the relay.'" in line and "fuzzy" in line for line in check_all(catalogue))


# Everything is said in it


def unmarked(text: str, known: set[str]) -> list[str]:
    """The words outside of all marks that are no names, values, options or metavars."""
    depth, kept = 0, ""
    for character in text:
        if character == MARKS[0]:
            depth += 1
        elif character == MARKS[1]:
            depth -= 1
        elif depth == 0:
            kept += character
    assert depth == 0, text
    words = []
    for token in kept.split():
        if token.startswith(("-", "/", "[")) or "|" in token or any(character.isdecimal() for character in token):
            continue
        word = token.strip(".,:;·()'\"…")
        if re.fullmatch(r"[^\W\d_]{2,}", word) and not word.isupper() and word not in known | PROGRAM_WORDS:
            words.append(word)
    return words


def paths(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += paths(below, (*path, name))
    return found


def without_examples(text: str) -> str:
    """A help text without the commands under its examples."""
    # Of a command's first paragraph, the list of commands shows the first sentence.
    text = re.sub(rf"(?m)^(  [a-z]+ +{MARKS[0]}[^{MARKS}]*[.…])$", rf"\1{MARKS[1]}", text)
    return re.sub(rf"(?m)^ *{MARKS[0]}Examples?:{MARKS[1]}\n(?: {{4}}.*\n?)+", "", text)


@pytest.mark.parametrize("path", paths(bide), ids=" ".join)
def test_help_is_said_in_the_language(spoken_to: Any, path: tuple[str, ...]) -> None:
    """Usage, paragraphs, options, headings and the lists of commands."""
    text = spoken_to.ok(*path, "--help").out
    names = {name for path in paths(bide) for name in path} | set(SUMMARIES)
    assert unmarked(without_examples(text), names) == []


def said_by(person: Any, *args: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    result = person.run(*args, env=env)
    assert result.code == code, result
    return f"{result.out}{result.err}"


def hold(args: str, words: list[str]) -> None:
    """Nothing is unmarked, or it is known that it is."""
    if args in NOT_YET:
        assert words, f"{args} is marked now: take it out of NOT_YET"
        pytest.xfail(f"{NOT_YET[args]}: {words[:20]}")
    assert words == []


@pytest.mark.parametrize(
    ("code", "args", "env"),
    [
        (1, ["demo", "--dir", "HOME"], {}),
        (2, ["nope"], {}),
        (2, ["show"], {}),
        (2, ["timeline", "--limit", "zzz"], {}),
        (2, ["checkin", "--nope"], {}),
        (2, ["timelin"], {}),
        (2, ["checkin", "--private", "--feelings", "zzzzz"], {}),
        (2, ["checkin", "--private", "--no-input"], {}),
        (2, ["timeline", "--since", "zzz"], {}),
        (2, ["timeline", "--kind", "zzz"], {}),
        (2, ["checkin", "--from-json", "/nowhere"], {}),
        (2, ["relay", "set", "http://zzz"], {}),
        (2, ["pair"], {}),
        (2, ["join", "zzz", "--words-verified"], {}),
        (3, ["thank", "--noticed", "zzz"], {}),
        (4, ["show", "zzz"], {}),
        (7, ["timeline"], {"BIDE_KEY_FILE": "/nowhere"}),
        (8, ["init"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_said_in_the_language(spoken_to: Any, code: int, args: list[str], env: dict[str, str]) -> None:
    """Of every exit code: what is wrong, and what to do."""
    given = [str(spoken_to.home) if arg == "HOME" else arg for arg in args]
    text = said_by(spoken_to, *given, code=code, env=env)
    assert MARKS[0] in text
    hold(" ".join(args), unmarked(text, {"zzz", "zzzzz", "show", "timeline", "checkin"}))


def test_a_relay_that_is_away_and_a_wrong_code_are_said_in_the_language(spoken_to: Any, folder: Path, relay: Any) -> None:
    """Exit codes 5 and 6."""
    spoken_to.ok("relay", "set", "ws://127.0.0.1:1")
    assert unmarked(said_by(spoken_to, "sync", code=5), set()) == []
    spoken_to.ok("relay", "set", relay.url)
    robin_home = spoken_to.home.parent / "robin"
    robin = type(spoken_to)(robin_home, BIDE_LOCALE_DIR=str(folder), BIDE_LANGUAGE=TAG)
    robin.ok("init", "--name", "Robin", "--key-file", str(robin_home) + ".key", "--no-input")
    waiting = spoken_to.start("pair", "--words-verified")
    assert waiting.stdout is not None
    line = waiting.stdout.readline()
    code = re.findall(r"\d+(?:-[a-z]+)+@\S+?(?=⟧|\s|$)", line)[0]
    number, first, second, third = code.partition("@")[0].split("-")
    wrong = f"{number}-{second}-{first}-{third}@{code.partition('@')[2]}"
    assert unmarked(said_by(robin, "join", wrong, "--words-verified", code=6), set()) == []
    _out, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 6
    assert unmarked(errors, set()) == []


VALUES = {"calm", "glad", "Sam", "zzz"}
CONFIG_WORDS = {"true", "false", "language", "with", "decks", "unlock"}
"""Names and values of the config, typed as they stand."""


def test_entries_are_said_in_the_language(spoken_to: Any) -> None:
    """Writing, the timeline, one entry, searching, and what was edited; only names and what was written are not."""
    written = said_by(spoken_to, "checkin", "--private", "--feelings", "calm,glad", "--hard", "zzz", "--later", "zzz")
    code = re.findall(r"ck-\w+", written)[0]
    talk = [written, said_by(spoken_to, "thank", "--private", "--noticed", "zzz", "--felt", "zzz", "--shows", "zzz")]
    talk += [said_by(spoken_to, "share", "--private", "--text", "zzz", "--depth", "2", "--wants", "listening")]
    talk += [said_by(spoken_to, "feel", "--private", "--feelings", "calm"), said_by(spoken_to, "reflect", "--text", "zzz")]
    talk += [said_by(spoken_to, "edit", code, "--hard", "zzz zzz")]
    talk += [said_by(spoken_to, *args) for args in (["timeline"], ["timeline", "--plain"], ["show", code], ["search", "zzz"])]
    left = [word for text in talk for word in unmarked(text, VALUES)]
    hold("entries", left)


@pytest.mark.parametrize(
    "args", [["status"], ["digest"], ["doctor"], ["rebuild"], ["relay"], ["outbox"], ["config"]], ids=" ".join
)
def test_upkeep_is_said_in_the_language(spoken_to: Any, args: list[str]) -> None:
    """What a home says of itself."""
    hold(" ".join(args), unmarked(said_by(spoken_to, *args), VALUES | CONFIG_WORDS))


def test_the_command_line_is_the_same_in_every_language(spoken_to: Any) -> None:
    """Scripts read the same names, whatever people read."""
    assert spoken_to.json("status")["schema"] == "bide.status/1"
    error = spoken_to.run("show", "zzz", "--json").error
    assert (error["schema"], error["code"]) == ("bide.error/1", "not_found")
