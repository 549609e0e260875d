"""The interface of every recursion, and the loop over levels for those that fold each group to a single root."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from nestree.errors import OptionError
from nestree.layers import Cell, Scorer
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import Level, Outer
from nestree.recursions.shapes import Anything, GroupStates, Items, Packed, Padded, Rows, SequenceRoots, TableStates
from nestree.trees import ParsedTree, Tree, tree_from_nodes


@dataclass(frozen=True)
class Leaves:
    """A checked batch of sequences of leaf states."""

    inputs: Padded
    """(B, L, D), zero in the padding."""
    lengths: Lengths
    transform: Callable[[Anything], Anything] | None = None
    """Turns rows of inputs into leaf states; None: they are leaf states already."""

    @cached_property
    def states(self) -> Padded:
        """The leaf states (B, L, D); the padding holds arbitrary finite numbers."""
        return self.inputs if self.transform is None else self.transform(self.inputs)

    def packed(self) -> Packed:
        """Return the leaf states of all sequences, concatenated without padding: (sum of lengths, D)."""
        # Packed before the transform, which then does no work on padding.
        rows = pack(self.inputs, self.lengths.host)
        return rows if self.transform is None else self.transform(rows)

    def padded(self, packed: Packed) -> Padded:
        """Return packed rows (sum of lengths, D) as (B, L, D), zero in the padding; the inverse of [`pack`][]."""
        batch, longest = self.inputs.shape[:2]
        rows = real_rows(self.lengths.host, longest).to(packed.device)
        flat = packed.new_zeros(batch * longest, packed.shape[1]).index_copy(0, rows, packed)
        return flat.view(batch, longest, -1)


def pack(states: Padded, lengths: list[int]) -> Packed:
    """Return the real positions of padded states (B, L, D), concatenated: (sum of lengths, D)."""
    return states.flatten(0, 1).index_select(0, real_rows(lengths, states.shape[1]).to(states.device))


def real_rows(lengths: list[int], longest: int) -> Rows:
    """Return the indices of the real positions among all B * L positions of a padded batch."""
    count = np.array(lengths)
    skipped = np.arange(len(count)) * longest - (np.cumsum(count) - count)
    return torch.from_numpy(np.arange(count.sum()) + np.repeat(skipped, count))


@dataclass(frozen=True)
class Folded:
    """The result of folding a batch."""

    root: SequenceRoots
    """(B, D)"""
    trees: list[list[ParsedTree]] | None = None
    """If requested: each sequence's trees, most probable first."""


class Recursion(nn.Module, ABC):
    """A way to fold each sequence of leaves to one root, alone or inside an outer tree."""

    dim: int

    @abstractmethod
    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence, through the levels of ``outer``, to its root.

        Args:
            leaves: leaf states, already transformed.
            outer: how sequences are cut into groups.
            trees: also return the trees.
            draws: source of a search's noise, alignments and dropout masks in training; None uses PyTorch's global
                generator, as recursions without a search always do.
        """


class TreeSearch(Recursion):
    """A recursion that searches for its trees: a scorer chooses pairs, and a cell composes them."""

    def __init__(self, cell: Cell, scorer: Scorer) -> None:
        """Make a tree search.

        Raises:
            ValueError: cell and scorer are for states of different widths.
        """
        super().__init__()
        if cell.dim != scorer.dim:
            raise OptionError("scorer", f"must be for states of the cell's width {cell.dim}, not {scorer.dim}")
        self.dim = cell.dim
        self.cell = cell
        self.scorer = scorer


Merges = tuple[tuple[int, int], ...]
"""The merges of a group, as in [`Tree`][nestree.trees.Tree]."""


class SingleRootRecursion(Recursion):
    """A recursion that folds every group to one root.

    Subclasses implement [`fold`][] for a batch of groups, and report trees: by [`merges`][] if these depend only on
    the number of items, by [`parse`][] if they depend on the items.
    """

    @abstractmethod
    def fold(self, items: Items, sizes: Lengths) -> GroupStates:
        """Fold groups of items (G, N, D) to their roots (G, D); the first ``sizes`` items of each are real."""

    def merges(self, items: int) -> Merges:
        """Return the merges of any group of this many items."""
        raise NotImplementedError(f"the merges of {type(self).__name__} depend on the items: parse() returns them")

    def parse(self, items: Items, sizes: Lengths) -> tuple[GroupStates, list[Merges]]:
        """Fold as [`fold`][] does, and return the merges of every group too."""
        return self.fold(items, sizes), [self.merges(size) for size in sizes.host]

    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence level by level; without an arity each sequence is one group, even a single token."""
        if outer.arity is None:
            root, merges = self._fold(leaves.states, leaves.lengths, trees)
            return Folded(root, _whole_trees(leaves.lengths.host, merges) if trees else None)
        if outer.roots > 1:
            raise OptionError("partial", f"must be 0 where {type(self).__name__} folds a group, not {outer.partial!r}")
        lengths = leaves.lengths.host
        levels = outer.levels(lengths, training=self.training)
        table = leaves.packed()
        starts = _starts(lengths)
        singles = [b for b, length in enumerate(lengths) if length == 1]
        pieces, owners = [table[[starts[b] for b in singles]]], list(singles)
        merges_of_levels: list[list[Merges]] = []
        for level in levels:
            table, merges = self._fold(gather_groups(table, level), Lengths.of(level.size, table.device), trees)
            merges_of_levels.append(merges)
            finished = [row for row, last in enumerate(level.last) if last]
            pieces.append(table[finished])
            owners.extend(level.sequence[row] for row in finished)
        root = torch.cat(pieces)[torch.tensor(owners, device=table.device).argsort()]
        return Folded(root, _nested_trees(lengths, levels, merges_of_levels) if trees else None)

    def _fold(self, items: Items, sizes: Lengths, trees: bool) -> tuple[GroupStates, list[Merges]]:
        """Fold a batch of groups; the list of merges is empty unless ``trees`` is set."""
        return self.parse(items, sizes) if trees else (self.fold(items, sizes), [])


def _whole_trees(lengths: list[int], merges: list[Merges]) -> list[list[ParsedTree]]:
    """Return the trees of sequences that were one group each."""
    return [[ParsedTree(Tree(length, own), 1.0)] for length, own in zip(lengths, merges, strict=True)]


def _nested_trees(lengths: list[int], levels: list[Level], merges: list[list[Merges]]) -> list[list[ParsedTree]]:
    """Return the trees over the leaves of sequences whose groups, level by level, were folded by ``merges``."""
    children: dict[int, tuple[int, int]] = {}
    starts = _starts(lengths)
    roots = dict(enumerate(starts))  # correct as it is for sequences of one token
    table, fresh = list(range(sum(lengths))), sum(lengths)
    for level, of_groups in zip(levels, merges, strict=True):
        below, table = table, []
        for first, size, sequence, of_group in zip(level.first, level.size, level.sequence, of_groups, strict=True):
            nodes = below[first : first + size]
            for left, right in of_group:
                children[fresh] = (nodes[left], nodes[right])
                nodes.append(fresh)
                fresh += 1
            table.append(nodes[-1])
            roots[sequence] = nodes[-1]
    return [
        [ParsedTree(tree_from_nodes(range(start, start + length), children, roots[b]), 1.0)]
        for b, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]


def gather_groups(table: TableStates, level: Level) -> Items:
    """Return the items of each group of ``level``, padded with other rows of the table: (G, largest, ...)."""
    first = torch.tensor(level.first, device=table.device)
    rows = first.unsqueeze(-1) + torch.arange(level.largest, device=table.device)
    return table[rows.clamp(max=len(table) - 1)]


def _starts(lengths: list[int]) -> list[int]:
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    return starts
