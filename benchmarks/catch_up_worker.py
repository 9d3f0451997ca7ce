"""One task of the catch-up benchmark in a process of its own; prints one line of JSON.

``upload HOME URL``, ``receive HOME URL``: what ``bide sync`` does. ``bare HOME FILE``: the yardstick.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import nacl.bindings as sodium
from automerge.core import Document

from benchmarks import history
from benchmarks.measuring import memory_bytes
from bide.crypto.sealing import message_key
from bide.projections.order import judge
from bide.replica import Replica
from bide.storage.opening import open_database
from bide_cli.syncing.carrying import sync_once, worst_error

_BATCH = 512


def _timed(work: Callable[[], object]) -> dict[str, Any]:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - began_cpu_s,
        "peak_bytes": memory_bytes(peak=True),
    }


def _size(replica: Replica) -> dict[str, int]:
    """What is in the pair space now."""
    space = history.pair_space(replica).space_id
    datas = [data for log in replica.storage.heads(space) for data in _log(replica, log)]
    return {"envelopes": len(datas), "bytes": sum(map(len, datas))}


def _log(replica: Replica, log: Any) -> list[bytes]:
    space = history.pair_space(replica).space_id
    return [e.data for e in replica.storage.envelopes_after(space, log, 0, bytes_max=2**40, count_max=2**31)]


def sync(home: Path, url: str) -> dict[str, Any]:
    """Sync the pair space through the relay at `url`."""
    replica = history.open_home(home)
    space = history.pair_space(replica)
    with replica.storage.transaction():
        replica.storage.put_space(space._replace(relay_url=url))

    def work() -> None:
        error = worst_error(sync_once(replica, home))
        if error is not None:
            raise error

    return _timed(work) | _size(replica)


def bare(home: Path, file: Path) -> dict[str, Any]:
    """Hash, decrypt, load and store what `home` holds, and nothing else."""
    replica = history.open_home(home)
    space = history.pair_space(replica)
    epochs = replica.storage.epochs(space.space_id)
    datas = [data for log in replica.storage.heads(space.space_id) for data in _log(replica, log)]
    size = {"envelopes": len(datas), "bytes": sum(map(len, datas))}
    order = _order(replica)
    replica.storage.close()

    def work() -> None:
        database = open_database(file, bytes(32), create=True)
        database.execute("CREATE TABLE bare (log BLOB, seq INTEGER, hash BLOB, data BLOB, PRIMARY KEY (log, seq))")
        changes: dict[bytes, list[tuple[int, bytes]]] = {}
        for at in range(0, len(datas), _BATCH):
            rows = []
            for data in datas[at : at + _BATCH]:
                hashlib.blake2b(data[204:], digest_size=32, person=b"bide.body").digest()
                name = hashlib.blake2b(data[:140], digest_size=32, person=b"bide.entry").digest()
                rows.append((data[8:24], int.from_bytes(data[24:32], "big"), name, data))
                if data[4] == 1:  # a change of membership: nothing to decrypt
                    continue
                key = message_key(epochs[data[64:80]], data[8:24])
                plain = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
                    data[204:], data[:104] + space.space_id, data[80:104], key
                )
                event = msgpack.unpackb(plain[4 : 4 + int.from_bytes(plain[:4], "big")])
                changes.setdefault(event[5], []).append((order[data[8:32]], event[9]))
            with database:
                database.executemany("INSERT INTO bare VALUES (?, ?, ?, ?)", rows)
        for items in changes.values():
            Document.load(b"".join(change for _, change in sorted(items)))
        database.close()

    return _timed(work) | size


def _order(replica: Replica) -> dict[bytes, int]:
    """Log and seq of each event to its place in its entry. Automerge wants every change after those it builds on."""
    space = history.pair_space(replica).space_id
    order: dict[bytes, int] = {}
    for record in replica.storage.all_entries(space):
        for place, item in enumerate(judge(replica.storage.events(space, record.entry_id)).applied):
            order[item.event.log_id + item.event.seq.to_bytes(8, "big")] = place
    return order


def main() -> None:
    """Run the task that the arguments name."""
    task, home, argument = sys.argv[1:4]
    result = bare(Path(home), Path(argument)) if task == "bare" else sync(Path(home), argument)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
