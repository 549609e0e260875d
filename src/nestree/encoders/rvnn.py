"""A plain recursive neural network: one recursion over the whole sequence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.options import CellOptions
from nestree.errors import OptionError
from nestree.layers import LeafTransform
from nestree.recursions import BalancedTree, Chain
from nestree.recursions.base import Leaves, Recursion
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import Outer

WHOLE = Outer()


class RvNN(Encoder):
    """Leaf transform, then one recursion over the whole sequence: EBT-GRC, GRC and others, by its recursion."""

    def __init__(self, recursion: Recursion, leaf: LeafTransform | None) -> None:
        """Put an encoder together.

        Args:
            recursion: folds the sequence.
            leaf: the leaf transform; None if the recursion has one of its own.

        Raises:
            ValueError: ``leaf`` is for another width than ``recursion``.
        """
        super().__init__(recursion.dim)
        if leaf is not None and leaf.dim != recursion.dim:
            raise OptionError("leaf", f"must be for states of the recursion's width {recursion.dim}, not {leaf.dim}")
        self.leaf = leaf
        self.inner = recursion

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states."""
        folded = self.inner.recurse(Leaves(states, lengths, self.leaf), WHOLE, trees=trees, draws=draws)
        return Encoding(folded.root, folded.trees)


@dataclass(frozen=True)
class GRCOptions(CellOptions):
    """Recurrent GRC: a chain from left to right."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(Chain(self.new_cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class BBTGRCOptions(CellOptions):
    """Balanced binary tree."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(BalancedTree(self.new_cell()), LeafTransform(self.dim))
