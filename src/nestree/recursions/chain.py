"""A cell used as a recurrent network: a chain from left to right."""

from __future__ import annotations

import torch
from torch import Tensor

from nestree.layers import Cell
from nestree.recursions.base import SingleRootRecursion
from nestree.recursions.lengths import Lengths
from nestree.recursions.shapes import GroupStates, Items
from nestree.trees.fixed import left_branching


class Chain(SingleRootRecursion):
    """``h_t = cell(h_(t-1), x_t)`` from a zero state; the root of a group is the state at its last real item.

    Cost: n sequential cell calls for n items.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.dim = cell.dim
        self.cell = cell

    def fold(self, items: Items, sizes: Lengths) -> GroupStates:
        """Run along the groups; each leaves the batch at its end, so padding is never composed."""
        order = sizes.longest_first()
        rows = torch.tensor(order, device=items.device)
        items = items[rows]
        state = items.new_zeros(items.shape[0], items.shape[2])
        ended: list[Tensor] = []
        running = len(order)
        for position in range(sizes.host[order[0]]):
            while sizes.host[order[running - 1]] <= position:
                running -= 1
            if running < len(state):
                ended.append(state[running:])
                state = state[:running]
            state = self.cell(state, items[:running, position]).to(items.dtype)  # autocast may have changed the dtype
        return torch.cat([state, *reversed(ended)])[rows.argsort()]

    def merges(self, items: int) -> tuple[tuple[int, int], ...]:
        """Return the left-branching tree."""
        return left_branching(items).merges
