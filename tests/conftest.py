"""What every test shares. Hypothesis runs without deadlines: a slow machine is no failure."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("bide", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("bide"), max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bide"))
