"""The rows of a benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestree.bench.plan import Job


@dataclass(frozen=True)
class Measurement:
    """The measured values of a job."""

    passes: int
    """Number of timed passes over the job's batches."""
    seconds: float
    """Time per pass, the median of all passes."""
    peak_memory: int | None
    """Peak memory of the first pass, bytes over the base; None if the system does not report it."""
    cell_evaluations: float
    """Forward evaluations of the cell per pass."""
    cell_operations: int
    """Floating-point operations of the cells' matrix products per pass, forward and backward."""
    matrix_rate: float
    """Floating-point operations per second of 512 x 512 float32 products, mean of before and after the passes."""


@dataclass(frozen=True)
class Row:
    """A job with its measurement, or the reason why it was skipped."""

    job: Job
    measured: Measurement | None = None
    skipped: str | None = None

    @property
    def sequences_per_second(self) -> float | None:
        """Sequences per second; None if skipped."""
        return None if self.measured is None else self.job.sequences / self.measured.seconds

    @property
    def seconds_per_sequence(self) -> float | None:
        """Seconds per sequence; None if skipped."""
        return None if self.measured is None else self.measured.seconds / self.job.sequences

    @property
    def memory_per_sequence(self) -> float | None:
        """Bytes over the base per sequence of the largest batch; None if unknown."""
        if self.measured is None or self.measured.peak_memory is None:
            return None
        return self.measured.peak_memory / self.job.batch

    @property
    def cells_per_token(self) -> float | None:
        """Forward evaluations of the cell per token; None if skipped."""
        return None if self.measured is None else self.measured.cell_evaluations / self.job.tokens

    @property
    def matrix_share(self) -> float | None:
        """Rate of the cells' products as a share of the machine's matrix rate; None if skipped."""
        if self.measured is None:
            return None
        return self.measured.cell_operations / self.measured.seconds / self.measured.matrix_rate

    @property
    def sequences_per_gflop(self) -> float | None:
        """Sequences per second per GFLOP/s of the machine's matrix rate, that is, per GFLOP; None if skipped."""
        if self.measured is None or self.sequences_per_second is None:
            return None
        return self.sequences_per_second / (self.measured.matrix_rate / 1e9)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values; those that were not measured are None."""
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
