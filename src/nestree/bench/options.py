"""Options of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from nestree.checks import check_at_least, check_one_of, check_positive, check_probability
from nestree.encoders.options import check_cell
from nestree.encoders.registry import ENCODERS
from nestree.errors import OptionError
from nestree.recursions import Outer

LENGTHS = (25, 100, 250, 500, 1_000)
"""Lengths for every encoder, tokens."""
LONG_LENGTHS = (4_000, 16_000, 100_000)
"""Additional lengths for encoders with an outer tree, tokens."""
RANGES = ((200, 250), (500, 600), (900, 1_000), (1_500, 2_000))
"""Ranges of lengths in the published comparison of time and memory (arXiv 2311.04449), tokens."""
LONGEST_TRAINING = 4_000
"""Largest default length for training, tokens."""


@dataclass(frozen=True)
class BenchOptions:
    """Sizes and limits of the measurements.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    encoders: tuple[str, ...] = tuple(ENCODERS)
    """Names of the encoders to measure."""
    lengths: tuple[int, ...] | None = None
    """Lengths of the inputs, tokens; null: 25 to 1,000, for RIR up to 100,000."""
    dim: int = 128
    """Width of states, features."""
    beam_size: int = 7
    """Beam width W of beam trees."""
    arity: int = 30
    """Items per group, k, of RIR's outer tree."""
    partial: float = 0.0
    """Partial folding: roots per group as a share of its items; 0: one root per group, as published."""
    cell: str = "grc"
    """What composes: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    dropout: float = 0.1
    """Share of the cell's hidden features dropped during training."""
    batch: int = 32
    """Maximal number of sequences per batch of equal lengths."""
    tokens: int = 65_536
    """Maximal number of tokens per batch of equal lengths (but always one sequence)."""
    listops_batch: int = 128
    """Sequences per batch of ListOps, which is bucketed by length."""
    listops_batches: int = 16
    """Number of ListOps batches to measure, from the shortest to the longest; 0: none."""
    pytorch: bool = True
    """Also measure PyTorch's engine, where the fast one is the compiled library."""
    bfloat16: bool = True
    """Also measure the compiled library's products in bfloat16, where the processor has them."""
    naive: bool = True
    """Also measure the naive implementation."""
    naive_batch: int = 8
    """Maximal number of sequences per batch for the naive implementation, which processes them one by one."""
    naive_tokens: int = 2_000
    """Maximal number of tokens per batch of equal lengths for the naive implementation (but always one sequence)."""
    one_by_one: bool = True
    """Also measure training steps with one sequence each, of 200-250, 500-600, 900-1,000 and 1,500-2,000 tokens, as in
    the published comparison of time and memory."""
    device: str = "auto"
    """Where to run: cpu, cuda, or auto (cuda if available)."""
    threads: int = 1
    """Number of CPU threads."""
    least: float = 2.0
    """Minimal duration of a measurement, seconds."""
    seconds: float = 20.0
    """Maximal duration of one pass over a measurement's batches, seconds; longer measurements are skipped."""
    memory: float = 6.0
    """Maximal memory of a measurement, GB; larger measurements are skipped."""
    seed: int = 0
    """Seed of weights, inputs and draws."""

    def __post_init__(self) -> None:
        if not self.encoders:
            raise OptionError("encoders", f"must be some of {', '.join(ENCODERS)}")
        for name in self.encoders:
            check_one_of("encoders", name, ENCODERS)
        for length in self.lengths or ():
            check_at_least("lengths", length, 1)
        for name in ("dim", "beam_size", "batch", "tokens", "listops_batch", "naive_batch", "naive_tokens", "threads"):
            check_at_least(name, getattr(self, name), 1)
        Outer(self.arity, partial=self.partial)
        check_cell(self.cell, self.dim)
        check_at_least("listops_batches", self.listops_batches, 0)
        check_at_least("seed", self.seed, 0)
        check_probability("dropout", self.dropout)
        for name in ("least", "seconds", "memory"):
            check_positive(name, getattr(self, name))
        check_one_of("device", self.device, ("auto", "cpu", "cuda"))

    def of_encoder(self, name: str, engine: str | None) -> dict[str, Any]:
        """Return the options that this encoder has, with its engine."""
        chosen = {
            option: getattr(self, option) for option in ("dim", "beam_size", "arity", "partial", "cell", "dropout")
        }
        known = {field.name for field in fields(ENCODERS[name])}
        if engine is not None:
            chosen["engine"] = engine
        return {option: value for option, value in chosen.items() if option in known}


QUICK: dict[str, Any] = {
    "encoders": ("rir-ebt-grc", "ebt-grc", "grc"),
    "lengths": (25, 100),
    "batch": 16,
    "listops_batches": 2,
    "one_by_one": False,
    "naive_batch": 2,
    "naive_tokens": 50,
    "least": 0.2,
    "seconds": 4.0,
}
"""Defaults that ``--quick`` changes, for a benchmark of one minute."""
