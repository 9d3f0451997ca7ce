"""A relay that logs everything it or its libraries have to say, at every level."""

from __future__ import annotations

import logging

from bide_relay import main
from bide_relay.logs import log_discreetly

if __name__ == "__main__":
    main.log_discreetly = lambda: log_discreetly(logging.DEBUG)  # type: ignore[attr-defined, misc, assignment]
    main.main()
