"""The original beam trees, whose scorer reads composed parents."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import check_at_least
from nestree.encoders.base import Encoder
from nestree.encoders.ebt import SearchOptions
from nestree.encoders.options import EncoderOptions
from nestree.encoders.rvnn import RvNN
from nestree.layers import LeafTransform, ParentScorer
from nestree.recursions import OneSoftBeamTree


@dataclass(frozen=True)
class BTGRCOptions(SearchOptions, EncoderOptions):
    """Beam tree that composes all pairs and scores their parents."""

    noise: bool = False
    """Select with Gumbel noise in training."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        self.check_beam()

    def scorer(self, dim: int) -> ParentScorer:
        """Return a scorer for states of width ``dim``."""
        return ParentScorer(dim)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(self.beam_tree(self.cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class BTGRCOneSoftOptions(EncoderOptions):
    """Beam tree over composed parents; in training one beam is the average of the candidates that are not kept."""

    beam_size: int = 5
    """Beams W that the search keeps, the soft one among them."""
    noise: bool = False
    """Select with Gumbel noise in training."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_at_least("beam_size", self.beam_size, 1)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        tree = OneSoftBeamTree(self.cell(), ParentScorer(self.dim), beam_size=self.beam_size, noise=self.noise)
        return RvNN(tree, LeafTransform(self.dim))
