"""A plain recursive neural network: one recursion over the whole sequence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nestree.encoders.base import Encoder, Encoding, EncodingRequest
from nestree.encoders.options import CellOptions
from nestree.encoders.tokens import encode_with_request
from nestree.errors import OptionError
from nestree.layers import LeafTransform, ParentAttention
from nestree.recursions import BalancedTree, Chain
from nestree.recursions.base import Leaves, Recursion
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import Outer

WHOLE = Outer()


class RvNN(Encoder):
    """Leaf transform, then one recursion over the whole sequence: for example EBT-GRC or GRC."""

    takes_packed = True

    def __init__(
        self, recursion: Recursion, leaf: LeafTransform | None, *, attention: ParentAttention | None = None
    ) -> None:
        """Make an encoder.

        Args:
            recursion: folds the sequence.
            leaf: the leaf transform; None if the recursion has its own.
            attention: computes the tokens' states, if the recursion is a beam tree; None: no token states.

        Raises:
            ValueError: ``leaf`` or ``attention`` is for another width than ``recursion``.
        """
        super().__init__(recursion.dim)
        if leaf is not None and leaf.dim != recursion.dim:
            raise OptionError("leaf", f"must be for states of the recursion's width {recursion.dim}, not {leaf.dim}")
        if attention is not None and attention.dim != recursion.dim:
            raise OptionError(
                "attention", f"must be for states of the recursion's width {recursion.dim}, not {attention.dim}"
            )
        self.leaf = leaf
        self.inner = recursion
        self.attention = attention

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states."""
        folded = self.inner.recurse(Leaves(states, lengths, self.leaf), WHOLE, trees=trees, draws=draws)
        return Encoding(folded.root, folded.trees)

    def encode_request(
        self, states: Tensor, lengths: Lengths, request: EncodingRequest, *, trees: bool, draws: Draws | None
    ) -> Encoding:
        """Encode, and also return what ``request`` asks for."""
        leaves = Leaves(states, lengths, self.leaf)
        return encode_with_request(self.inner, leaves, WHOLE, request, self.attention, trees=trees, draws=draws)


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
