"""The balanced binary tree."""

from __future__ import annotations

import torch

from nestree.layers import Cell
from nestree.recursions.base import SingleRootRecursion
from nestree.recursions.lengths import Lengths
from nestree.recursions.shapes import GroupStates, Items
from nestree.trees.fixed import balanced


class BalancedTree(SingleRootRecursion):
    """Compose neighbours pairwise until one root is left; an odd last item moves up unchanged.

    Source: the balanced-tree baseline (BBT-RvNN) of Shi et al. 2018 (arXiv 1808.09644). Depth: log2 n.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.dim = cell.dim
        self.cell = cell

    def fold(self, items: Items, sizes: Lengths) -> GroupStates:
        """Fold all groups level by level, pairing items by each group's own size, not the padded size."""
        size, longest = sizes.tensor, sizes.longest
        while longest > 1:
            items = items[:, :longest]
            pairs = longest // 2
            left, right = items[:, : 2 * pairs : 2], items[:, 1 : 2 * pairs : 2]
            has_right = torch.arange(pairs, device=items.device) * 2 + 1 < size.unsqueeze(-1)
            parents = torch.where(has_right.unsqueeze(-1), self.cell(left, right), left)
            items = torch.cat([parents, items[:, 2 * pairs :]], dim=1)
            size, longest = (size + 1) // 2, (longest + 1) // 2
        return items[:, 0]

    def merges(self, items: int) -> tuple[tuple[int, int], ...]:
        """Return the balanced tree."""
        return balanced(items).merges
