"""Transcripts in a page, played for real: who types what into which terminal, and what has to come back.

A block belongs to somebody, whose name stands behind the word ``console``::

    ```console sam
    $ bide feel relieved
    Shared with Robin · fe-62XTN3 · goes when the relay is reachable
    ```

Each name has a terminal of their own, with a shell in it that stays from block to block. A line that begins with ``$`` is
typed; every other line has to appear exactly so, and nothing else may appear. Where a program stops in the middle of a line,
it asks: what the page has behind the question is typed, and ``^C`` is Ctrl-C. A block may leave off while a program runs; the
next block of that name goes on there. A line with nothing but ``…`` stands for lines that the page leaves out.

Some things differ with every run. `KINDS` says how they look and whether they have to stay the same within a page: what the
page calls ``fe-62XTN3`` may be any id, but then always that one, also where it is typed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pexpect

PROMPT = "$ "
ELISION = "…"
CTRL_C = "^C"
WAIT_S = 30.0
QUIET_S = 0.12
"""A line that stands unfinished for so long, ending in a space, is a question."""
COLUMNS = 80
ROWS = 400
"""So many that no pager is needed."""
_FENCE = re.compile(r"^```(.*)$")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\r|\a")
_BEGUN_CONTROL = re.compile(r"\x1b(\[[0-9;?]*|[()])?$")
_WORDS = re.compile(r"Here:  (.+)")
_ASKS_WORD = re.compile(r"Which word is the (\w+) one on (\w+)'s screen\?")
_HIDDEN = "·····"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_WEEKDAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"


class Kind(NamedTuple):
    """Something that differs with every run."""

    pattern: str
    same: bool
    """It stands for one and the same thing in a whole page."""


KINDS = (
    Kind(r"\b[a-z]{2}-[0-9A-HJKMNP-TV-Z]{6}\b", same=True),  # an id
    Kind(r"\b\d{1,4}-[a-z]+-[a-z]+-[a-z]+(?=@)", same=True),  # a code to pair with
    Kind(r"\b[0-9a-f]{32}\b", same=True),  # a digest or the id of a space
    Kind(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\b", same=False),
    Kind(r"\b\d{4}-\d\d-\d\d\b", same=False),
    Kind(rf"\b{_WEEKDAY}, \d{{1,2}} {_MONTH} \d{{4}}\b", same=False),
    Kind(rf"\b\d{{1,2}} {_MONTH}(?: \d{{4}})?(?! \d)", same=False),
    Kind(r"(?<!:)\b\d\d:\d\d\b", same=False),
    # What a sync brought: some or all of it may have come with an earlier one that went by itself.
    Kind(r"\b(?:Nothing new|\d+ sent(?: · something new came)?|Something new came)(?!\w)", same=False),
    # How much of the other's log has come so far depends on when theirs synced by itself.
    Kind(r"(?<=is whole: )\d+ log entries", same=False),
    Kind(rf"(?<=Here:  )(?:[a-z]+|{_HIDDEN})(?: (?:[a-z]+|{_HIDDEN})){{5}}", same=False),
    Kind(rf"(?<=the )(?:{'|'.join(_ORDINALS)})(?= one on)", same=False),
)


class TranscriptError(AssertionError):
    """What a page says is not what happens."""


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    line: int
    """Of the page; that of the block's first line."""
    language: str
    who: str
    """Whose terminal it is; empty: the block is none to be played."""
    lines: tuple[str, ...]


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        TranscriptError: one does not end.
    """
    begun, info, lines = 0, "", list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not begun:
            begun, info, lines = number + 1, fence[1].strip(), []
        elif fence:
            language, _, who = info.partition(" ")
            yield Block(page.name, begun, language, who.strip(), tuple(lines))
            begun = 0
        elif begun:
            lines.append(line.rstrip())
    if begun:
        raise TranscriptError(f"{page.name}:{begun}: this block does not end")


class Names:
    """What the page calls something, and what it is this time."""

    def __init__(self, known: Mapping[str, str], more: Sequence[Kind] = ()) -> None:
        """Begin with what is known.

        Args:
            known: by what the page says, what it is here.
            more: what differs besides `KINDS`.
        """
        self._here = dict(known)
        self._kinds = (*KINDS, *more)
        self._any_kind = "|".join(f"(?P<k{number}>{kind.pattern})" for number, kind in enumerate(self._kinds))

    def typed(self, text: str) -> str:
        """What is to be typed where the page says `text`."""
        for page in sorted(self._here, key=len, reverse=True):
            text = text.replace(page, self._here[page])
        return text

    def match(self, page: str, here: str) -> bool:
        """Whether the page says what is here; remembers what it calls things."""
        pattern, groups = self._pattern(page)
        found = re.fullmatch(pattern, here)
        if found is None:
            return False
        new = {name: found[f"n{number}"] for name, number in groups.items()}
        if len({*new.values(), *self._here.values()}) < len(new) + len(self._here):
            return False  # two names of the page for one thing
        self._here |= new
        return True

    def _pattern(self, page: str) -> tuple[str, dict[str, int]]:
        """A line of the page as an expression, and the numbers of its groups by the names that have no meaning yet."""
        known = "|".join(re.escape(each) for each in sorted(self._here, key=len, reverse=True)) or "(?!)"
        parts, groups, end = list[str](), dict[str, int](), 0
        for found in re.finditer(f"{known}|{self._any_kind}", page):
            parts.append(re.escape(page[end : found.start()]))
            end, text = found.end(), found[0]
            kind = next((kind for number, kind in enumerate(self._kinds) if found[f"k{number}"] is not None), None)
            if kind is None:
                parts.append(re.escape(self._here[text]))
            elif not kind.same:
                parts.append(kind.pattern)
            elif text in groups:
                parts.append(f"(?P=n{groups[text]})")
            else:
                groups[text] = len(groups)
                parts.append(f"(?P<n{groups[text]}>{kind.pattern})")
        return "".join(parts) + re.escape(page[end:]), groups


class Terminal:
    """A shell in a terminal, and what was read from it."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, rcfile: Path) -> None:
        """Open it.

        Args:
            folder: where the shell is at first.
            env: all of its environment.
            rcfile: what the shell runs first; it has to make `PROMPT` the prompt.
        """
        self._child: Any = pexpect.spawn(
            "bash",
            ["--rcfile", str(rcfile), "--noprofile", "--noediting", "-i"],
            cwd=str(folder),
            env={**env, "TERM": "xterm"},
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(ROWS, COLUMNS),
        )
        self._raw = ""
        self._unread = ""
        self._seen = ""

    @property
    def rest(self) -> str:
        """What was shown and not read."""
        self._pull(0.0)
        return self._unread

    def everything(self) -> str:
        """All that was ever shown."""
        self._pull(0.0)
        return self._seen

    def type(self, text: str) -> None:
        """Type a line, or Ctrl-C."""
        self._child.send("\x03" if text == CTRL_C else f"{text}\r")

    def at_prompt(self) -> bool:
        """Wait until nothing but the shell's prompt is left to read; False if something else stands there."""
        return self._until(lambda: self._unread == PROMPT or "\n" in self._unread) and self._unread == PROMPT

    def take_line(self) -> str | None:
        """The next whole line; None if the terminal waits in the middle of one: `rest` is the question."""
        self._until(lambda: "\n" in self._unread or self._asks())
        if "\n" not in self._unread:
            return None
        line, _, self._unread = self._unread.partition("\n")
        return line.rstrip()

    def drop_line(self) -> str:
        """Read what is left of the line that something was typed on."""
        self._until(lambda: "\n" in self._unread)
        line, _, self._unread = self._unread.partition("\n")
        return line.rstrip()

    def interrupt(self) -> None:
        """Type Ctrl-C where nothing is asked, and read how the terminal shows it."""
        self.type(CTRL_C)
        self._until(lambda: CTRL_C in self._unread)
        self._unread = self._unread.removeprefix(CTRL_C).removeprefix("\n")

    def close(self) -> None:
        """End the shell and what runs in it."""
        self._child.close(force=True)

    def _asks(self) -> bool:
        if not self._unread.endswith(" "):
            return False
        before = self._unread
        self._pull(QUIET_S)
        return self._unread == before

    def _until(self, condition: Any) -> bool:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._pull(0.05)
        return True

    def _pull(self, wait_s: float) -> None:
        try:
            self._raw += self._child.read_nonblocking(65536, timeout=wait_s)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        begun = _BEGUN_CONTROL.search(self._raw)
        whole = self._raw[: begun.start()] if begun else self._raw
        self._raw = self._raw[len(whole) :]
        text = _CONTROL.sub("", whole)
        self._unread += text
        self._seen += text


class Stage:
    """The terminals of a page."""

    def __init__(self, terminals: Mapping[str, Terminal], names: Names, *, unseen: Mapping[str, str]) -> None:
        """Set up.

        Args:
            terminals: by name.
            names: what is known beforehand.
            unseen: by question, what is typed without being shown, so that no page has it.
        """
        self._terminals = terminals
        self._names = names
        self._unseen = unseen

    def play(self, block: Block) -> None:
        """Play one block.

        Raises:
            TranscriptError: something else happens than what stands there.
        """
        terminal = self._terminals[block.who]
        skipping = False
        for number, line in enumerate(block.lines):
            where = f"{block.page}:{block.line + number}"
            if line.startswith(PROMPT):
                self._command(terminal, line, where, skipping=skipping)
            elif line == CTRL_C:
                terminal.interrupt()
            elif line.strip() != ELISION:
                self._line(terminal, line, where, skipping=skipping)
            skipping = line.strip() == ELISION
        if skipping:
            self._skip_to_prompt(terminal, f"{block.page}:{block.line}")

    def finish(self, page: str) -> None:
        """See that nothing was left out at the end.

        Raises:
            TranscriptError: a program still runs, or has said more than the page.
        """
        for who, terminal in self._terminals.items():
            if not terminal.at_prompt():
                raise TranscriptError(f"{page}: at its end {who}'s terminal still has {terminal.rest!r}")

    def _command(self, terminal: Terminal, line: str, where: str, *, skipping: bool) -> None:
        if skipping:
            self._skip_to_prompt(terminal, where)
        if not terminal.at_prompt():
            raise TranscriptError(f"{where}: before {line!r} there is more than the page says:\n{terminal.rest}")
        typed = self._names.typed(line.removeprefix(PROMPT))
        terminal.type(typed)
        echoed = terminal.drop_line()
        if echoed.removeprefix(PROMPT).rstrip() != typed:
            raise TranscriptError(f"{where}: {line!r} was typed, and there stands {echoed!r}")

    def _skip_to_prompt(self, terminal: Terminal, where: str) -> None:
        while not terminal.at_prompt():
            if terminal.take_line() is None:
                raise TranscriptError(f"{where}: it does not come to an end: {terminal.rest!r}")

    def _line(self, terminal: Terminal, line: str, where: str, *, skipping: bool) -> None:
        passed: list[str] = []
        while True:
            here = terminal.take_line()
            if here is None:
                if self._answer(terminal, line):
                    return
                here = terminal.rest
            elif self._names.match(line, here):
                return
            elif skipping:
                passed.append(here)
                continue
            wanted = self._names.typed(line)
            raise TranscriptError(
                "\n".join([f"{where}: not what the page says", f"page: {wanted}", f"here: {here}", *passed, terminal.rest])
            )

    def _answer(self, terminal: Terminal, line: str) -> bool:
        """Type what the page has behind the question that stands there; False if the page has another question."""
        question = terminal.rest
        if self._names.match(line, question.rstrip()):
            typed = self._unseen.get(line, "")
        else:
            ends = [end for end in range(1, len(line)) if line[end - 1] == " " and self._names.match(line[:end], question)]
            if not ends:
                return False
            typed = self._names.typed(line[ends[0] :])
        asked = _ASKS_WORD.search(question)
        if asked:
            typed = self._word(asked[1], asked[2])
        terminal.type(typed)
        terminal.drop_line()  # the question, with what was shown of the answer
        return True

    def _word(self, ordinal: str, name: str) -> str:
        """What stands on the other's screen."""
        other = self._terminals[name.lower()]
        deadline = time.monotonic() + WAIT_S
        while not (found := _WORDS.findall(other.everything())):
            if time.monotonic() > deadline:
                raise TranscriptError(f"there are no words on {name}'s screen")
            time.sleep(0.05)
        word = str(found[-1].split()[_ORDINALS.index(ordinal)])
        assert word != _HIDDEN
        return word
