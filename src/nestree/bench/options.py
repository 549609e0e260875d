"""What a benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from nestree.checks import check_at_least, check_one_of, check_positive, check_probability
from nestree.encoders.options import check_cell
from nestree.encoders.registry import ENCODERS
from nestree.errors import OptionError
from nestree.recursions import Outer

LENGTHS = (25, 100, 250, 500, 1_000)
"""Tokens, for every encoder."""
LONG_LENGTHS = (4_000, 16_000, 100_000)
"""Tokens, for encoders with an outer tree."""
RANGES = ((200, 250), (500, 600), (900, 1_000), (1_500, 2_000))
"""Shortest and longest inputs, tokens, of the published comparison of time and memory (arXiv 2311.04449)."""
LONGEST_TRAINING = 4_000
"""Tokens; longer ones are only inferred, unless asked for."""


@dataclass(frozen=True)
class BenchOptions:
    """Sizes and limits of the measurements."""

    encoders: tuple[str, ...] = tuple(ENCODERS)
    """Encoders, by name."""
    lengths: tuple[int, ...] | None = None
    """Lengths of the inputs, tokens, the same for every encoder; null: 25 to 1,000, for RIR up to 100,000."""
    dim: int = 128
    """Width of states, features."""
    beam_size: int = 7
    """Beams W of beam trees."""
    arity: int = 30
    """Items k of a group of RIR's outer tree."""
    partial: float = 0.0
    """Partial folding: share of a group's items that RIR folds it to; 0: to one root, as published."""
    cell: str = "grc"
    """What composes: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    dropout: float = 0.1
    """Share of the cell's hidden features dropped in training."""
    batch: int = 32
    """Sequences of a batch of one length, at most."""
    tokens: int = 65_536
    """Tokens of a batch of one length, at most (but always one sequence)."""
    listops_batch: int = 128
    """Sequences of a batch of ListOps, bucketed by length."""
    listops_batches: int = 16
    """Batches of ListOps that are measured, from the shortest to the longest; 0: none."""
    naive: bool = True
    """Also measure the naive implementation."""
    naive_batch: int = 8
    """Sequences of a batch of the naive implementation, at most: it takes one after the other anyway."""
    naive_tokens: int = 2_000
    """Tokens of a batch of one length of the naive implementation, at most (but always one sequence)."""
    one_by_one: bool = True
    """Also training steps of one sequence each, of 200-250, 500-600, 900-1,000 and 1,500-2,000 tokens, as the published
    comparison of efficiency has them."""
    device: str = "auto"
    """Where to run: cpu, cuda, or auto for cuda where there is one."""
    threads: int = 1
    """CPU threads."""
    least: float = 2.0
    """Seconds that a measurement goes on, at least."""
    seconds: float = 20.0
    """Seconds that one pass over a measurement's batches may take; what would take longer is skipped."""
    memory: float = 6.0
    """Gigabytes that a measurement may take; what would take more is skipped."""
    seed: int = 0
    """Seed of weights, inputs and draws."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
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
        """Return those options that the encoder has too."""
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
"""Options whose defaults ``--quick`` changes, so that all is done in a minute."""
