"""How long the attacks last: seconds in `make test`, minutes in `make attack`."""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("NESTREE_ATTACK", "1"))
"""By how much the attacks are longer than in `make test`."""


def seconds(short: float) -> float:
    """Return how long an attack lasts."""
    return short * FACTOR


def times(short: int) -> int:
    """Return how often something is attacked."""
    return round(short * FACTOR)
