"""Collect what Bide says, and keep the catalogues of its translations in step with it.

    python -m docs.translate            # write bide.pot, bring each bide.po up to date, compile each bide.mo
    python -m docs.translate --check    # change nothing; exit 1 and say what is stale, missing or wrong
    python -m docs.translate --marked F # put a language "zz" into the folder F, in which every message stands between marks

docs/translating.md tells a translator what to do. Where the messages are found is `docs.messages`.
"""

from __future__ import annotations

import io
import re
import struct
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.plurals import get_plural
from babel.messages.pofile import read_po, write_po

from bide_cli.language import DOMAIN, THOUSAND, placeholders
from docs.messages import ROOT, Collected, collect

LOCALE = ROOT / "client_cli" / "bide_cli" / "locale"
TEMPLATE = f"{DOMAIN}.pot"
MARKED = "zz"
MARKS = "⟦⟧"
WIDTH = 120
_PERCENT = re.compile(r"%(?:\([a-z_]+\))?[sdr]")
_MO_MAGIC = 0x950412DE
_MO_HEADER = struct.Struct("<7I")
_MO_PLACE = struct.Struct("<2I")
_PROBLEMS_SHOWN = 40


def template_of(collected: Collected) -> Catalog:
    """The messages as a catalogue without translations."""
    template = Catalog(domain=DOMAIN, charset="utf-8")
    for message, places in collected.messages.items():
        template.add(message, locations=[(place, 0) for place in sorted(places)])
    return template


def header(language: str = "") -> str:
    """The entry that a catalogue begins with. No dates: the history of the file has them, and a diff should be about words."""
    lines = ["Project-Id-Version: bide", "MIME-Version: 1.0", "Content-Type: text/plain; charset=UTF-8"]
    lines.append("Content-Transfer-Encoding: 8bit")
    if language:
        lines += [f"Language: {language}", f"Plural-Forms: {get_plural(language).plural_forms}"]
    return "".join(f"{line}\n" for line in lines)


def as_text(catalogue: Catalog, language: str = "") -> str:
    """A catalogue as the text of its file, without line numbers."""
    out = io.BytesIO()
    write_po(out, catalogue, width=WIDTH, omit_header=True, include_lineno=False)
    lines = header(language).splitlines()
    head = "".join(f'"{line}\\n"\n' for line in lines)
    title = f"# Bide in the language {language}; see docs/translating.md." if language else "# What Bide says, in English."
    return f'{title}\nmsgid ""\nmsgstr ""\n{head}\n{out.getvalue().decode().strip()}\n'


def read(path: Path, language: str) -> Catalog:
    """A catalogue from its file; an empty one if it is not there."""
    if not path.exists():
        return Catalog(locale=language, domain=DOMAIN, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN, charset="utf-8")


def updated(catalogue: Catalog, template: Catalog) -> Catalog:
    """A catalogue with the messages of the template: translations kept, those of changed messages marked fuzzy."""
    catalogue.update(template)
    for key, message in list(catalogue.obsolete.items()):
        if not all(_forms(message.string)):
            del catalogue.obsolete[key]
    return catalogue


def messages_of(catalogue: Catalog) -> Iterator[Message]:
    """The messages, without the header."""
    return (message for message in catalogue if message.id)


def _forms(value: object) -> list[str]:
    if isinstance(value, tuple | list):
        return [str(form or "") for form in value]
    return [str(value or "")]


def compiled(messages: Mapping[str | tuple[str, str], str | tuple[str, ...]], head: str) -> bytes:
    """The bytes of a ``.mo``: the same for the same messages, on every machine.

    Args:
        messages: translations by message; tuples where there is a plural.
        head: the header, see `header`.
    """
    pairs = [("", head), *(("\0".join(_forms(key)), "\0".join(_forms(value))) for key, value in messages.items())]
    table = sorted((key.encode(), value.encode()) for key, value in pairs)
    keys_at = _MO_HEADER.size
    values_at = keys_at + _MO_PLACE.size * len(table)
    at = values_at + _MO_PLACE.size * len(table)
    places, body = [b"", b""], b""
    for column in (0, 1):
        for row in table:
            places[column] += _MO_PLACE.pack(len(row[column]), at + len(body))
            body += row[column] + b"\0"
    return _MO_HEADER.pack(_MO_MAGIC, 0, len(table), keys_at, values_at, 0, 0) + b"".join(places) + body


def compile_catalogue(catalogue: Catalog, language: str) -> bytes:
    """The ``.mo`` of a catalogue: what is translated and not fuzzy."""
    done: dict[str | tuple[str, str], str | tuple[str, ...]] = {}
    for message in messages_of(catalogue):
        forms = _forms(message.string)
        if all(forms) and not message.fuzzy:
            key = _forms(message.id)
            done[(key[0], key[1]) if len(key) > 1 else key[0]] = tuple(forms) if len(key) > 1 else forms[0]
    return compiled(done, header(language))


# What is wrong with a translation


def wrongs_of(message: Message) -> list[str]:
    """What is wrong with the translation of one message, in words; empty if nothing is."""
    sources, forms = _forms(message.id), _forms(message.string)
    if not all(forms):
        return ["not translated"]
    if message.fuzzy:
        return ["fuzzy: look at it and take the mark away"]
    wrongs = []
    for place, form in enumerate(forms):
        # Only the first form of a plural may do without the number: "one entry".
        if not (_fits(sources, form) if len(forms) > 1 and place == 0 else _fits(sources[-1:], form, exactly=True)):
            wrongs.append(f"other placeholders than the English: {form}")
        if [form[:1].isspace(), form[-1:].isspace()] != [sources[-1][:1].isspace(), sources[-1][-1:].isspace()]:
            wrongs.append("a space at its beginning or end is missing, or is too much")
    if sources[0] == THOUSAND and not (forms[0].startswith("1") and forms[0].endswith("000")):
        wrongs.append("has to be the number one thousand, as it is written")
    return wrongs


def _fits(sources: list[str], form: str, *, exactly: bool = False) -> bool:
    try:
        wanted = frozenset[str]().union(*map(_holes, sources))
    except ValueError:
        return form.count("{") == sources[-1].count("{")  # braces that are no placeholders
    try:
        present = _holes(form)
    except ValueError:
        return False
    return present == wanted if exactly else present <= wanted


def _holes(text: str) -> frozenset[str]:
    return placeholders(text) | frozenset(_PERCENT.findall(text))


def language_folders(locale: Path) -> list[Path]:
    """The languages that are here, besides English."""
    return sorted(path for path in locale.iterdir() if (path / "LC_MESSAGES").is_dir())


def check(collected: Collected, locale: Path) -> list[str]:
    """Everything that is stale, missing or wrong."""
    template = template_of(collected)
    found = list(collected.problems)
    pot = locale / TEMPLATE
    if not pot.exists() or pot.read_text("utf-8") != as_text(template):
        found.append(f"{TEMPLATE} is stale: make translations")
    wanted = {_key(message) for message in messages_of(template)}
    for folder in language_folders(locale):
        po = folder / "LC_MESSAGES" / f"{DOMAIN}.po"
        catalogue = read(po, folder.name)
        here = {_key(message): message for message in messages_of(catalogue)}
        found += [f"{folder.name}: lacks {key[0]!r}: make translations" for key in sorted(wanted - here.keys())]
        found += [f"{folder.name}: {key[0]!r} is not said any more: make translations" for key in sorted(here.keys() - wanted)]
        for key in sorted(wanted & here.keys()):
            found += [f"{folder.name}: {key[0]!r}: {wrong}" for wrong in wrongs_of(here[key])]
        mo = po.with_suffix(".mo")
        if not mo.exists() or mo.read_bytes() != compile_catalogue(catalogue, folder.name):
            found.append(f"{folder.name}: {mo.name} is stale: make translations")
    return found


def _key(message: Message) -> tuple[str, ...]:
    return tuple(_forms(message.id))


def write(collected: Collected, locale: Path) -> list[str]:
    """Write the template and every catalogue.

    Returns:
        A line for each language: how much is translated.
    """
    template = template_of(collected)
    (locale / TEMPLATE).write_text(as_text(template), "utf-8")
    lines = []
    for folder in language_folders(locale):
        po = folder / "LC_MESSAGES" / f"{DOMAIN}.po"
        catalogue = updated(read(po, folder.name), template)
        po.write_text(as_text(catalogue, folder.name), "utf-8")
        po.with_suffix(".mo").write_bytes(compile_catalogue(catalogue, folder.name))
        messages = list(messages_of(catalogue))
        done = sum(not wrongs_of(message) for message in messages)
        lines.append(f"{folder.name}: {done} of {len(messages)} messages translated")
    return lines


def write_marked(collected: Collected, folder: Path) -> None:
    """Write a language in which every message is the English one between marks: whatever then stands outside of them on the
    screen does not go through a catalogue yet.
    """
    before, after = MARKS[0], MARKS[1]
    messages: dict[str | tuple[str, str], str | tuple[str, ...]] = {}
    for message in collected.messages:
        if message != THOUSAND:
            forms = tuple(f"{before}{form}{after}" for form in _forms(message))
            messages[message] = forms if len(forms) > 1 else forms[0]
    place = folder / MARKED / "LC_MESSAGES"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{DOMAIN}.mo").write_bytes(compiled(messages, header("en")))


def main() -> int:
    """Run the tool; gives the exit code."""
    parser = ArgumentParser(prog="python -m docs.translate", description="Keep the catalogues in step with the program.")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale, missing or wrong")
    parser.add_argument("--marked", metavar="FOLDER", type=Path, help="write the marking language there, and nothing else")
    parser.add_argument("--locale", metavar="FOLDER", type=Path, default=LOCALE, help="where the catalogues are")
    parser.add_argument("--all", action="store_true", help="with --check: every line, however many")
    chosen = parser.parse_args()
    collected = collect()
    if chosen.marked:
        write_marked(collected, chosen.marked)
        return 0
    if chosen.check:
        found = check(collected, chosen.locale)
        shown = found if chosen.all else found[:_PROBLEMS_SHOWN]
        for line in shown:
            print(line)  # noqa: T201
        if len(found) > len(shown):
            print(f"and {len(found) - len(shown)} more: --all")  # noqa: T201
        return 1 if found else 0
    for line in [*collected.problems, *write(collected, chosen.locale)]:
        print(line)  # noqa: T201
    return 1 if collected.problems else 0


if __name__ == "__main__":
    sys.exit(main())
