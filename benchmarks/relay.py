"""The relay under load, beside bare ``websockets`` servers that get the same messages from the same generator."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import CACHE, MS, Report, Spread, pin, show
from benchmarks.relay_spaces import prepared
from bide_relay.testing import RelayProcess

ROUNDS = 3
PAIRS = 25
SECONDS = 3.0
IDLE_PAIRS = 500
KINDS = ("relay", "pair", "echo")
_NAMES = {"relay": "bide-relay, SQLite FULL", "pair": "bare pair forwarder", "echo": "bare echo"}
_LOADS = {"single": "1 at a time", "flight": "32 in flight", "batch": "32 in a batch"}
_EACH = 3_000
"""Envelopes prepared for each device: beyond it the window of a fast load ends early."""
_UNLIMITED = (
    *("--frames-per-device-s", "1e9", "--frames-per-device-burst", "1000000000"),
    *("--bytes-per-device-s", str(2**50), "--bytes-per-device-burst", str(2**50)),
    *("--connections-max", "5000"),
)
_SERVER_CORE, _LOAD_CORE = 0, 1
_FILES_WANTED = 8_192


def measure(*, rounds: int = ROUNDS, pairs: int = PAIRS, seconds: float = SECONDS, idle_pairs: int = IDLE_PAIRS) -> Report:
    """Every load on every server, in turns."""
    _allow_files()
    prepared(pairs, _EACH)
    prepared(idle_pairs, 0)
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for load in (*_LOADS, "pingpong"):
            for kind in KINDS:
                results.setdefault((kind, load), []).append(_run(kind, load, pairs, _EACH, seconds))
    for kind in KINDS:
        results[kind, "idle"] = [_run(kind, "idle", idle_pairs, 0, 0)]
    notes = [
        "delivered: the other device has it. CPU: user and system time of the server process, all threads, per change.",
        "1 at a time: each of the devices waits for 'stored' (yardsticks: for the delivery) before it sends the next.",
        f"{pairs} pairs, {2 * pairs} connections, all sending; envelopes of 476 bytes; server and load on a core each.",
        f"one such row in a commit of its own, bare SQLite, WAL, FULL, in this run: {_commit_ms():.3f} ms at the median",
    ]
    notes += _ratios(results)
    return Report("relay", f"Relay: {rounds} rounds of {seconds:g} s, in turns", _rows(results), notes)


def _rows(results: dict[tuple[str, str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for load, name in _LOADS.items():
        for kind in KINDS:
            runs = results[kind, load]
            rate = Spread.of([run["delivered_per_s"] for run in runs])
            cpu = Spread.of([run["server_us"] for run in runs])
            rows.append(
                {
                    "load": name,
                    "server": _NAMES[kind],
                    "delivered/s": round(rate.median),
                    "least": round(rate.least),
                    "CPU µs": cpu.median,
                    "min µs": cpu.least,
                    "server busy %": round(100 * Spread.of([run["server_busy"] for run in runs]).median),
                    "load busy %": round(100 * Spread.of([run["client_busy"] for run in runs]).median),
                }
            )
    return rows


def _ratios(results: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    def cpu(kind: str, load: str) -> float:
        return Spread.of([run["server_us"] for run in results[kind, load]]).median

    lines = []
    for load, name in _LOADS.items():
        pair, echo = cpu("relay", load) / cpu("pair", load), cpu("relay", load) / cpu("echo", load)
        lines.append(f"CPU per change, {name}: {pair:.1f}× the pair forwarder, {echo:.1f}× the echo")
    for kind in KINDS:
        runs = results[kind, "pingpong"]
        p50, p99 = (Spread.of([run[key] for run in runs]) for key in ("p50_ms", "p99_ms"))
        lines.append(f"ping-pong, {_NAMES[kind]}: p50 {p50.median:.2f} ms, p99 {p99.median:.2f} ms (best {p99.least:.2f})")
    each = {kind: results[kind, "idle"][0]["kib_each"] for kind in KINDS}
    count = results["relay", "idle"][0]["connections"]
    lines.append(
        f"memory of an idle connection ({count:,} of them): {each['relay']:.1f} KiB, bare websockets {each['echo']:.1f} KiB: "
        f"{each['relay'] / each['echo']:.2f}×"
    )
    lines.append("goals for later: CPU ≤ 1.5× the pair forwarder in batches, ≤ 3× one at a time; memory ≤ 1.3×")
    if any(run.get("ran_out") for runs in results.values() for run in runs):
        lines.append("Some windows were shorter, since the prepared envelopes were used up.")
    return lines


def _run(kind: str, load: str, pairs: int, each: int, seconds: float) -> dict[str, Any]:
    with _server(kind) as (url, pid):
        pin(pid, _SERVER_CORE)
        arguments = [kind, url, str(pid), load, str(pairs), str(each), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.relay_load", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        pin(process.pid, _LOAD_CORE)
        out, problems = process.communicate(timeout=150)
    if process.returncode != 0:
        raise RuntimeError(f"the load {load} on {kind} failed:\n{problems[-2000:]}")
    result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return result


@contextlib.contextmanager
def _server(kind: str) -> Iterator[tuple[str, int]]:
    """A fresh server; for the relay with an empty database, on the disk that the cache is on."""
    if kind == "relay":
        with (
            tempfile.TemporaryDirectory(dir=CACHE) as folder,
            RelayProcess(Path(folder) / "relay", "--registration", "open", *_UNLIMITED) as relay,
        ):
            yield relay.url, relay.pid
        return
    command = [sys.executable, "-m", "benchmarks.relay_plain", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    assert process.stdout is not None  # asked for above
    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _commit_ms() -> float:
    """What durability costs here by itself: one row, one commit, WAL and synchronous=FULL as the relay has them."""
    import apsw

    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        database = apsw.Connection(str(Path(folder) / "bare.db"))
        # One at a time: what follows a statement that answers is not run before its answer is taken.
        database.pragma("journal_mode", "wal")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE bare (data BLOB)")
        taken = []
        for _ in range(300):
            began_s = time.perf_counter()
            database.execute("INSERT INTO bare VALUES (zeroblob(476))")
            taken.append(time.perf_counter() - began_s)
        database.close()
    return Spread.of(taken).median * MS


def _allow_files() -> None:
    """A thousand connections are a thousand descriptors, here and in the servers, which inherit this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES_WANTED:
        wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    print(show(measure()))
