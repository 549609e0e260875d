"""Running the jobs one after the other, skipping those that are expected to exceed their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from nestree.bench.child_process import GIGA, OverBudget, measure_in_child_process
from nestree.bench.exponents import growth
from nestree.bench.options import BenchOptions
from nestree.bench.plan import Job
from nestree.bench.rows import Measurement, Row

Measure = Callable[[Job, BenchOptions, torch.device], Measurement]

_STEEPEST = 2.0
"""Exponent that is assumed when only one length has been measured."""


def run(
    jobs: Iterable[Job], options: BenchOptions, device: torch.device, *, measure: Measure = measure_in_child_process
) -> Iterator[Row]:
    """Yield each job's row once it is measured; jobs of one encoder, engine and mode must go from short to long."""
    series: dict[tuple[str, str | None, str], list[Row]] = {}
    for job in jobs:
        shorter = series.setdefault((job.encoder, job.engine, job.mode), [])
        skipped = None if job.length is None else foreseen(job, shorter, options)
        if skipped is not None:
            row = Row(job, skipped=skipped)
        else:
            try:
                row = Row(job, measured=measure(job, options, device))
            except OverBudget as over:
                row = Row(job, skipped=str(over))
        if job.length is not None:
            shorter.append(row)
        yield row


def foreseen(job: Job, shorter: list[Row], options: BenchOptions) -> str | None:
    """Return why a job is expected to exceed its limits, from shorter inputs; None if it is not."""
    if not shorter:
        return None
    if shorter[-1].measured is None:
        return f"{shorter[-1].job.data} exceeded the limits"
    for of, sequences, limit, unit in (
        (lambda row: row.seconds_per_sequence, job.sequences, options.seconds, "s per pass"),
        (lambda row: row.memory_per_sequence, job.batch, options.memory * GIGA, "GB"),
    ):
        expected = _expected(job, shorter, of)
        if expected is not None and expected * sequences > limit:
            scale = GIGA if unit == "GB" else 1
            return f"would take about {expected * sequences / scale:,.0f} {unit}"
    return None


def _expected(job: Job, shorter: list[Row], of: Callable[[Row], float | None]) -> float | None:
    """Extrapolate a value per sequence from the last two lengths."""
    known = [(row.job.length, value) for row in shorter[-2:] if row.job.length and (value := of(row))]
    if not known or job.length is None:
        return None
    length, value = known[-1]
    exponent = _STEEPEST if len(known) < 2 else growth(known)
    return value * (job.length / length) ** max(1.0, exponent)
