"""What every recursion takes and gives, and the outer loop for those that fold a group to a single root."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nestree.recursions.draws import Draws
from nestree.recursions.outer import Level, Outer
from nestree.trees import ParsedTree, Tree, tree_from_nodes


@dataclass(frozen=True)
class Leaves:
    """A checked batch of sequences of leaf states."""

    states: Tensor
    """(B, L, D), zero in the padding."""
    lengths: Tensor
    """(B,)"""
    host_lengths: list[int]
    """The same lengths as Python integers."""

    def packed(self) -> Tensor:
        """Return the states of all sequences one after the other, without padding: (sum of lengths, D)."""
        longest = self.states.shape[1]
        rows = [torch.arange(n) + b * longest for b, n in enumerate(self.host_lengths)]
        return self.states.flatten(0, 1)[torch.cat(rows).to(self.states.device)]


@dataclass(frozen=True)
class Folded:
    """What a recursion makes of a batch."""

    root: Tensor
    """(B, D)"""
    trees: list[list[ParsedTree]] | None = None
    """When asked for: each sequence's trees, most probable first."""


class Recursion(nn.Module, ABC):
    """A way of folding sequences of leaves to one root each, alone or inside an outer tree."""

    dim: int

    @abstractmethod
    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence, through the levels of ``outer``, to its root.

        Args:
            leaves: leaf states, already transformed.
            outer: how sequences are cut into groups.
            trees: also return the trees that were found.
            draws: where a search's noise, alignments and dropout masks come from in training; None takes PyTorch's
                global generator, as recursions that do not search always do.
        """


class SingleRootRecursion(Recursion):
    """A recursion whose groups end with one root each: it says how to fold a batch of groups, the rest is here."""

    @abstractmethod
    def fold(self, items: Tensor, sizes: Tensor, host_sizes: list[int]) -> Tensor:
        """Fold groups of items (G, N, D), the first ``sizes`` (G,) of which are real, to their roots (G, D)."""

    @abstractmethod
    def merges(self, items: int) -> tuple[tuple[int, int], ...]:
        """Return the merges of a group of so many items, as in :class:`~nestree.trees.Tree`."""

    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence level by level; without an arity each sequence is one group, a single token too."""
        if outer.arity is None:
            root = self.fold(leaves.states, leaves.lengths, leaves.host_lengths)
            return Folded(root, self._trees(leaves.host_lengths, None) if trees else None)
        levels = outer.levels(leaves.host_lengths, training=self.training)
        table = leaves.packed()
        starts = _starts(leaves.host_lengths)
        singles = [b for b, length in enumerate(leaves.host_lengths) if length == 1]
        pieces, owners = [table[[starts[b] for b in singles]]], list(singles)
        for level in levels:
            sizes = torch.tensor(level.size, device=table.device)
            table = self.fold(gather_groups(table, level), sizes, level.size)
            finished = [row for row, last in enumerate(level.last) if last]
            pieces.append(table[finished])
            owners.extend(level.sequence[row] for row in finished)
        root = torch.cat(pieces)[torch.tensor(owners, device=table.device).argsort()]
        return Folded(root, self._trees(leaves.host_lengths, levels) if trees else None)

    def _trees(self, lengths: list[int], levels: list[Level] | None) -> list[list[ParsedTree]]:
        if levels is None:
            return [[ParsedTree(Tree(length, self.merges(length)), 1.0)] for length in lengths]
        children: dict[int, tuple[int, int]] = {}
        starts = _starts(lengths)
        roots = dict(enumerate(starts))  # right already for sequences of one token
        table, fresh = list(range(sum(lengths))), sum(lengths)
        for level in levels:
            below, table = table, []
            for first, size, sequence in zip(level.first, level.size, level.sequence, strict=True):
                nodes = below[first : first + size]
                for left, right in self.merges(size):
                    children[fresh] = (nodes[left], nodes[right])
                    nodes.append(fresh)
                    fresh += 1
                table.append(nodes[-1])
                roots[sequence] = nodes[-1]
        return [
            [ParsedTree(tree_from_nodes(range(start, start + length), children, roots[b]), 1.0)]
            for b, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ]


def gather_groups(table: Tensor, level: Level) -> Tensor:
    """Return the items of each group of ``level``, padded with copies of the table's last rows: (G, largest, ...)."""
    first = torch.tensor(level.first, device=table.device)
    rows = first.unsqueeze(-1) + torch.arange(level.largest, device=table.device)
    return table[rows.clamp(max=len(table) - 1)]


def _starts(lengths: list[int]) -> list[int]:
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    return starts
