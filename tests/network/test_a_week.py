"""A client that watches for a week, compressed: it sleeps and wakes, changes its address, and the relay comes and goes.

Replay: ``SEED=… WEEK_EVENTS=… .venv/bin/pytest tests/network/test_a_week.py``. Linux only: it reads /proc.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import pytest
from homes import Home, pair
from seeds import SEED

from bide_relay.testing import RelayProcess
from network.proxy import Proxy

WEEK_EVENTS = int(os.environ.get("WEEK_EVENTS", "15"))
"""What happens to the client; make soak raises it to what a bad week holds."""
SHORTER = 50
WAIT_S = 15.0
SILENT_S = (20 + 20 + 3) / SHORTER
"""After this long a silent connection is given up: the ping's interval, its timeout, and what a goodbye may take."""
IDLE_S = float(os.environ.get("IDLE_S", "2"))
RSS_KIB_MAX = 4_096
EVENTS = ("address", "silence", "sleep", "restart", "away", "write")
WATCHER = Path(__file__).with_name("watcher.py")

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")


class Watching:
    """``bide sync --watch`` of a home, and what it tells."""

    def __init__(self, home: Home, *, shorter: float = SHORTER) -> None:
        command = [sys.executable, str(WATCHER), "sync", "--watch", "--json"]
        environment = home.environment | {"WATCH_SHORTER": str(shorter)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._heard: set[tuple[str, str]] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._told.put(json.loads(line))

    def heard(self, event: str, *kinds: str) -> float:
        """Wait until it told an event of these kinds of spaces since `forget`, in any order; how long that took, in seconds."""
        begun = time.monotonic()
        while not {(event, kind) for kind in kinds} <= self._heard:
            told = self._told.get(timeout=WAIT_S)
            self._heard.add((told["event"], told["kind"]))
        return time.monotonic() - begun

    def forget(self) -> None:
        """What was told up to now doesn't matter."""
        while not self._told.empty():
            self._told.get()
        self._heard.clear()

    def rss_kib(self) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20)


def test_a_week_of_watching_leaks_nothing_and_misses_nothing(tmp_path: Path) -> None:
    """After whatever happens it is connected again and has what the other wrote; memory and descriptors stay as they were."""
    print(f"SEED={SEED} WEEK_EVENTS={WEEK_EVENTS}")
    chance = random.Random(SEED)
    fired: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    noticed: list[float] = []
    with RelayProcess(tmp_path / "relay", "--registration", "open") as relay, Proxy(relay.host) as proxy:
        sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
        pair(sam, robin, proxy.url)
        sam.run("sync")
        with Watching(sam) as watching:
            watching.heard("reached", "own", "pair")
            for number in range(WEEK_EVENTS):
                event = "wipe" if number == WEEK_EVENTS // 2 else EVENTS[number % len(EVENTS)]
                noticed += _befall(event, relay, proxy, watching, chance)
                fired[event] += 1
                assert watching.process.poll() is None, f"it ended at {event}"
                if event == "write":
                    robin.write(f"in the {number}th hour")
                    robin.run("sync")
                    watching.heard("received", "pair")
                sizes.append((watching.rss_kib(), watching.descriptors()))
        sam.run("sync")
        robin.run("sync")
        assert sam.ids() == robin.ids()
        assert sam.pair_digest() == robin.pair_digest()
    half = len(sizes) // 2
    # The first third warms up: caches, and imports that a first error brings.
    rss = median(size[0] for size in sizes[half:]) - median(size[0] for size in sizes[half // 3 : half])
    descriptors = max(size[1] for size in sizes[half:]) - max(size[1] for size in sizes[:half])
    print(f"{dict(fired)}; rss {rss:+} KiB; descriptors {descriptors:+}; silence noticed in {max(noticed):.2f} s at most")
    assert rss <= RSS_KIB_MAX
    assert descriptors <= 0
    assert noticed
    assert max(noticed) <= SILENT_S + 1


def _befall(event: str, relay: RelayProcess, proxy: Proxy, watching: Watching, chance: random.Random) -> list[float]:
    """Let something happen, and wait until both spaces are connected again. Returns how long a silence took to be noticed."""
    watching.forget()
    noticed = []
    match event:
        case "address":
            assert proxy.drop_all() == 2
        case "silence":
            assert proxy.silence_all() == 2
            # Each looks for itself: the one may be back before the other notices.
            noticed.append(watching.heard("lost", "own", "pair"))
        case "sleep":
            watching.process.send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 0.4))
            assert proxy.drop_all() == 2
            watching.process.send_signal(signal.SIGCONT)
        case "restart":
            relay.stop()
            relay.start()
        case "away" | "wipe":
            relay.kill()
            time.sleep(chance.uniform(0.1, 0.5))
            if event == "wipe":
                shutil.rmtree(relay.data)
            relay.start()
        case _:
            return []
    watching.heard("reached", "own", "pair")
    return noticed


@pytest.mark.parametrize("shorter", [1, 1e9])
def test_a_watching_client_that_has_nothing_to_do_does_nothing(tmp_path: Path, shorter: float) -> None:
    """No busy loop: with the pauses that people have it takes next to no time; the control, without pauses, is seen to."""
    with RelayProcess(tmp_path / "relay", "--registration", "open") as relay:
        sam = Home(tmp_path / "sam", "Sam")
        sam.run("relay", "set", relay.url)
        sam.run("sync")
        with Watching(sam, shorter=shorter) as watching:
            watching.heard("reached", "own")
            time.sleep(0.5)
            before = watching.cpu_s()
            time.sleep(IDLE_S)
            connected = (watching.cpu_s() - before) / IDLE_S
            relay.stop()
            watching.heard("lost", "own")
            before = watching.cpu_s()
            time.sleep(IDLE_S)
            alone = (watching.cpu_s() - before) / IDLE_S
    print(f"idle: {connected:.2%} of a core connected, {alone:.2%} with the relay away")
    assert (connected < 0.05 and alone < 0.1) is (shorter == 1)
