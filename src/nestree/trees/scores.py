"""Scores of induced trees against gold trees."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nestree.trees.fixed import balanced, left_branching, random_tree, right_branching
from nestree.trees.parsed import ParsedTree, Span
from nestree.trees.tree import Tree


@dataclass(frozen=True)
class GoldTree:
    """The gold tree of a sequence, and the spans that every correct tree must have."""

    tree: Tree
    spans: tuple[Span, ...]
    """(first leaf, one past the last) of each constituent, such as an operator from its bracket to its ``]``. Inside a
    constituent the order of merges is free."""
    labels: Mapping[Span, int] = field(default_factory=dict)
    """Number of the label of each node that carries one, leaves included; empty in most tasks."""


def bracket_f1(tree: Tree, gold: Tree) -> float:
    """Return the unlabelled bracket F1 of two binary trees over the same leaves, from 0 to 1.

    Brackets are the spans of merges, without the root's, which every tree has. Binary trees have equally many brackets,
    so precision, recall and F1 are equal. Trees of one or two leaves have F1 1, as there is only one tree.

    Raises:
        ValueError: the trees have different numbers of leaves.
    """
    if tree.leaves != gold.leaves:
        raise ValueError(f"both trees must have the same number of leaves, not {tree.leaves} and {gold.leaves}")
    return _f1(set(tree.spans()), gold)


def _f1(spans: Collection[Span], gold: Tree) -> float:
    if gold.leaves <= 2:
        return 1.0
    return sum(span in spans for span in gold.spans()[:-1]) / (gold.leaves - 2)


@dataclass(frozen=True)
class TreeScore:
    """Score of one kind of tree against the gold trees of a test."""

    f1: float | None
    """Mean of [`bracket_f1`][] over sequences of at least three leaves; None if there are none."""
    recall: float | None
    """Share of the gold spans, without single leaves and the whole sequence, that are spans of the tree; None if there
    are none."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[Collection[Span], GoldTree]]) -> TreeScore:
        """Score pairs of (spans of a tree, gold tree)."""
        total, sequences, found, wanted = 0.0, 0, 0, 0
        for spans, gold in pairs:
            leaves = gold.tree.leaves
            if leaves > 2:
                total, sequences = total + _f1(spans, gold.tree), sequences + 1
            inner = [(first, end) for first, end in gold.spans if 1 < end - first < leaves]
            found, wanted = found + sum(span in spans for span in inner), wanted + len(inner)
        return cls(total / sequences if sequences else None, found / wanted if wanted else None)

    def as_dict(self) -> dict[str, Any]:
        """Return the score as JSON values."""
        return {
            "f1": None if self.f1 is None else round(self.f1, 6),
            "recall": None if self.recall is None else round(self.recall, 6),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TreeScore:
        """Return the score of values that [`as_dict`][] returned."""
        return cls(values.get("f1"), values.get("recall"))


def tree_scores(trees: Iterable[ParsedTree], golds: Iterable[GoldTree], *, seed: int = 0) -> dict[str, TreeScore]:
    """Return the scores of induced trees, and of trees that need no training to compare them with.

    Args:
        trees: induced trees.
        golds: one gold tree per induced tree.
        seed: seed of the random trees.

    Returns:
        Scores of the "model"; of "random" trees with the same groups, see [`nestree.trees.fixed.random_tree`][]; of
        "left" and "right" branching and "balanced" trees without groups; and the "limit" that no tree with the same
        groups can exceed, see [`allowed`][].

    Raises:
        ValueError: the numbers of trees differ, or a tree and its gold tree have different numbers of leaves.
    """
    pairs = list(zip(trees, golds, strict=True))
    for parsed, gold in pairs:
        if parsed.tree.leaves != gold.tree.leaves:
            raise ValueError(f"a tree of {parsed.tree.leaves} leaves has a gold tree of {gold.tree.leaves}")
    rng = random.Random(seed)
    kinds: dict[str, Callable[[ParsedTree, GoldTree], Iterable[Span]]] = {
        "model": lambda parsed, gold: parsed.tree.spans(),
        "random": lambda parsed, gold: random_tree(parsed.tree.leaves, rng, parsed.groups).spans(),
        "left": lambda parsed, gold: left_branching(parsed.tree.leaves).spans(),
        "right": lambda parsed, gold: right_branching(parsed.tree.leaves).spans(),
        "balanced": lambda parsed, gold: balanced(parsed.tree.leaves).spans(),
        "limit": lambda parsed, gold: allowed([*gold.tree.spans(), *gold.spans], parsed.groups),
    }
    return {
        name: TreeScore.of((set(spans(parsed, gold)), gold) for parsed, gold in pairs) for name, spans in kinds.items()
    }


def allowed(spans: Iterable[Span], groups: Sequence[Sequence[Span]]) -> list[Span]:
    """Return the spans that cross no group, which a tree with these groups can have.

    Args:
        spans: (first leaf, one past the last) of each.
        groups: as in [`ParsedTree`][nestree.trees.ParsedTree].
    """
    kept = list(spans)
    for level in groups:
        group_of = [number for number, (first, end) in enumerate(level) for _ in range(first, end)]
        starts, ends = {first for first, _ in level}, {end for _, end in level}
        kept = [
            (first, end)
            for first, end in kept
            if group_of[first] == group_of[end - 1] or (first in starts and end in ends)
        ]
    return kept
