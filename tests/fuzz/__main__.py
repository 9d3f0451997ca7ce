"""``make fuzz MINUTES=1 TARGET=change``: coverage-guided fuzzing with atheris, each target in a process of its own.

A finding is left in ``.fuzz/found`` and printed. Put it into ``tests/fuzz/corpus/<target>``, where `test_corpora` runs it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FOUND, GROWN = Path(".fuzz/found").absolute(), Path(".fuzz/grown").absolute()
MEMORY_MIB_MAX = 2048


def main() -> int:
    """Fuzz every target, or one, and say how much was tried and what was found."""
    if sys.argv[1:2] == ["--one"]:
        _fuzz(sys.argv[2], float(sys.argv[3]))
        return 0
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--target", default="", choices=["", *TARGETS])
    options = parser.parse_args()
    found = 0
    for name in [options.target] if options.target else TARGETS:
        found += not _run(name, options.minutes)
    return min(1, found)


def _run(name: str, minutes: float) -> bool:
    begun = time.monotonic()
    command = [sys.executable, str(HERE), "--one", name, str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.monotonic() - begun
    runs = max((int(count) for count in re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)), default=0)
    edges = max((int(count) for count in re.findall(r"cov: (\d+)", done.stderr)), default=0)
    sound = done.returncode == 0
    figures = f"{name:12} {runs:>10,} runs  {runs / seconds:>8,.0f}/s  {edges:>6,} edges"
    print(figures, "nothing found" if sound else "FOUND", sep="  ", flush=True)
    if not sound:
        print("\n".join(done.stderr.splitlines()[-40:]), flush=True)
    return sound


def _fuzz(name: str, minutes: float) -> None:
    import atheris

    with atheris.instrument_imports(include=["bide", "bide_cli", "tomllib"]):
        from fuzz import targets

        # What a reader imports late would else stay without instruments.
        for file in (CORPUS / name).iterdir():
            targets.run(name, file.read_bytes())
    for folder in (CORPUS / name, FOUND, GROWN / name):
        folder.mkdir(parents=True, exist_ok=True)

    def once(data: bytes) -> None:
        try:
            targets.run(name, data)
        except Exception:
            raise
        except BaseException as error:  # a Rust panic would pass atheris by
            raise RuntimeError(f"{type(error).__name__} got out") from error

    arguments = [
        name,
        str(GROWN / name),
        str(CORPUS / name),
        f"-max_total_time={max(1, round(minutes * 60))}",
        f"-timeout={targets.RUN_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={FOUND}/{name}-",
        "-max_len=8192",
    ]
    atheris.Setup(arguments, once)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.path[0] = str(HERE.parent)
    sys.exit(main())
