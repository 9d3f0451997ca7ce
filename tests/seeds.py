"""The seed of this run's campaigns: the same each time, so that whether a change passes is no matter of luck.

``SEED=…`` is another one, ``SEED=random`` one that nobody has seen; `make soak` takes that. Every campaign prints its own.
"""

from __future__ import annotations

import os
import random

_ASKED = os.environ.get("SEED") or "1"
SEED = random.SystemRandom().randrange(1, 10**9) if _ASKED == "random" else int(_ASKED)
