"""``bide sync --watch`` with its patience shortened, so that a week goes by in a minute: pauses, pings and looks."""

from __future__ import annotations

import os

from bide_cli import main
from bide_cli.syncing import transport, watching

SHORTER = float(os.environ["WATCH_SHORTER"])
transport.PING_INTERVAL_S = max(0.1, transport.PING_INTERVAL_S / SHORTER)
transport.PING_TIMEOUT_S = max(0.1, transport.PING_TIMEOUT_S / SHORTER)
transport.CLOSE_TIMEOUT_S = max(0.1, transport.CLOSE_TIMEOUT_S / SHORTER)
transport.OPEN_TIMEOUT_S = max(1.0, transport.OPEN_TIMEOUT_S / SHORTER)
watching.BACKOFF_FIRST_S /= SHORTER
watching.BACKOFF_MAX_S /= SHORTER
watching.POLL_S = max(0.2, watching.POLL_S / SHORTER)

if __name__ == "__main__":
    main.entry()
