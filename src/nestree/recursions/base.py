"""The interface of every recursion, and the loop over levels for those that fold each group to a single root."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from nestree.buckets import Buckets, pack, pad
from nestree.errors import OptionError
from nestree.layers import Cell, Scorer
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import Level, Outer
from nestree.recursions.shapes import Anything, GroupStates, Items, Packed, Padded, SequenceRoots, TableStates
from nestree.trees import ParsedTree, Tree, tree_from_nodes

STEP = 32
"""Fixed cost of a step of a recursion, as a number of groups; see [`plan`][nestree.buckets.plan]."""


@dataclass(frozen=True)
class Leaves:
    """A checked batch of sequences of leaf states."""

    inputs: Padded | Packed
    """(T, D), all sequences concatenated; or (B, L, D), zero in the padding."""
    lengths: Lengths
    transform: Callable[[Anything], Anything] | None = None
    """Turns rows of inputs into leaf states; None: they are leaf states already."""

    @cached_property
    def states(self) -> Padded:
        """The leaf states (B, L, D); the padding holds arbitrary finite numbers."""
        if self.inputs.ndim == 2:
            return pad(self.packed(), self.lengths.host)
        return self.inputs if self.transform is None else self.transform(self.inputs)

    def packed(self) -> Packed:
        """Return the leaf states of all sequences, concatenated without padding: (T, D)."""
        # Packed before the transform, which then does no work on padding.
        rows = self.inputs if self.inputs.ndim == 2 else pack(self.inputs, self.lengths.host)
        return rows if self.transform is None else self.transform(rows)


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
        lengths, table = leaves.lengths.host, leaves.packed()
        if outer.arity is None:
            root, merges = self._fold(table, _starts(lengths), lengths, trees)
            return Folded(root, _whole_trees(lengths, merges) if trees else None)
        if outer.roots > 1:
            raise OptionError("partial", f"must be 0 where {type(self).__name__} folds a group, not {outer.partial!r}")
        levels = outer.levels(lengths, training=self.training)
        starts = _starts(lengths)
        singles = [b for b, length in enumerate(lengths) if length == 1]
        pieces, owners = [table[[starts[b] for b in singles]]], list(singles)
        merges_of_levels: list[list[Merges]] = []
        for level in levels:
            table, merges = self._fold(table, level.first, level.size, trees)
            merges_of_levels.append(merges)
            finished = [row for row, last in enumerate(level.last) if last]
            pieces.append(table[finished])
            owners.extend(level.sequence[row] for row in finished)
        root = torch.cat(pieces)[torch.tensor(owners, device=table.device).argsort()]
        return Folded(root, _nested_trees(lengths, levels, merges_of_levels) if trees else None)

    def _fold(
        self, table: TableStates, first: list[int], size: list[int], trees: bool
    ) -> tuple[GroupStates, list[Merges]]:
        """Fold groups of neighbouring rows of a table, given the first row and the number of rows of each.

        Groups of similar size are folded together. The list of merges is empty unless ``trees`` is set.
        """
        buckets = Buckets(size, rows=STEP)
        roots: list[GroupStates] = []
        merges: list[Merges] = [()] * len(size)
        for groups, sizes in zip(buckets.sequences, buckets.of_each, strict=True):
            items = gather_groups(table, [first[group] for group in groups], max(sizes))
            if trees:
                root, found = self.parse(items, Lengths.of(sizes, table.device))
                for group, own in zip(groups, found, strict=True):
                    merges[group] = own
            else:
                root = self.fold(items, Lengths.of(sizes, table.device))
            roots.append(root)
        return buckets.joined(roots), merges if trees else []


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


def gather_groups(table: TableStates, first: list[int], largest: int) -> Items:
    """Return the items of each group from its ``first`` row on, padded with other rows: (G, ``largest``, D)."""
    start = first[0]
    if first == list(range(start, start + largest * len(first), largest)) and first[-1] + largest <= len(table):
        return table[start : first[-1] + largest].unflatten(0, (-1, largest))
    rows = torch.tensor(first, device=table.device).unsqueeze(-1) + torch.arange(largest, device=table.device)
    return table.index_select(0, rows.clamp_(max=len(table) - 1).flatten()).unflatten(0, (-1, largest))


def _starts(lengths: list[int]) -> list[int]:
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length)
    return starts
