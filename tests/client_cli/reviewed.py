"""Two people who have written to each other for some weeks, in real homes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bide.replica import Replica
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import exchange, pair_up
from bide_cli.home.folder import DATABASE, read_config

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONE = "Europe/Berlin"
HOSTILE = "<script>document.title='taken'</script> & </style></p><img src=x onerror=alert(1)> 👩‍👩‍👧 שלום, مرحبا"
AGREEMENT = "Whoever cooks leaves the pans.\nThe other does them before bed."
FEELINGS = (["glad"], ["tired", "unhurried"], ["close"], ["sad"], ["worn/thread-bare"], ["angry"], ["afraid"], ["able"])
_TALK: tuple[tuple[int, str, dict[str, str]], ...] = (
    (1, "accept", {}),
    (0, "tell", {"own_part": "I left them.", "felt": "tired"}),
    (1, "hear", {"mirrored": "SECRET of Robin"}),
    (0, "answer", {"verdict": "heard"}),
    (1, "reconnect", {"gesture": "SECRET of Robin"}),
    (0, "agree", {"agreement": AGREEMENT}),
    (0, "settle", {}),
    (1, "settle", {}),
)


def open_replica(home: Path, clock: FakeClock) -> Replica:
    """The replica in a home that was made with a key file."""
    key = Path(read_config(home).key_file).read_bytes()
    return Replica(SqliteStorage(home / DATABASE, key), zone=ZONE, clock=clock)


def write_weeks(sam_home: Path, robin_home: Path, *, weeks: int = 12) -> None:
    """Pair two homes and fill them: Sam writes every other day, and both do, ask and settle something."""
    now_ms = int(time.time() * 1000) - HOUR_MS
    clock = FakeClock(now_ms - weeks * 7 * DAY_MS, tick_ms=1)
    sam, robin = open_replica(sam_home, clock), open_replica(robin_home, clock)
    try:
        pair_up(sam, robin)
        exchange(sam, robin)
        for number, ago in enumerate(range(weeks * 7 - 7, -1, -2)):
            clock.set(now_ms - ago * DAY_MS)
            feelings = FEELINGS[number % len(FEELINGS)]
            fields = {"feelings": feelings, "went_well": f"Walk {number} by the river.", "hard": "The long day."}
            sam.write("checkin", fields, private=number % 5 == 0)
            robin.write("checkin", {"feelings": ["ashamed"], "went_well": "SECRET of Robin"})
        sam.write("checkin", {"lift": HOSTILE, "later": ["milk to buy"]})
        sam.write("appreciation", {"noticed": "You drove my mother home.", "shows": "You care."})
        robin.write("activity", {"what": "The night market", "memory": "SECRET of Robin"})
        _ask(sam, robin)
        _talk_through(sam, robin)
        taken_back = sam.write("checkin", {"hard": "TAKEN BACK", "feelings": ["ashamed"]})
        exchange(sam, robin)
        sam.retract(taken_back.id)
        exchange(sam, robin)
    finally:
        sam.storage.close()
        robin.storage.close()


def _ask(sam: Replica, robin: Replica) -> None:
    asked = robin.write("question", {"question": "What did you believe about love when you were ten?"})
    alone = sam.write("question", {"question": "ASKED AND NOT ANSWERED"})
    exchange(sam, robin)
    robin.reply("answer", asked.id, {"answer": "SECRET of Robin"})
    sam.reply("answer", asked.id, {"answer": "That somebody keeps the light on."})
    sam.reply("answer", alone.id, {"answer": "ALONE"})
    exchange(sam, robin)


def _talk_through(sam: Replica, robin: Replica) -> None:
    settled = sam.invite_to_repair({"topic": "The dishes on Sunday"})
    withdrawn = sam.invite_to_repair({"topic": "WITHDRAWN"})
    exchange(sam, robin)
    sam.repair_step(withdrawn.id, "withdraw")
    for who, step, values in _TALK:
        (sam, robin)[who].repair_step(settled.id, step, values)
        exchange(sam, robin)


def texts(data: dict[str, Any]) -> str:
    """Everything that a review says, as one text."""
    import json

    return json.dumps(data, ensure_ascii=False)
