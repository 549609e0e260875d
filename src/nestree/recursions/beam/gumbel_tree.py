"""The Gumbel tree: a single tree, built greedily with a straight-through gradient."""

from __future__ import annotations

from typing import ClassVar

from nestree.checks import Checked, check_positive
from nestree.layers import Cell, Scorer
from nestree.recursions.base import Folded, Leaves, TreeSearch
from nestree.recursions.beam.beam_tree import forest_trees
from nestree.recursions.beam.engine.recursion import BeamRecursion
from nestree.recursions.beam.options import BeamSearch
from nestree.recursions.draws import Draws, SearchDraws
from nestree.recursions.outer import Outer

GREEDY = BeamSearch(beam_size=1)


class GumbelTree(Checked, TreeSearch):
    """Fold greedily; a straight-through Gumbel-softmax over the neighbouring pairs chooses each merge.

    In training the pair with the largest ``logit + Gumbel noise`` is merged, at evaluation the pair with the largest
    logit, as in a beam tree of width 1. The gradient is that of ``softmax((logit + noise) / temperature)``; see the
    equations in [`nestree.recursions.beam.engine.straight_through`][]. With a parent scorer this is GT-GRC, with a pair
    scorer EGT-GRC.

    Source: Choi et al. 2018 (arXiv 1707.02786), section 3; with the gated cell, Ray Chowdhury and Caragea 2023 (arXiv
    2305.19999, section 4, and 2307.10779, section 4). Memory: O(n D) for n items.
    """

    checks: ClassVar = {"temperature": check_positive}

    def __init__(self, cell: Cell, scorer: Scorer, *, temperature: float = 1.0) -> None:
        """Make a Gumbel tree.

        Args:
            cell: composes a pair.
            scorer: a pair scorer or a parent scorer, of the same width as ``cell``.
            temperature: T of the softmax in the gradient; above 0.

        Raises:
            ValueError: names the argument.
        """
        super().__init__(cell, scorer)
        self.temperature = temperature

    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence through the levels of ``outer``; see [`Recursion`][]."""
        draws = (draws or Draws()) if self.training else None
        own = SearchDraws(draws, draws, draws)
        recursion = BeamRecursion(self.cell, self.scorer, GREEDY, outer, own, self.training, self.temperature)
        root, forest = recursion(leaves)
        return Folded(root, forest_trees(forest, leaves.lengths.host) if trees else None)
