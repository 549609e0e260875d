"""Greedy trees trained with a straight-through Gumbel-softmax."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from nestree.checks import check_positive
from nestree.encoders.base import Encoder
from nestree.encoders.ebt import SliceOptions
from nestree.encoders.options import CellOptions
from nestree.encoders.rvnn import RvNN
from nestree.layers import LeafTransform, ParentScorer, Scorer
from nestree.recursions import GumbelTree


@dataclass(frozen=True)
class GumbelOptions(CellOptions):
    """Options of a Gumbel tree."""

    temperature: float = 1.0
    """Temperature of the Gumbel-softmax; it affects only the gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("temperature", self.temperature)

    @abstractmethod
    def scorer(self, dim: int) -> Scorer:
        """Return a scorer for states of width ``dim``."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        tree = GumbelTree(self.new_cell(), self.scorer(self.dim), temperature=self.temperature)
        return RvNN(tree, LeafTransform(self.dim))


@dataclass(frozen=True)
class GTGRCOptions(GumbelOptions):
    """Greedy tree with a straight-through Gumbel-softmax over composed parents."""

    def scorer(self, dim: int) -> Scorer:
        """Return a scorer for states of width ``dim``."""
        return ParentScorer(dim)


@dataclass(frozen=True)
class EGTGRCOptions(SliceOptions, GumbelOptions):
    """Efficient greedy tree: the straight-through Gumbel-softmax chooses among pairs that are not composed yet."""
