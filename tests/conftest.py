"""What every test shares. Hypothesis runs without deadlines: a slow machine is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("bide", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bide")
