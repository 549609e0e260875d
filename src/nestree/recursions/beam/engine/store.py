"""The node store: every state that a search computes, once, as a row of one table."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nestree.layers import GatedRecursiveCell, PairScorer, Scorer
from nestree.recursions.beam.engine.merging import leaf_codes, parent_code
from nestree.recursions.draws import dropout_mask


class NodeStore:
    """States of leaves and of composed nodes, and what the scorer and the backward pass need of them.

    Rows are only ever appended, and children come before their parents. The room for all of them is taken at once, as
    growing a table by concatenation costs more than everything else; memory that is never written is never touched.
    """

    def __init__(
        self,
        leaves: Tensor,
        capacity: int,
        cell: GatedRecursiveCell,
        scorer: Scorer,
        *,
        record: bool,
        coded: bool = False,
    ) -> None:
        """Make a store that begins with ``leaves`` (N, D).

        Args:
            leaves: the leaf states; they are rows 0 to N - 1.
            capacity: the most rows there can be.
            cell: composes nodes.
            scorer: gives every node the two halves of its pairs' hidden layers, or its own logit as a parent.
            record: keep the activations of every composition, for a backward pass.
            coded: give every node a code of its tree.
        """
        rows, dim = leaves.shape
        self.cell = cell
        self.scorer = scorer
        self.leaves = rows
        self.rows = rows
        self.capacity = capacity
        self.states = leaves.new_empty(capacity, dim)
        self.states[:rows] = leaves
        width = scorer.width if isinstance(scorer, PairScorer) else 0
        self.left_half = leaves.new_empty(capacity, width)
        self.right_half = leaves.new_empty(capacity, width)
        self.logit = leaves.new_empty(0 if width else capacity, 1)
        """Of each node as a parent, where parents are scored."""
        self.left = torch.zeros(capacity, dtype=torch.int64, device=leaves.device)
        self.right = torch.zeros_like(self.left)
        self.height = torch.zeros_like(self.left)
        tape_rows = capacity if record else 0
        self.hidden = leaves.new_empty(tape_rows, cell.hidden_dim)
        """Before the GELU."""
        self.gates = leaves.new_empty(tape_rows, 4 * dim)
        self.random_bits: Tensor | None = None
        """Random bits of the dropout masks, for a training cell with dropout."""
        self.record = record
        self.code = leaf_codes(capacity, leaves.device) if coded else None
        """What tree each node is, for finding equal frontiers."""
        self._project(0, rows)

    def append(self, left: Tensor, right: Tensor, random_bits: Tensor | None) -> None:
        """Compose rows ``left`` (M,) and ``right`` (M,) into M new rows, with dropout if there are ``random_bits``."""
        first, end = self.rows, self.rows + len(left)
        rows = slice(first, end)
        cell, dim = self.cell, self.states.shape[1]
        self.left[rows], self.right[rows] = left, right
        both = torch.stack([left, right], dim=1)
        if self.code is not None:
            self.code[rows] = parent_code(*self.code.take(both).unbind(1))
        self.height[rows] = self.height.take(both).amax(1) + 1
        children = self.states.index_select(0, both.flatten()).view(-1, 2, dim)
        hidden = self.hidden[rows] if self.record else children.new_empty(len(left), cell.hidden_dim)
        gates = self.gates[rows] if self.record else children.new_empty(len(left), 4 * dim)
        torch.addmm(cell.hidden.bias, children.view(-1, 2 * dim), cell.hidden.weight.T, out=hidden)
        active = functional.gelu(hidden)
        scale = 1.0
        if random_bits is not None:
            scale = 1 / (1 - cell.dropout)
            active.mul_(dropout_mask(random_bits, cell.dropout, active.dtype))
            if self.record:
                if self.random_bits is None:
                    self.random_bits = random_bits.new_empty(self.capacity, cell.hidden_dim)
                self.random_bits[rows] = random_bits
        torch.addmm(cell.gates.bias, active, cell.gates.weight.T, alpha=scale, out=gates)
        new = gates[:, 3 * dim :]
        opened = gates[:, : 3 * dim].sigmoid().view(-1, 3, dim)
        self.states[rows] = cell.norm(mix(children[:, 0], children[:, 1], new, opened))
        self.rows = end
        self._project(first, end)

    def children(self, rows: Tensor) -> Tensor:
        """Return the left and right children (M, 2) of composed rows (M,)."""
        return torch.stack([self.left.take(rows), self.right.take(rows)], dim=1)

    def parent_logits(self, parents: Tensor) -> Tensor:
        """Return the scorer's logits of rows as parents, of any shape."""
        return self.logit[:, 0].take(parents)

    def logits(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the scorer's logits for pairs of rows; equal pairs of rows have equal logits."""
        hidden = self.left_half.index_select(0, left.flatten()).add_(self.right_half.index_select(0, right.flatten()))
        return functional.gelu(hidden).mul_(self.scorer.score.weight[0]).sum(-1).view(left.shape)

    def _project(self, first: int, end: int) -> None:
        scorer = self.scorer
        if not isinstance(scorer, PairScorer):
            torch.mm(self.states[first:end], scorer.score.weight.T, out=self.logit[first:end])
            return
        width = scorer.width
        weight, seen = scorer.hidden.weight, self.states[first:end, :width]
        torch.addmm(scorer.hidden.bias, seen, weight[:, :width].T, out=self.left_half[first:end])
        torch.mm(seen, weight[:, width:].T, out=self.right_half[first:end])


def mix(left: Tensor, right: Tensor, new: Tensor, opened: Tensor) -> Tensor:
    """Return ``sigmoid(a) l + sigmoid(b) r + sigmoid(c) z`` (M, D), where ``opened`` (M, 3, D) are the sigmoids."""
    return (opened[:, 0] * left).addcmul_(opened[:, 1], right).addcmul_(opened[:, 2], new)
