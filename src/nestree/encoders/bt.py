"""BT-GRC, the original beam tree, whose scorer reads composed parents."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.encoders.base import Encoder
from nestree.encoders.options import CellOptions
from nestree.encoders.rvnn import RvNN
from nestree.encoders.tokens import TokenOptions
from nestree.layers import LeafTransform, ParentScorer
from nestree.recursions import BeamSearch, BeamSelection, BeamTree, OneSoftBeamTree


@dataclass(frozen=True)
class BTGRCOptions(TokenOptions, BeamSearch, CellOptions):
    """Beam tree that composes all pairs and scores their parents."""

    noise: bool = False

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        tree = BeamTree(self.new_cell(), ParentScorer(self.dim), self.part(BeamSearch))
        return RvNN(tree, LeafTransform(self.dim), attention=self.attention(self.dim, self.dropout))


@dataclass(frozen=True)
class BTGRCOneSoftOptions(BeamSelection, CellOptions):
    """Beam tree over composed parents; in training the last beam is a soft average of the candidates not selected."""

    noise: bool = False

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        tree = OneSoftBeamTree(self.new_cell(), ParentScorer(self.dim), self.part(BeamSelection))
        return RvNN(tree, LeafTransform(self.dim))
