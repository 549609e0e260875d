"""Recursion in Recursion: a balanced k-ary outer tree whose groups are folded by an inner recursion."""

from __future__ import annotations

import sys
from dataclasses import replace

from torch import Tensor

from nestree.checks import check_one_of
from nestree.encoders.contract import Encoder, Encoding
from nestree.layers import BidirectionalS4D, LeafTransform
from nestree.recursions.contract import Leaves, Recursion
from nestree.recursions.draws import Draws
from nestree.recursions.outer import Outer

INFERENCES = ("grouped", "flat")


class RIR(Encoder):
    """Tokens -> (S4D) -> leaf transform -> outer recursion over groups of k, each folded by ``inner``.

    The depth of the recursion is about k log_k n instead of n.

    Source: Ray Chowdhury and Caragea 2023, *Recursion in Recursion* (arXiv 2311.04449), sections 3 and 4.

    Example:
        >>> inner = BeamTree(GatedRecursiveCell(16), PairScorer(16), beam_size=3)
        >>> encoder = RIR(inner, LeafTransform(16), Outer(arity=8), context=BidirectionalS4D(16))
        >>> encoder(torch.randn(2, 50, 16), torch.tensor([50, 20])).root.shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        inner: Recursion,
        leaf: LeafTransform,
        outer: Outer,
        *,
        context: BidirectionalS4D | None = None,
        inference: str = "grouped",
    ) -> None:
        """Put an encoder together.

        Args:
            inner: folds a group.
            leaf: the leaf transform.
            outer: arity and alignment.
            context: runs over the whole sequence first; None leaves it out.
            inference: ``grouped``, as in training, or ``flat``: at evaluation one group holds the whole sequence.

        Raises:
            ValueError: names the argument: another width than that of ``inner``, no arity, no such inference.
        """
        super().__init__(inner.dim)
        for name, part in (("leaf", leaf), ("context", context)):
            if part is not None and part.dim != inner.dim:
                raise ValueError(
                    f"{name} must be for states of the inner recursion's width {inner.dim}, not {part.dim}"
                )
        if outer.arity is None:
            raise ValueError("outer must have an arity of at least 2; without one use RvNN")
        self.context = context
        self.leaf = leaf
        self.inner = inner
        self.outer = outer
        self.inference = check_one_of("inference", inference, INFERENCES)

    def encode(
        self, states: Tensor, lengths: Tensor, host_lengths: list[int], *, trees: bool, draws: Draws | None
    ) -> Encoding:
        """Encode checked states."""
        if self.context is not None:
            states = self.context(states, lengths)
        flat = self.inference == "flat" and not self.training
        # Not Outer(): a sequence of one token is its own root, as it was in training.
        outer = replace(self.outer, split_from=sys.maxsize) if flat else self.outer
        folded = self.inner.recurse(Leaves(self.leaf(states), lengths, host_lengths), outer, trees=trees, draws=draws)
        return Encoding(folded.root, folded.trees)
