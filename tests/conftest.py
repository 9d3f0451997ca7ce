"""What every test shares.

Hypothesis runs without deadlines, since a slow machine is no failure, and with the same examples each time: whether a change
passes is no matter of luck. `make soak` looks further, at random, and prints what replays a failure.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("bide", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("bide"), derandomize=False, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bide"))
