"""A client that stays: what ``bide sync`` and ``bide thank`` do, in a process that is told by lines and has short patience.

Real homes and the real code; only so that a campaign doesn't spend its time on starting processes. Arguments: home, key file,
and ``forgetful`` for the control, a client that doesn't resume from the relay's heads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bide.protocol.frames import Welcome
from bide.replica import Replica
from bide.replica.sync import syncing
from bide.storage.sqlite import SqliteStorage
from bide_cli.syncing import carrying, transport

STALL_S = 0.8
BATCH_BYTES = 6_000
"""Small, so that a connection can break between many batches."""


def main() -> None:
    """Do as each line says; answer with a line of JSON."""
    home, key = Path(sys.argv[1]), Path(sys.argv[2])
    syncing.BATCH_BYTES_MAX = BATCH_BYTES  # type: ignore[attr-defined]
    assert carrying.Carrier.run.__kwdefaults__ is not None
    carrying.Carrier.run.__kwdefaults__["stall_max_s"] = STALL_S
    transport.OPEN_TIMEOUT_S = transport.CLOSE_TIMEOUT_S = STALL_S
    carrying._FLUSH_S = STALL_S  # type: ignore[assignment]
    if "forgetful" in sys.argv:
        _forget()
    replica = Replica(SqliteStorage(home / "bide.db", key.read_bytes()))
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        print(json.dumps(_do(replica, home, command, rest)), flush=True)


def _do(replica: Replica, home: Path, command: str, rest: str) -> object:
    if command == "write":
        return [replica.write("appreciation", {"noticed": f"{rest} {number}"}).id for number in range(int(rest))]
    if command == "ids":
        return sorted(entry["id"] for entry in replica.timeline())
    if command == "digest":
        return next(space["digest"] for space in replica.digest() if space["kind"] == "pair")
    spaces = {space.space_id: space for space in replica.spaces()}
    pending = sum(replica.reader.pending(space) for space in spaces.values())
    outcomes = [outcome.as_json(0) for outcome in carrying.sync_once(replica, home)]
    return {
        "pending": pending,
        "left": sum(replica.reader.pending(space) for space in replica.spaces()),
        "sent": sum(outcome["sent"] for outcome in outcomes),
        "received": sum(outcome["received"] for outcome in outcomes),
        "errors": [outcome["error"] for outcome in outcomes if outcome["error"]],
    }


def _forget() -> None:
    """Take the safety out: treat every relay as empty."""
    compare = syncing.SpaceSync._compare

    def forgetful(self: syncing.SpaceSync, welcome: Welcome) -> None:
        compare(self, Welcome([], welcome.proof, welcome.provisional))

    syncing.SpaceSync._compare = forgetful  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
