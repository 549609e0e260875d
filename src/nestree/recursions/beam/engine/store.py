"""The node store: a table with one row for every state that a search computes."""

from __future__ import annotations

import torch
from torch import Tensor

from nestree.layers.cell import Cell
from nestree.recursions.beam.engine.cells import engine_cell
from nestree.recursions.beam.engine.merging import leaf_codes, parent_code
from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.shapes import Children, ChildStates, RandomBits, Rows, States, TableStates


class NodeStore(HoldsTensors):
    """States of leaves and of composed nodes, and what the backward pass needs of them.

    Rows are only ever appended, and children come before their parents. The table is allocated once for the worst case:
    growing it by concatenation dominated the run time, and untouched pages cost nothing.
    """

    def __init__(self, leaves: TableStates, capacity: int, cell: Cell, *, record: bool, coded: bool = False) -> None:
        """Make a store that starts with ``leaves`` (U, D).

        Args:
            leaves: the leaf states, which become rows 0 to U - 1.
            capacity: upper bound on the number of rows.
            cell: composes nodes.
            record: save what a backward pass needs.
            coded: compute a hash code of every node's tree.
        """
        rows, dim = leaves.shape
        self.cell = engine_cell(cell, leaves, capacity, record=record)
        self.leaves = rows
        self.rows = rows
        self.capacity = capacity
        self.states = leaves.new_empty(capacity, dim)
        self.states[:rows] = leaves
        self.left = torch.zeros(capacity, dtype=torch.int64, device=leaves.device)
        self.right = torch.zeros_like(self.left)
        self.height = torch.zeros_like(self.left)
        self.record = record
        self.appended: list[range] = []
        """The rows of each call of [`append`][]; children come from earlier ones."""
        self.code = leaf_codes(capacity, leaves.device) if coded else None
        """Hash code of each node's tree, for finding equal frontiers."""

    def append(self, left: Rows, right: Rows, random_bits: RandomBits | None) -> None:
        """Compose rows ``left`` (M,) and ``right`` (M,) into M new rows, with dropout if there are ``random_bits``."""
        rows = slice(self.rows, self.rows + len(left))
        self.left[rows], self.right[rows] = left, right
        both = torch.stack([left, right], dim=1)
        if self.code is not None:
            self.code[rows] = parent_code(*self.code.take(both).unbind(1))
        self.height[rows] = self.height.take(both).amax(1) + 1
        self.states[rows] = self.cell.forward(rows, self._states_of(both), random_bits)
        self.appended.append(range(rows.start, rows.stop))
        self.rows = rows.stop

    def children(self, rows: Rows) -> Children:
        """Return the left and right children (M, 2) of composed rows (M,)."""
        return torch.stack([self.left.take(rows), self.right.take(rows)], dim=1)

    def pull_back(self, rows: Rows, above: States, gradients: list[Tensor] | None) -> ChildStates:
        """Pull gradients ``above`` (M, D) of the states of composed rows (M,) back to their children, (M, 2, D).

        The gradients of the cell's parameters are added to ``gradients``, unless it is None.
        """
        return self.cell.backward(rows, self._states_of(self.children(rows)), above, gradients)

    def _states_of(self, children: Children) -> ChildStates:
        return self.states.index_select(0, children.flatten()).view(-1, 2, self.states.shape[1])
