"""Efficient beam trees over the whole sequence."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import WIDEST, Options, check_at_least
from nestree.encoders.base import Encoder
from nestree.encoders.options import CellOptions
from nestree.encoders.rvnn import RvNN
from nestree.encoders.tokens import TokenOptions
from nestree.layers import LeafTransform, PairScorer
from nestree.native import library
from nestree.recursions import BeamSearch, BeamTree


@dataclass(frozen=True)
class SliceOptions(Options):
    """Options of a pair scorer."""

    scorer_width: int | None = 64
    """Number of leading features of each child that the pair scorer reads, capped at ``dim``; null: all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scorer_width is not None:
            check_at_least("scorer_width", self.scorer_width, 1, WIDEST)

    @property
    def compiled(self) -> bool:
        """Whether the compiled library runs this encoder on this machine, using all threads of the process."""
        if not isinstance(self, BeamSearch) or not isinstance(self, CellOptions):
            return False
        return self.engine == "fast" and not self.merge_equal and self.cell == "grc" and library.present()

    def scorer(self, dim: int) -> PairScorer:
        """Return a scorer for states of width ``dim``."""
        return PairScorer(dim, width=None if self.scorer_width is None else min(self.scorer_width, dim))


@dataclass(frozen=True)
class EBTGRCOptions(TokenOptions, SliceOptions, BeamSearch, CellOptions):
    """Efficient beam tree."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        tree = BeamTree(self.new_cell(), self.scorer(self.dim), self.part(BeamSearch))
        return RvNN(tree, LeafTransform(self.dim), attention=self.attention(self.dim, self.dropout))
