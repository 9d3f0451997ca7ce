"""A new device takes in ten years: through a real relay process, over a real websocket, into a fresh encrypted home."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.measuring import CACHE, MIB, Report, Spread, run_worker, show, verdict
from bide.replica.sync.receiving import Receiver
from bide_cli.building.founding import found_home
from bide_cli.home.folder import KEY_FILE
from bide_cli.unlocking.keeping import Locking
from bide_relay.testing import RelayProcess

ROUNDS = 3
MEMORY_BUDGET_MIB = 250
_WORKER = "catch_up_worker"
_UNLIMITED = ("--frames-per-device-s", "1e9", "--bytes-per-device-s", str(2**50), "--bytes-per-device-burst", str(2**50))
"""An upload of ten years at once is not what the limits are for; what is measured is the work, not the throttle."""


def measure(*, entries: int = history.ENTRIES, rounds: int = ROUNDS) -> Report:
    """Upload once, then catch up and run the yardstick in turns."""
    made = history.cached(entries)
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        source = history.copy_home(made.sam, folder / "upload" / "sam")
        digest = _pair_digest(source)
        with RelayProcess(folder / "relay", "--registration", "open", *_UNLIMITED) as relay:
            uploaded = _run("upload", source, relay.url)
            received, bare = [], []
            for number in range(rounds):
                fresh = _new_device(made, folder / f"device-{number}" / "robin")
                received.append(_run("receive", fresh, relay.url))
                if _pair_digest(fresh) != digest:
                    raise RuntimeError("The new device derived another timeline: this is a bug in Bide.")
                bare.append(_run("bare", made.sam, str(folder / f"bare-{number}.db")))
    return _report(entries, uploaded, received, bare)


def _run(task: str, home: Path, argument: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run_worker(_WORKER, task, str(home), argument))
    return result


def _pair_digest(home: Path) -> str:
    replica = history.open_home(home)
    digest: str = replica.digest()[1]["digest"]
    replica.storage.close()
    return digest


def _new_device(made: history.History, home: Path) -> Path:
    """A home as Robin's was when the pairing was done: keys, names, and nothing of the ten years."""
    robin = history.open_home(made.robin)
    space = history.pair_space(robin)
    begin: list[bytes] = []
    for member in robin.storage.members(space.space_id):
        # The founder begins with genesis, admission and name; the other with their name.
        count = 3 if member.slot == 0 else 1
        first = robin.storage.envelopes_after(space.space_id, member.log_id, 0, bytes_max=2**20, count_max=count)
        begin += [envelope.data for envelope in first]
    robin.storage.close()
    found_home(home, name="Robin", locking=Locking(KEY_FILE, history.key_file(home)))
    fresh = history.open_home(home)
    pending = space._replace(epoch_id=b"", pending=True)
    history.keep_pending(fresh, pending, begin[0])
    Receiver(fresh.storage, pending).receive(begin[1:])
    fresh.storage.close()
    return home


def _report(entries: int, uploaded: dict[str, Any], received: list[dict[str, Any]], bare: list[dict[str, Any]]) -> Report:
    rows = [_row("upload to an empty relay", [uploaded]), _row("catch-up of a new device", received), _row("bare loop", bare)]
    peak = max(run["peak_bytes"] for run in received) / MIB
    ratio = Spread.of([r["seconds"] for r in received]).median / Spread.of([b["seconds"] for b in bare]).median
    return Report(
        "catch_up",
        f"Catch-up: {entries:,} entries of ten years, a client process of its own, {len(received)} runs",
        rows,
        [
            f"catch-up / bare loop: {ratio:.2f}× (a goal for later: ≤ 1.3×, ≤ 2 s)",
            f"peak memory of the catch-up: {peak:.0f} MiB, budget {MEMORY_BUDGET_MIB}: {verdict(peak, MEMORY_BUDGET_MIB)}",
            "bare loop: one process that hashes, decrypts, loads each document once with Automerge and stores the same",
            "envelopes in an encrypted SQLite file, a commit every 512; no network, signatures, rules, projections or search.",
        ],
    )


def _row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    spread = Spread.of([run["seconds"] for run in runs])
    envelopes, size = runs[0]["envelopes"], runs[0]["bytes"]
    return {
        "work": name,
        "log entries": envelopes,
        "MiB": size / MIB,
        "median s": spread.median,
        "min s": spread.least,
        "CPU s": Spread.of([run["cpu_s"] for run in runs]).median,
        "log entries/s": round(envelopes / spread.median),
        "peak MiB": round(max(run["peak_bytes"] for run in runs) / MIB),
    }


if __name__ == "__main__":
    print(show(measure()))
