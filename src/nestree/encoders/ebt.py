"""Efficient beam trees over the whole sequence, and the options that every beam tree has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nestree.checks import check_at_least, check_one_of
from nestree.encoders.base import Encoder
from nestree.encoders.options import EncoderOptions
from nestree.encoders.rvnn import RvNN
from nestree.layers import GatedRecursiveCell, LeafTransform, PairScorer, Scorer
from nestree.recursions import BeamTree
from nestree.recursions.beam.beam_tree import ENGINES


@dataclass(frozen=True)
class SearchOptions(ABC):
    """Options of a beam tree, whatever its scorer."""

    beam_size: int = 5
    """Beams W that the search keeps."""
    noise: bool = True
    """Select with Gumbel noise in training."""
    merge_equal: bool = False
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str = ENGINES[0]
    """Implementation of the search: fast or naive."""

    def check_beam(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_at_least("beam_size", self.beam_size, 1)
        check_one_of("engine", self.engine, ENGINES)

    @abstractmethod
    def scorer(self, dim: int) -> Scorer:
        """Return a scorer for states of width ``dim``."""

    def beam_tree(self, cell: GatedRecursiveCell) -> BeamTree:
        """Return a beam tree of ``cell``."""
        return BeamTree(
            cell,
            self.scorer(cell.dim),
            beam_size=self.beam_size,
            noise=self.noise,
            merge_equal=self.merge_equal,
            engine=self.engine,
        )


@dataclass(frozen=True)
class SliceOptions:
    """Options of a scorer of pairs."""

    scorer_width: int | None = 64
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""

    def check_slice(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        if self.scorer_width is not None:
            check_at_least("scorer_width", self.scorer_width, 1)

    def scorer(self, dim: int) -> PairScorer:
        """Return a scorer for states of width ``dim``."""
        return PairScorer(dim, width=None if self.scorer_width is None else min(self.scorer_width, dim))


@dataclass(frozen=True)
class BeamOptions(SliceOptions, SearchOptions):
    """Options of an efficient beam tree."""

    def check_beam(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().check_beam()
        self.check_slice()


@dataclass(frozen=True)
class EBTGRCOptions(BeamOptions, EncoderOptions):
    """Efficient beam tree."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        self.check_beam()

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(self.beam_tree(self.cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class EBTGRCNoSliceOptions(EBTGRCOptions):
    """Efficient beam tree whose scorer reads all features of a child."""

    scorer_width: int | None = None
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""
