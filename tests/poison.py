"""A change that takes the process down which takes it in: there is none known that passes the limits, so one is made up.

A ``sitecustomize`` in a folder of its own, put on PYTHONPATH, teaches every Python that starts there to die of a marked change.
"""

from __future__ import annotations

from pathlib import Path

ABORTS, HANGS, EATS = "words that abort", "words that hang", "words that eat"
"""Texts that make of a change what takes a process down. Short, so that they stand in the change as they are."""

_SITE = '''
import os, sys, time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

class Hook(MetaPathFinder):
    """Alters a module right after it was imported."""

    def find_spec(self, name, path, target=None):
        alter = ALTER.get(name)
        spec = PathFinder.find_spec(name, path) if alter else None
        if spec is not None:
            execute = spec.loader.exec_module
            def exec_module(module):
                execute(module)
                alter(module)
            spec.loader.exec_module = exec_module
        return spec

def document(module):
    load = module.EntryDocument.__init__
    def init(self, changes):
        data = b"".join(changes)
        if b"words that abort" in data:
            os.abort()
        if b"words that hang" in data:
            while True:
                pass
        if b"words that eat" in data:
            eaten = bytearray()
            while len(eaten) < 3 << 30:
                eaten += bytes(64 << 20)
        load(self, changes)
    module.EntryDocument.__init__ = init

def storage(module):
    module.SqliteStorage.begin_applying = lambda *args, **options: None

def vetting(module):
    module.TAKING_IN_S_MAX = module.TRIAL_S_MAX = 2

ALTER = {"bide.crdt.document": document, "bide.replica.derivation.vetting": vetting}
if "%MARK%" == "off":
    ALTER["bide.storage.sqlite"] = storage
sys.meta_path.insert(0, Hook())
'''


def poisoned(folder: Path, *, mark: bool = True) -> dict[str, str]:
    """Environment of processes that die of such changes.

    Args:
        folder: where the teaching is put.
        mark: False takes the safety out: nothing is noted before it is taken in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE.replace("%MARK%", "on" if mark else "off"), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
