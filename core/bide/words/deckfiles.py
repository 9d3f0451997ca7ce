r"""Deck files: a deck as a person writes it, read with care. Whatever is wrong, the error names the file and the line.

The least that a file needs is its items::

    items = [
        "What made you laugh today?",
        "What did you cook when you were a student?",
    ]

and this is all that it can say::

    title = "Our summer"                 # otherwise the name of the file
    kind = "questions"                   # see `KINDS`
    about = "For long train rides."
    depth = 2                            # 1 is easy, 3 is deep

    [parts]                              # if the deck has sections
    sea = "By the sea"

    [[items]]
    text = "What would you like to do once more?"
    note = "Something small counts."
    part = "sea"
    id = "once-more"                     # otherwise made from the text, so that the order can change
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn

from bide.entries.fields import clean_text
from bide.errors import InputError, Phrase
from bide.words.decks import FEELINGS_FILE, Deck, Item, Part, deck_names

FILE_BYTES_MAX = 256 * 1024
ITEMS_MAX = 500
PARTS_MAX = 40
ITEM_CHARS_MAX = 500
TITLE_CHARS_MAX = 80
NAME_CHARS_MAX = 60
FOLDER_FILES_MAX = 200
KEY_DOTS_MAX = 30
NUMBER_DIGITS_MAX = 1_000

KINDS = (
    "appreciation",
    "checkin",
    "invitations",
    "listening",
    "new-things",
    "questions",
    "reflection",
    "repair",
    "safety",
    "sitting",
)
KIND_DEFAULT = "questions"
_OURS = ("safety",)
"""Kinds that a deck of one's own can't have: nobody's file may take the place of the safety text."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# A key of thousands of dots would keep Python's reader busy for minutes, for nothing that a deck could mean.
_DOTTED = re.compile(rf"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{KEY_DOTS_MAX}}}""")
_BAD_NAME = Phrase("the name of this file can't be the name of a deck.")
_TEXT_TWICE = Phrase("this text stands in line {line} already.")
_ID_TWICE = Phrase("this id stands in line {line} already.")
_DECK_KEYS = ("title", "kind", "about", "depth", "parts", "items")
_ITEM_KEYS = ("text", "note", "part", "id")


def load_deck_file(path: Path | str) -> Deck:
    """A deck from a file of one's own.

    Raises:
        InputError: it can't be read, or something in it is not right; the message names the file and the line.
    """
    path = Path(path)
    file = _shown(path.name, chars_max=NAME_CHARS_MAX + 5)
    try:
        # A pipe or a device would never end.
        if not S_ISREG(path.stat().st_mode):
            raise InputError("{file} is not a file.", hint="A deck is one TOML file.", file=file)
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise InputError("{file} can't be read: {reason}.", file=file, reason=_reason(error)) from error
    return parse_deck(data, name=_own_name(path.stem, file), file=file)


def load_deck_folder(folder: Path | str) -> tuple[list[Deck], list[InputError]]:
    """The decks in a folder of one's own, by name, and what is wrong with those that can't be used.

    One bad file never hides the others. A folder that is not there holds no decks.
    """
    folder = Path(folder)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError) as error:
        name = _shown(folder.name)
        return [], [InputError("The folder {folder} can't be read: {reason}.", folder=name, reason=_reason(error))]
    decks: list[Deck] = []
    errors: list[InputError] = []
    if len(paths) > FOLDER_FILES_MAX:
        errors.append(
            InputError(
                "The folder {folder} holds {count} decks; {most} were read.",
                folder=_shown(folder.name),
                count=len(paths),
                most=FOLDER_FILES_MAX,
            )
        )
    for path in paths[:FOLDER_FILES_MAX]:
        try:
            decks.append(load_deck_file(path))
        except InputError as error:
            errors.append(error)
    return decks, errors


def parse_deck(data: bytes, *, name: str, file: str, own: bool = True) -> Deck:
    """A deck from the bytes of its file.

    Args:
        data: the whole file.
        name: the name the deck gets.
        file: how errors call the file.
        own: it is a person's own file, not one that Bide brings.

    Raises:
        InputError: something in it is not right; the message names the file and the line.
    """
    text = _decode(data, file)
    return _Reader(text, file, own).deck(_toml(text, file), name)


def _decode(data: bytes, file: str) -> str:
    if len(data) > FILE_BYTES_MAX:
        line = data.count(b"\n", 0, FILE_BYTES_MAX) + 1
        wrong = Phrase("the file is longer than {most} KiB.", {"most": FILE_BYTES_MAX // 1024})
        raise _at(file, line, wrong, Phrase("Make two decks of it."))
    try:
        # Editors on Windows like to begin a file with a byte order mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The bytes are those after a mark, if there is one; the mark holds no newline.
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise _at(file, line, Phrase("this is not UTF-8 text."), Phrase("Save the file as UTF-8.")) from error
    return text.replace("\r\n", "\n")


def _toml(text: str, file: str) -> dict[str, Any]:
    dotted = _DOTTED.search(text)
    if dotted is not None:
        line = text.count("\n", 0, dotted.start()) + 1
        wrong = Phrase("there are too many dots in a row of names.")
        raise _at(file, line, wrong, Phrase("A deck needs at most one."))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = _syntax(str(error), text)
        # What Python's reader says stays in English: it is not ours.
        wrong = Phrase("this is not TOML. {reason}.", {"reason": message})
        raise _at(file, line, wrong, _hint_for(message)) from error
    except RecursionError as error:
        wrong = Phrase("brackets are nested too deeply.")
        raise _at(file, _deepest_line(text), wrong, Phrase("Items are texts, or tables of text.")) from error
    except ValueError as error:
        # The only other thing that the reader refuses: a whole number too long to be turned into one.
        number = re.search(rf"\d(?:_?\d){{{NUMBER_DIGITS_MAX}}}", text)
        line = text.count("\n", 0, number.start()) + 1 if number else 1
        raise _at(file, line, Phrase("that number is too long.")) from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns what the TOML said into a deck, and knows where each thing stood."""

    text: str
    file: str
    own: bool

    def _line(self, path: tuple[str | int, ...]) -> int:
        # Only for an error, so it is imported only then.
        from bide.words.lines import line_of

        return line_of(self.text, path)

    def deck(self, table: dict[str, Any], name: str) -> Deck:
        self._keys(table, _DECK_KEYS, ())
        kind = self._string(table, "kind", (), chars_max=TITLE_CHARS_MAX) or KIND_DEFAULT
        if kind not in KINDS or (self.own and kind in _OURS):
            possible = [known for known in KINDS if not (self.own and known in _OURS)]
            self._refuse(("kind",), Phrase("{kind!r} is no kind of deck here.", {"kind": _shown(kind)}), _meant(kind, possible))
        depth = table.get("depth")
        if depth is not None and (type(depth) is not int or depth not in (1, 2, 3)):
            self._refuse(("depth",), Phrase("the depth is 1, 2 or 3."))
        parts = self._parts(table)
        return Deck(
            name=name,
            title=self._string(table, "title", (), chars_max=TITLE_CHARS_MAX) or name,
            kind=kind,
            items=self._items(table, parts),
            about=self._string(table, "about", ()),
            depth=depth,
            parts=parts,
            own=self.own,
        )

    def _parts(self, table: dict[str, Any]) -> tuple[Part, ...]:
        parts = table.get("parts", {})
        if not isinstance(parts, dict):
            self._refuse(("parts",), Phrase("'parts' is a table of ids and headings."))
        for place, key in enumerate(parts):
            if place >= PARTS_MAX:
                self._refuse(("parts", key), Phrase("a deck has at most {most} parts.", {"most": PARTS_MAX}))
            if not _ID.fullmatch(key):
                self._refuse(("parts", key), _bad_id(key), Phrase("As in: {example}", {"example": "by-the-sea"}))
            if not self._string(parts, key, ("parts",), chars_max=TITLE_CHARS_MAX):
                self._refuse(("parts", key), Phrase("this heading is empty."))
        return tuple(Part(key, self._string(parts, key, ("parts",))) for key in parts)

    def _items(self, table: dict[str, Any], parts: tuple[Part, ...]) -> tuple[Item, ...]:
        values = table.get("items")
        if values is None:
            hint = Phrase('Begin with: items = ["A question", "Another one"]')
            self._refuse((), Phrase("there are no items."), hint)
        if not isinstance(values, list):
            self._refuse(("items",), Phrase("'items' has to be a list."), Phrase("Each item begins with [[items]]."))
        if not values:
            self._refuse(("items",), Phrase("there are no items in the list."))
        ids: dict[str, int] = {}
        texts: dict[str, int] = {}
        items: list[Item] = []
        for place, value in enumerate(values):
            if place >= ITEMS_MAX:
                wrong = Phrase("a deck has at most {most} items.", {"most": ITEMS_MAX})
                self._refuse(("items", place), wrong, Phrase("Make two decks of it."))
            item = self._item({"text": value} if isinstance(value, str) else value, place, parts)
            # A text twice is a slip of the hand; an id twice would make one item hide the other.
            for seen, key, what, wrong in ((texts, item.text, "text", _TEXT_TWICE), (ids, item.id, "id", _ID_TWICE)):
                if key in seen:
                    line = self._line(("items", seen[key], what))
                    self._refuse(("items", place, what), wrong._replace(values={"line": line}))
                seen[key] = place
            items.append(item)
        return tuple(items)

    def _item(self, value: Any, place: int, parts: tuple[Part, ...]) -> Item:
        path = ("items", place)
        if not isinstance(value, dict):
            self._refuse(path, Phrase("an item is a text, or a table with a text."))
        self._keys(value, _ITEM_KEYS, path)
        text = self._string(value, "text", path)
        if not text:
            self._refuse((*path, "text"), Phrase("this item has no text."), Phrase('It needs: text = "..."'))
        item_id = self._string(value, "id", path)
        if item_id and not _ID.fullmatch(item_id):
            self._refuse((*path, "id"), _bad_id(item_id), Phrase("Leave it out, and Bide makes one."))
        if not item_id and not self.own:
            self._refuse(path, Phrase("this item has no id."))
        part = self._string(value, "part", path)
        known = [part.id for part in parts]
        if part and part not in known:
            self._refuse((*path, "part"), Phrase("there is no part {part!r}.", {"part": _shown(part)}), _meant(part, known))
        return Item(item_id or _id_from(text), text, self._string(value, "note", path), part)

    def _keys(self, table: dict[str, Any], known: tuple[str, ...], path: tuple[str | int, ...]) -> None:
        for key in table:
            if key not in known:
                wrong = Phrase("{key!r} is nothing that can stand here.", {"key": _shown(key)})
                self._refuse((*path, key), wrong, _meant(key, known))

    def _string(self, table: dict[str, Any], key: str, path: tuple[str | int, ...], *, chars_max: int = ITEM_CHARS_MAX) -> str:
        """The cleaned text under `key`; empty when there is none."""
        try:
            return clean_text(table.get(key, ""), what=_shown(key), chars_max=chars_max, one_line=True)
        except InputError as error:
            self._refuse((*path, key), Phrase(error.template, error.values))

    def _refuse(self, path: tuple[str | int, ...], wrong: Phrase, hint: Phrase | None = None) -> NoReturn:
        raise _at(self.file, self._line(path), wrong, hint)


def _at(file: str, line: int, wrong: Phrase, hint: Phrase | None = None) -> InputError:
    hint = hint or Phrase("Change that line; nothing else is affected.")
    return InputError("{file}, line {line}: {wrong}", hint="{advice}", file=file, line=line, wrong=wrong, advice=hint)


def _own_name(stem: str, file: str) -> str:
    try:
        name = clean_text(stem, what="the name", chars_max=NAME_CHARS_MAX, one_line=True)
    except InputError as error:
        raise _at(file, 1, _BAD_NAME, Phrase("Give it a short plain name.")) from error
    if not name or name.startswith(("-", ".")):
        raise _at(file, 1, _BAD_NAME, Phrase("Begin it with a letter."))
    if name.casefold() in (*deck_names(), FEELINGS_FILE):
        raise _at(file, 1, Phrase("Bide has a deck of that name already."), Phrase("Give the file another name."))
    return name


def _syntax(message: str, text: str) -> tuple[str, int]:
    """The reader's sentence without its position, and the line."""
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if found is None:
        return _shown(message, chars_max=120), 1
    # The end of the document is its last line that holds something.
    line = int(found[1]) if found[1] else text.rstrip("\n").count("\n") + 1
    return _shown(message[: found.start()], chars_max=120), line


def _hint_for(message: str) -> Phrase | None:
    if message.startswith(("Illegal character", "Unterminated", "Unescaped", "Invalid value")):
        return Phrase('Texts stand between quotes, and a quote inside a text is written \\".')
    return None


def _deepest_line(text: str) -> int:
    """The line on which brackets first reach their greatest depth; a rough count, for a text that could not be read."""
    depth = deepest = 0
    line = deepest_line = 1
    for character in text:
        if character == "\n":
            line += 1
        elif character in "[{":
            depth += 1
            if depth > deepest:
                deepest, deepest_line = depth, line
        elif character in "]}":
            depth -= 1
    return deepest_line


def _meant(given: str, known: Iterable[str]) -> Phrase | None:
    from difflib import get_close_matches

    known = list(known)
    near = get_close_matches(given[:80].casefold(), known, n=1, cutoff=0.6)
    if near:
        return Phrase("Did you mean: {near}", {"near": near[0]})
    return Phrase("Possible here: {known}", {"known": ", ".join(known)}) if known else None


def _id_from(text: str) -> str:
    from hashlib import blake2s

    return blake2s(text.encode(), digest_size=6).hexdigest()


def _bad_id(given: str) -> Phrase:
    return Phrase("{id!r} can't be an id: small letters a to z, digits and hyphens, at most 40.", {"id": _shown(given)})


def _shown(text: str, *, chars_max: int = 40) -> str:
    """A piece of a file as it may stand in a message: it must not steer a terminal, nor fill it."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:chars_max])
    return shown + "…" if len(text) > chars_max else shown


def _reason(error: Exception) -> str | Phrase:
    if not isinstance(error, OSError):
        return Phrase("its name is not possible")
    return error.strerror or Phrase("the system refuses it")
