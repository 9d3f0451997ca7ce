"""A partner sends what takes a process down: it does so once, is set aside and named, and everything else goes on."""

from __future__ import annotations

from pathlib import Path

from homes import Home
from poison import ABORTS, HANGS, poisoned

from bide_relay.testing import RelayProcess


class Frail(Home):
    """A home whose processes die of poisoned changes."""

    poison: dict[str, str]

    @classmethod
    def of(cls, home: Home, environment: dict[str, str]) -> Frail:
        frail = cls.__new__(cls)
        frail.folder, frail.name, frail.poison = home.folder, home.name, environment
        return frail

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.poison

    def lives(self, *args: str) -> bool:
        return self.call(*args)[0] == 0

    def texts(self) -> list[str]:
        return [entry["fields"].get("noticed", "") for entry in self.json("timeline")["entries"]]

    def said_by_doctor(self) -> str:
        return "\n".join(finding["words"] for finding in self.json("doctor")["findings"])


def test_what_stops_a_process_does_so_once(tmp_path: Path, couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """The first sync dies. The next one takes in all the rest, and so do those after it; a rebuild holds too."""
    sam, robin = couple
    robin.write("before")
    robin.write(ABORTS)
    robin.write("after")
    robin.run("sync")
    frail = Frail.of(sam, poisoned(tmp_path / "site"))
    assert not frail.lives("sync")
    assert frail.lives("sync")
    assert sorted(frail.texts()) == ["after", "before"]
    robin.write("later")
    robin.run("sync")
    assert frail.lives("sync")
    assert frail.lives("rebuild")
    assert sorted(frail.texts()) == ["after", "before", "later"]
    assert "set aside" in frail.said_by_doctor()
    assert ABORTS not in frail.said_by_doctor()


def test_without_the_mark_it_stops_every_one(tmp_path: Path, couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """The control: with the safety out, sync after sync dies, and nothing that came with it is ever seen."""
    sam, robin = couple
    robin.write("before")
    robin.write(ABORTS)
    robin.run("sync")
    frail = Frail.of(sam, poisoned(tmp_path / "site", mark=False))
    assert [frail.lives("sync") for _ in range(4)] == [False] * 4
    assert frail.texts() == []


def test_what_hangs_is_ended_and_set_aside(tmp_path: Path, couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """The process ends by itself after a while, though nothing else can run in it, and the next one goes on."""
    sam, robin = couple
    robin.write(HANGS)
    robin.write("after")
    robin.run("sync")
    frail = Frail.of(sam, poisoned(tmp_path / "site"))
    assert not frail.lives("sync")
    assert frail.lives("sync")
    assert frail.texts() == ["after"]


def test_after_an_upgrade_it_can_be_looked_at_again(tmp_path: Path, couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """`bide doctor --again` tries it apart: it stays aside while it stops processes, and comes in once it doesn't."""
    sam, robin = couple
    robin.write(ABORTS)
    robin.run("sync")
    frail = Frail.of(sam, poisoned(tmp_path / "site"))
    assert not frail.lives("sync")
    assert frail.lives("sync")
    assert frail.lives("doctor", "--again")
    assert frail.texts() == []
    assert "bide doctor --again" in frail.said_by_doctor()
    mended = Frail.of(sam, {})
    mended.run("doctor", "--again")
    assert mended.texts() == [ABORTS]
    assert "set aside" not in mended.said_by_doctor()
    assert mended.pair_digest() == robin.pair_digest()


def test_a_process_that_was_merely_killed_sets_nothing_aside(
    couple: tuple[Home, Home], relay: RelayProcess, tmp_path: Path
) -> None:
    """Whoever dies of something else while taking in honest entries: they are tried, and all of them come in."""
    sam, robin = couple
    for number in range(5):
        robin.write(f"number {number}")
    robin.run("sync")
    killed = Frail.of(sam, _killed_while_taking_in(tmp_path / "site"))
    assert not killed.lives("sync")
    whole = Frail.of(sam, {})
    whole.run("sync")
    assert sorted(whole.texts()) == [f"number {number}" for number in range(5)]
    assert "set aside" not in whole.said_by_doctor()
    whole.assert_sound()


def _killed_while_taking_in(folder: Path) -> dict[str, str]:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'bide_cli.main' in sys.orig_argv:\n"
        "    import bide.crdt.document as d\n"
        "    d.EntryDocument.__init__ = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(folder)}
