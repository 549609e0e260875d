"""How time and memory grow with length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nestree.bench.rows import Row

ASYMPTOTIC = 100
"""Shortest length that is fitted, tokens, if there are at least two: fixed costs dominate below it."""

MEASURABLE = 2**20
"""Smallest memory that is fitted, bytes over the base: less is noise of pages and of the allocator."""


@dataclass(frozen=True)
class Growth:
    """Exponents p of an encoder, engine and mode: time and memory per sequence grow as ``length ** p``."""

    encoder: str
    engine: str | None
    mode: str
    time: float | None
    memory: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the exponents as JSON values."""
        return asdict(self)


def exponents(rows: Sequence[Row]) -> list[Growth]:
    """Fit the exponents of every encoder, engine and mode that was measured at two lengths or more."""
    found = [
        Growth(*key, _fit(part, lambda row: row.seconds_per_sequence), _fit(part, measurable_memory))
        for key, part in by_series(rows).items()
    ]
    return [growth for growth in found if growth.time is not None or growth.memory is not None]


def by_series(rows: Sequence[Row]) -> dict[tuple[str, str | None, str], list[Row]]:
    """Return the rows by (encoder, engine, mode)."""
    series: dict[tuple[str, str | None, str], list[Row]] = {}
    for row in rows:
        series.setdefault((row.job.encoder, row.job.engine, row.job.mode), []).append(row)
    return series


def measurable_memory(row: Row) -> float | None:
    """Return the memory per sequence, bytes over the base; None if it is below [`MEASURABLE`][]."""
    peak = None if row.measured is None else row.measured.peak_memory
    return row.memory_per_sequence if peak is not None and peak >= MEASURABLE else None


def points(rows: Sequence[Row], of: Callable[[Row], float | None]) -> list[tuple[int, float]]:
    """Return (length, value) of the rows that have both and both are positive, sorted by length."""
    found = [(row.job.length, of(row)) for row in rows]
    return sorted((length, value) for length, value in found if length and value)


def _fit(rows: Sequence[Row], of: Callable[[Row], float | None]) -> float | None:
    known = points(rows, of)
    late = [point for point in known if point[0] >= ASYMPTOTIC]
    known = late if len(late) >= 2 else known
    return growth(known) if len(known) >= 2 else None


def growth(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of log value against log length."""
    x, y = ([math.log(point[side]) for point in points] for side in (0, 1))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    across = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return across / sum((a - mean_x) ** 2 for a in x)
