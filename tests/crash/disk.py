"""What a disk may hold after the power went: everything that was synced, and of the rest any part of it.

A recording is a list of what was done to a disk, in order. `Disk` goes through it; at any moment `Disk.after_cut` draws
one of the states in which a machine may find its files, and `Disk.after_kill` says how they are if only the process ended.

Of writes that were not synced, any sectors may be there and any not, in any order; one may be torn at any byte. A file may have
grown without its content (zeros). A name that was made, renamed or removed is certain only after a sync of its folder. A rename
is there or not there, and never half. That is as much as POSIX promises and less than any file system in use gives.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

SECTORS = (512, 4096)
_SHM_BYTES = 32_768


class Made(NamedTuple):
    """A name for a new, empty file."""

    path: str
    file: int


class MadeFolder(NamedTuple):
    """A new folder."""

    path: str
    file: int


class Written(NamedTuple):
    """Bytes put into a file."""

    file: int
    at: int
    data: bytes


class Cut(NamedTuple):
    """A file's size was set."""

    file: int
    size: int


class Synced(NamedTuple):
    """The content of a file was synced."""

    file: int


class Moved(NamedTuple):
    """A file has another name; what had that name before has none."""

    source: str
    target: str


class Linked(NamedTuple):
    """A file has a further name."""

    source: str
    target: str


class Removed(NamedTuple):
    """A name is gone."""

    path: str


class FolderSynced(NamedTuple):
    """The names in a folder were synced."""

    path: str


class Said(NamedTuple):
    """Somebody was told of something, and relies on it from now on."""

    what: object


Op = Made | MadeFolder | Written | Cut | Synced | Moved | Linked | Removed | FolderSynced | Said
_Naming = Made | MadeFolder | Moved | Linked | Removed
Image = Mapping[str, bytes]
"""Content by path."""
_T = TypeVar("_T")


class _File:
    """One file: what is certain of it, and what was done since."""

    def __init__(self, content: bytes = b"") -> None:
        self.durable = content
        self.now = bytearray(content)
        self.pending: list[Written | Cut] = []


class Disk:
    """The files of some folders, as far as a recording has gone."""

    def __init__(self, image: Image) -> None:
        """Begin with files all of which are certain."""
        self._files: dict[int, _File] = {-number: _File(content) for number, content in enumerate(image.values(), start=1)}
        self._durable = {path: -number for number, path in enumerate(image, start=1)}
        self._now = dict(self._durable)
        self._naming: list[tuple[_Naming, int]] = []
        self._folders: set[int] = set()
        self._made: set[str] = set()
        """Folders that were not there from the beginning."""
        self.said: list[object] = []
        """What has been acknowledged so far."""

    def do(self, op: Op) -> None:
        """Go on by one step of a recording."""
        match op:
            case Said(what):
                self.said.append(what)
            case Written(file):
                self._write(file, op)
            case Cut(file):
                self._write(file, op)
            case Synced(file):
                there = self._files[file]
                there.durable, there.pending = bytes(there.now), []
            case FolderSynced(path):
                self._sync_folder(path)
            case _:
                self._name(op)

    def _write(self, number: int, op: Written | Cut) -> None:
        file = self._files[number]
        _apply(file.now, op)
        file.pending.append(op)

    def _name(self, op: _Naming) -> None:
        if isinstance(op, Made | MadeFolder):
            self._files.setdefault(op.file, _File())
            number = op.file
            if isinstance(op, MadeFolder):
                self._folders.add(number)
                self._made.add(op.path)
        else:
            path = op.path if isinstance(op, Removed) else op.source
            if path not in self._now:
                return  # of a folder that nobody asked about
            number = self._now[path]
        _rename(self._now, op, number)
        self._naming.append((op, number))

    def _sync_folder(self, folder: str) -> None:
        left = []
        for op, number in self._naming:
            if folder in {str(Path(path).parent) for path in _paths(op)}:
                _rename(self._durable, op, number)
            else:
                left.append((op, number))
        self._naming = left

    @property
    def uncertain(self) -> bool:
        """Whether a power cut now could find anything but one state."""
        return bool(self._naming) or any(self._files[number].pending for number in self._now.values())

    def after_kill(self) -> dict[str, bytes]:
        """The files if the process ends here and the machine goes on."""
        return {path: bytes(self._files[number].now) for path, number in self._reached(self._now).items()}

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """The files in one of the states that a power cut here may leave."""
        names = dict(self._durable)
        for op, number in _fate(self._naming, chance):
            _rename(names, op, number)
        names = self._reached(names)
        contents: dict[int, bytes] = {}
        for number in names.values():
            if number not in contents:
                contents[number] = _content(self._files[number], chance)
        return {path: contents[number] for path, number in names.items()}

    def _reached(self, names: dict[str, int]) -> dict[str, int]:
        """The files among names: those in a folder that is not there are gone with it."""
        gone = self._made - names.keys()
        return {
            path: number
            for path, number in names.items()
            if number not in self._folders and not any(str(parent) in gone for parent in Path(path).parents)
        }


def _paths(op: _Naming) -> tuple[str, ...]:
    if isinstance(op, Moved | Linked):
        return (op.source, op.target) if isinstance(op, Moved) else (op.target,)
    return (op.path,)


def _rename(names: dict[str, int], op: _Naming, number: int) -> None:
    match op:
        case Made(path) | MadeFolder(path):
            names[path] = number
        case Moved(source, target):
            if names.get(source) == number:
                del names[source]
            names[target] = number
        case Linked(_, target):
            names[target] = number
        case Removed(path):
            names.pop(path, None)


def _apply(content: bytearray, op: Written | Cut) -> None:
    if isinstance(op, Cut):
        if op.size <= len(content):
            del content[op.size :]
        else:
            content.extend(bytes(op.size - len(content)))
        return
    if op.at > len(content):
        content.extend(bytes(op.at - len(content)))
    content[op.at : op.at + len(op.data)] = op.data


def _fate(pending: list[_T], chance: random.Random) -> list[_T]:
    """Which of these steps came through: none, all, the first few, or any."""
    kind = chance.randrange(4)
    if kind == 0:
        return []
    if kind == 1:
        return pending
    if kind == 2:
        return pending[: chance.randint(0, len(pending))]
    share = chance.random()
    return [op for op in pending if chance.random() < share]


def _content(file: _File, chance: random.Random) -> bytes:
    if not file.pending:
        return file.durable
    content = bytearray(file.durable)
    sector = chance.choice(SECTORS)
    kept = _fate(file.pending, chance)
    torn = chance.randrange(len(kept)) if kept and chance.random() < 0.5 else -1
    for number, op in enumerate(kept):
        if number == torn and isinstance(op, Written):
            for piece in _tear(op, sector, chance):
                _apply(content, piece)
        else:
            _apply(content, op)
    return bytes(content)


def _tear(op: Written, sector: int, chance: random.Random) -> list[Written]:
    """Some sectors of one write, or as much of it as went before it was cut at some byte."""
    if chance.random() < 0.3:
        return [op._replace(data=op.data[: chance.randint(0, len(op.data))])]
    pieces = []
    at, end = op.at, op.at + len(op.data)
    while at < end:
        upto = min(end, at - at % sector + sector)
        if chance.random() < 0.5:
            pieces.append(Written(op.file, at, op.data[at - op.at : upto - op.at]))
        at = upto
    return pieces


def put(image: Image, folder: Path, *, source: str = "", chance: random.Random | None = None) -> None:
    """Put the files of an image into a folder, as a machine finds them when it starts again.

    Args:
        image: by path.
        folder: where to.
        source: the paths begin with this, which `folder` takes the place of.
        chance: puts rubbish into the shared memory beside some databases, which nobody may believe.
    """
    for path, content in image.items():
        if path.endswith("-shm"):
            continue
        target = folder / path.removeprefix(source).lstrip("/")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o600)
        if chance is not None and path.endswith(".db") and chance.random() < 0.1:
            target.with_name(target.name + "-shm").write_bytes(chance.randbytes(_SHM_BYTES))


def read_image(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their whole path."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
