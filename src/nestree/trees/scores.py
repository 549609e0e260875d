"""How near trees come to the right ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nestree.trees.fixed import balanced, left_branching, random_tree, right_branching
from nestree.trees.tree import Tree


@dataclass(frozen=True)
class GoldTree:
    """The right tree of a sequence, and those of its parts that any right tree must have."""

    tree: Tree
    spans: tuple[tuple[int, int], ...]
    """(first leaf, one past the last) of each constituent, such as an operator from its bracket to its ``]``: inside
    of one the order of merges is free."""


def bracket_f1(tree: Tree, gold: Tree) -> float:
    """Return the unlabelled bracket F1 of a binary tree against another over the same leaves.

    Brackets are the spans of merges, without that of the root, which every tree has. As both are binary, precision,
    recall and F1 are one number. It is 1 for trees of one or two leaves, where there is nothing to get wrong.

    Raises:
        ValueError: the trees have different numbers of leaves.
    """
    if tree.leaves != gold.leaves:
        raise ValueError(f"both trees must have the same number of leaves, not {tree.leaves} and {gold.leaves}")
    if gold.leaves <= 2:
        return 1.0
    return len(set(tree.spans()[:-1]) & set(gold.spans()[:-1])) / (gold.leaves - 2)


def spans_found(tree: Tree, gold: GoldTree) -> tuple[int, int]:
    """Count the gold spans that are parts of the tree, and all gold spans: without the root and single leaves."""
    wanted = {(first, end) for first, end in gold.spans if 1 < end - first < tree.leaves}
    return len(wanted.intersection(tree.spans())), len(wanted)


@dataclass(frozen=True)
class TreeScore:
    """How near one kind of tree comes to the gold trees of a test."""

    f1: float | None
    """Mean over sequences of three leaves or more of :func:`bracket_f1`; None without such."""
    recall: float | None
    """Share of all gold spans that are parts of their tree, see :func:`spans_found`; None without any."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[Tree, GoldTree]]) -> TreeScore:
        """Score (tree, gold tree) pairs.

        Raises:
            ValueError: two trees of a pair have different numbers of leaves.
        """
        total, sequences, found, wanted = 0.0, 0, 0, 0
        for tree, gold in pairs:
            score = bracket_f1(tree, gold.tree)
            if tree.leaves > 2:
                total, sequences = total + score, sequences + 1
            here, all_here = spans_found(tree, gold)
            found, wanted = found + here, wanted + all_here
        return cls(total / sequences if sequences else None, found / wanted if wanted else None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "f1": None if self.f1 is None else round(self.f1, 6),
            "recall": None if self.recall is None else round(self.recall, 6),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TreeScore:
        """Return what :meth:`as_dict` made plain."""
        return cls(values["f1"], values["recall"])


def tree_scores(trees: Iterable[Tree], golds: Iterable[GoldTree], *, seed: int = 0) -> dict[str, TreeScore]:
    """Return the score of ``trees``, as "model", and beside it those of trees that take no learning.

    Args:
        trees: induced ones.
        golds: as many.
        seed: of the random trees.

    Returns:
        Scores of "model", "random", "left", "right" and "balanced".

    Raises:
        ValueError: there are more of one than of the other, or a tree has another number of leaves than its gold tree.
    """
    golds = list(golds)
    rng = random.Random(seed)
    scores = {"model": TreeScore.of(zip(trees, golds, strict=True))}
    others: dict[str, Callable[[int], Tree]] = {
        "random": lambda leaves: random_tree(leaves, rng),
        "left": left_branching,
        "right": right_branching,
        "balanced": balanced,
    }
    for name, make in others.items():
        scores[name] = TreeScore.of((make(gold.tree.leaves), gold) for gold in golds)
    return scores
