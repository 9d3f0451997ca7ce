"""The completion files of the shells, written from the program.

Plain files of words: completing runs no program, opens no home and asks nothing. What only the journal knows, ids and names of
people, is not completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import click

from docs.commands import Option, options_of, summary_of

FILES, FOLDERS = "@files", "@folders"
_HEAD = "# Completion of bide for {name}. Written by docs/completions.py from the program; don't edit it here."
_BY_OPTION = {"--feelings": "feelings", "--deck": "decks", "--home": FOLDERS}
_BY_METAVAR = {"KIND": "kinds", "STEP": "steps", "KEY": "keys", "FEELING": "feelings", "DECK": "decks", "DAY": "days"}
_FILE_WORDS = frozenset({"FILE", "PATH", "DIR", "FOLDER"})
_BY_ARGUMENT = {
    ("feel", "WORD"): "feelings",
    ("repair", "ID"): "steps",  # bide repair tell: of the only conversation
    ("decks show", "NAME"): "decks",
}


class Place(NamedTuple):
    """A command, and what can come after it."""

    path: str
    """What was typed after ``bide``; empty for itself."""
    below: tuple[tuple[str, str], ...]
    """Commands beneath it, each with its line."""
    options: tuple[Option, ...]
    arguments: tuple[Option, ...]

    @property
    def flags(self) -> list[Option]:
        """Options without a value."""
        return [option for option in self.options if not option.metavar]

    @property
    def takes(self) -> list[Option]:
        """Options with a value."""
        return [option for option in self.options if option.metavar]


def word_lists() -> dict[str, tuple[str, ...]]:
    """The lists of words that values come from, by name."""
    from bide.entries.kinds import KINDS
    from bide.entries.repair import Step
    from bide.words import deck_names, vocabulary
    from bide_cli.home.configuring import KEYS

    return {
        "feelings": tuple(feeling.slug for feeling in vocabulary()),
        "decks": deck_names(),
        "kinds": tuple(kind.name for kind in KINDS.values() if kind.shown),
        "steps": tuple(step.name.lower() for step in Step if step is not Step.INVITE),
        "keys": tuple(key.name for key in KEYS if key.check is not None),
        "days": ("today", "yesterday"),
    }


def places(root: click.Group) -> list[Place]:
    """Every command of the program, itself first."""
    found: list[Place] = []

    def visit(command: click.Command, path: str) -> None:
        context = click.Context(command)
        below = []
        if isinstance(command, click.Group):
            names = command.list_commands(context)
            commands = {name: command.get_command(context, name) for name in names}
            below = [(name, each) for name, each in commands.items() if each is not None and not each.hidden]
        options = options_of(command)
        found.append(
            Place(
                path,
                tuple((name, summary_of(each)) for name, each in below),
                (*(option for option in options if option.names), Option(("--help",), "", "Show what it does.", ())),
                tuple(option for option in options if not option.names),
            )
        )
        for name, each in below:
            visit(each, f"{path} {name}".strip())

    visit(root, "")
    return found


def value_of(place: Place, option: Option) -> str:
    """Where the values of an option or argument come from: words, the name of a list as ``$name``, files, or nothing."""
    metavar = option.metavar.strip("[].")
    if option.choices:
        return " ".join(option.choices)
    name = next((_BY_OPTION[name] for name in option.names if name in _BY_OPTION), "")
    if not option.names:
        name = _BY_ARGUMENT.get((place.path, metavar), "")
    name = name or _BY_METAVAR.get(metavar, "")
    if not name and _FILE_WORDS & set(metavar.split("|")):
        name = FOLDERS if metavar in ("DIR", "FOLDER") else FILES
    return name if name.startswith("@") or not name else f"${name}"


def _values(found: Iterable[Place]) -> dict[str, list[str]]:
    """Value source to the places that take it, as ``path/--option`` or ``path/1``, the first argument being 1."""
    by_source: dict[str, list[str]] = {}
    for place in found:
        for option in place.takes:
            if source := value_of(place, option):
                by_source.setdefault(source, []).extend(f'"{place.path}/{name}"' for name in option.names)
        for position, argument in enumerate(place.arguments, 1):
            if source := value_of(place, argument):
                several = argument.metavar.endswith("...")
                by_source.setdefault(source, []).append(f'"{place.path}/"*' if several else f'"{place.path}/{position}"')
    return by_source


def _names(options: Iterable[Option]) -> str:
    return " ".join(name for option in options for name in option.names if name.startswith("--"))


def bash(root: click.Group) -> str:
    """The file for bash, from 3.2 on, which is what macOS has."""
    found = places(root)
    lines = [_HEAD.format(name="bash"), ""]
    lines += [f'_bide_{name}="{" ".join(words)}"' for name, words in word_lists().items()]
    lines += ["", "_bide_spec() {", '    case "$1" in']
    for place in found:
        below = " ".join(name for name, _ in place.below)
        lines.append(f'    "{place.path}") below="{below}" flags="{_names(place.flags)}" takes="{_names(place.takes)}" ;;')
    lines += ["    esac", "}", "", "_bide_values() {", '    words="" files="" list=""', '    case "$1/$2" in']
    for source, takers in _values(found).items():
        if source.startswith("@"):
            what = f'files="{source[1:]}"'
        elif source.startswith("$"):
            what = f'words="$_bide_{source[1:]}"' + (' list="yes"' if source == "$feelings" else "")
        else:
            what = f'words="{source}"'
        lines.append(f"    {'|'.join(takers)}) {what} ;;")
    lines += ["    esac", "}", "", _BASH_END]
    return "\n".join(lines)


_BASH_END = """\
_bide() {
    local cur="${COMP_WORDS[COMP_CWORD]}" path="" pending="" position=1 at=1 word
    local below="" flags="" takes="" words="" files="" list="" before=""
    COMPREPLY=()
    _bide_spec ""
    while [ "$at" -lt "$COMP_CWORD" ]; do
        word="${COMP_WORDS[at]}"
        case "$word" in
        -*)
            case " $takes --home " in
            *" $word "*)
                # bash takes --kind=repair apart into three words.
                [ "${COMP_WORDS[at + 1]}" = "=" ] && at=$((at + 1))
                at=$((at + 1))
                [ "$at" -ge "$COMP_CWORD" ] && pending="$word"
                ;;
            esac
            ;;
        *)
            case " $below " in
            *" $word "*) path="${path:+$path }$word" position=1 below="" flags="" takes="" && _bide_spec "$path" ;;
            *) position=$((position + 1)) ;;
            esac
            ;;
        esac
        at=$((at + 1))
    done
    [ "$cur" = "=" ] && cur=""
    if [ -n "$pending" ]; then
        _bide_values "$path" "$pending"
    elif [ "${cur#-}" != "$cur" ]; then
        words="$flags $takes"
    elif [ -n "$below" ]; then
        words="$below"
    else
        _bide_values "$path" "$position"
    fi
    if [ -n "$list" ] && [ "${cur%,*}" != "$cur" ]; then
        before="${cur%,*}," cur="${cur##*,}"
    fi
    if [ -n "$files" ]; then
        type compopt >/dev/null 2>&1 && compopt -o filenames 2>/dev/null
        local IFS=$'\\n'
        if [ "$files" = "folders" ]; then
            COMPREPLY=($(compgen -d -- "$cur"))
        else
            COMPREPLY=($(compgen -f -- "$cur"))
        fi
    else
        COMPREPLY=($(compgen -P "$before" -W "$words" -- "$cur"))
    fi
}

complete -F _bide bide
"""


def _quoted(text: str, shell: str) -> str:
    """`text` in single quotes."""
    return "'" + (text.replace("\\", "\\\\").replace("'", "\\'") if shell == "fish" else text.replace("'", "'\\''")) + "'"


def _described(items: Iterable[tuple[str, str]]) -> str:
    return " ".join(_quoted(f"{name}:{words}", "zsh") for name, words in items)


def zsh(root: click.Group) -> str:
    """The file for zsh."""
    found = places(root)
    lines = ["#compdef bide", _HEAD.format(name="zsh"), ""]
    lines += [f"typeset -ga _bide_{name}=({' '.join(words)})" for name, words in word_lists().items()]
    lines += ["", "_bide_spec() {", "    below=() flags=() takes=()", '    case "$1" in']
    for place in found:
        flags, takes = (
            _described((name, option.words) for option in options for name in option.names if name.startswith("--"))
            for options in (place.flags, place.takes)
        )
        lines += [
            f'    "{place.path}")',
            f"        below=({_described(place.below)})",
            f"        flags=({flags})",
            f"        takes=({takes})",
            "        ;;",
        ]
    lines += ["    esac", "}", "", "_bide_values() {", '    choices=() files="" list=""', '    case "$1/$2" in']
    for source, takers in _values(found).items():
        if source.startswith("@"):
            what = f'files="{source[1:]}"'
        elif source.startswith("$"):
            what = f"choices=($_bide_{source[1:]})" + (' list="yes"' if source == "$feelings" else "")
        else:
            what = f"choices=({source})"
        lines.append(f"    {'|'.join(takers)}) {what} ;;")
    lines += ["    esac", "}", "", _ZSH_END]
    return "\n".join(lines)


_ZSH_END = """\
_bide() {
    local at=2 position=1 word where="" pending="" files="" list=""
    local -a below flags takes choices
    _bide_spec ""
    while (( at < CURRENT )); do
        word="${words[at]}"
        if [[ "$word" == -* ]]; then
            if [[ "$word" == --home || -n "${takes[(r)${(b)word}:*]}" ]]; then
                (( at += 1 ))
                (( at >= CURRENT )) && pending="$word"
            fi
        elif [[ -n "${below[(r)${(b)word}:*]}" ]]; then
            where="${where:+$where }$word"
            position=1
            _bide_spec "$where"
        else
            (( position += 1 ))
        fi
        (( at += 1 ))
    done
    if [[ -z "$pending" && "$PREFIX" == --*=* ]]; then
        pending="${PREFIX%%=*}"
        compset -P '*='
    fi
    if [[ -n "$pending" ]]; then
        _bide_values "$where" "$pending"
    elif [[ "$PREFIX" == -* ]]; then
        _describe -o option flags -- takes
        return
    elif (( $#below )); then
        _describe command below
        return
    else
        _bide_values "$where" "$position"
    fi
    [[ -n "$list" ]] && compset -P '*,'
    if [[ "$files" == folders ]]; then
        _files -/
    elif [[ -n "$files" ]]; then
        _files
    elif (( $#choices )); then
        compadd -- $choices
    fi
}

if [[ "$funcstack[1]" == _bide ]]; then
    _bide "$@"
else
    compdef _bide bide
fi
"""


def fish(root: click.Group) -> str:
    """The file for fish."""
    found = places(root)
    lines = [_HEAD.format(name="fish"), ""]
    lines += [f"set -g __bide_{name} {' '.join(words)}" for name, words in word_lists().items()]
    paths = " ".join(_quoted(place.path, "fish") for place in found if place.path)
    takes = " ".join(
        _quoted(f"{place.path}/{name}", "fish")
        for place in found
        for option in (*place.takes, Option(("--home",), "DIR", "", ()))
        for name in option.names
    )
    lines += [f"set -g __bide_places {paths}", f"set -g __bide_takes {takes}", "", _FISH_AT, "complete -c bide -f"]
    for place in found:
        condition = f"-n \"__bide_at '{place.path}'\""
        lines += [f"complete -c bide {condition} -a {name} -d {_quoted(words, 'fish')}" for name, words in place.below]
        for option in place.options:
            values = _fish_values(value_of(place, option)) if option.metavar else ""
            lines += [
                f"complete -c bide {condition} -l {name[2:]}{values} -d {_quoted(option.words, 'fish')}"
                for name in option.names
                if name.startswith("--")
            ]
        for position, argument in enumerate(place.arguments, 1):
            if source := value_of(place, argument):
                at = 0 if argument.metavar.endswith("...") else position
                where = f"-n \"__bide_at '{place.path}' {at}\""
                lines.append(f"complete -c bide {where}{_fish_values(source).replace(' -x', '').replace(' -r', '')}")
    return "\n".join(lines) + "\n"


def _fish_values(source: str) -> str:
    if source.startswith("@"):
        return " -r -F" if source == FILES else " -x -a '(__fish_complete_directories)'"
    if not source:
        return " -x"
    return f' -x -a "{source.replace("$", "$__bide_")}"' if source.startswith("$") else f" -x -a {_quoted(source, 'fish')}"


_FISH_AT = """\
# Whether the command typed so far is this one; with a number, whether its so-manieth argument is next (0: any).
function __bide_at
    set -l path ''
    set -l position 1
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- "$path/$word" $__bide_takes
            and set skip 1
        else if contains -- (string trim -- "$path $word") $__bide_places
            set path (string trim -- "$path $word")
            set position 1
        else
            set position (math $position + 1)
        end
    end
    test "$path" = "$argv[1]"
    and begin
        test (count $argv) = 1
        or test $argv[2] = 0
        or test $argv[2] = $position
    end
end
"""

SHELLS = {"bide.bash": bash, "_bide": zsh, "bide.fish": fish}
"""File name to what writes it."""


def completion_files(root: click.Group) -> Mapping[str, str]:
    """The text of each file, by name."""
    return {name: write(root) for name, write in SHELLS.items()}
