"""The rows of a benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestree.bench.plan import Job


@dataclass(frozen=True)
class Measurement:
    """What came of a job."""

    passes: int
    """Timed passes over the job's batches."""
    seconds: float
    """Of one pass, the median of them."""
    peak_memory: int | None
    """Bytes over the base, in the first pass; None where the system does not say."""
    cell_evaluations: float
    """Forward evaluations of the cell in one pass."""
    cell_operations: int
    """Floating-point operations of the cells' matrix products in one pass, forwards and backwards."""
    matrix_rate: float
    """Floating-point operations a second of 512 x 512 float32 products, the mean of just before and just after."""


@dataclass(frozen=True)
class Row:
    """A job, and what came of it or why it was skipped."""

    job: Job
    measured: Measurement | None = None
    skipped: str | None = None

    @property
    def sequences_per_second(self) -> float | None:
        """Sequences a second."""
        return None if self.measured is None else self.job.sequences / self.measured.seconds

    @property
    def seconds_per_sequence(self) -> float | None:
        """Seconds a sequence."""
        return None if self.measured is None else self.measured.seconds / self.job.sequences

    @property
    def memory_per_sequence(self) -> float | None:
        """Bytes over the base for each sequence of the largest batch."""
        if self.measured is None or self.measured.peak_memory is None:
            return None
        return self.measured.peak_memory / self.job.batch

    @property
    def cells_per_token(self) -> float | None:
        """Forward evaluations of the cell for each token."""
        return None if self.measured is None else self.measured.cell_evaluations / self.job.tokens

    @property
    def matrix_share(self) -> float | None:
        """Share of the machine's own matrix rate that the cells' products reach."""
        if self.measured is None:
            return None
        return self.measured.cell_operations / self.measured.seconds / self.measured.matrix_rate

    @property
    def sequences_per_gflop(self) -> float | None:
        """Sequences a second for each GFLOP/s of the machine's matrix rate."""
        if self.measured is None or self.sequences_per_second is None:
            return None
        return self.sequences_per_second / (self.measured.matrix_rate / 1e9)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; those that were not measured are None."""
        job, measured = self.job, self.measured
        return {
            "encoder": job.encoder,
            "engine": job.engine,
            "mode": job.mode,
            "data": job.data,
            "length": job.length,
            "batch": job.batch,
            "sequences": job.sequences,
            "tokens": job.tokens,
            "skipped": self.skipped,
            "passes": None if measured is None else measured.passes,
            "seconds_per_pass": None if measured is None else measured.seconds,
            "sequences_per_second": self.sequences_per_second,
            "peak_memory_bytes": None if measured is None else measured.peak_memory,
            "cell_evaluations_per_token": self.cells_per_token,
            "cell_flop_per_pass": None if measured is None else measured.cell_operations,
            "matrix_flop_per_second": None if measured is None else measured.matrix_rate,
            "matrix_share": self.matrix_share,
            "sequences_per_gflop": self.sequences_per_gflop,
        }
