"""Random trees for the tests of trees."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from nestree.trees import ParsedTree, Tree
from nestree.trees.fixed import random_tree

Groups = tuple[tuple[tuple[int, int], ...], ...]


def cut(leaves: int, arity: int) -> Groups:
    """The groups of an outer tree as design says it, one sequence at a time."""
    items = [(leaf, leaf + 1) for leaf in range(leaves)]
    levels = []
    while len(items) > 1:
        size = arity if len(items) >= arity + arity // 2 else len(items)
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        items = [(chunk[0][0], chunk[-1][1]) for chunk in chunks]
        levels.append(tuple(items))
    return tuple(levels)


WORDS = st.text(st.characters(), min_size=1, max_size=6)


@st.composite
def parsed_trees(draw: st.DrawFn, most: int = 40, words: st.SearchStrategy[str] = WORDS) -> ParsedTree:
    """A tree with or without groups, with words."""
    leaves = draw(st.integers(1, most))
    groups = cut(leaves, draw(st.integers(2, 7))) if draw(st.booleans()) else ()
    tree = random_tree(leaves, random.Random(draw(st.integers(0, 999))), groups)
    tokens = draw(st.lists(words, min_size=leaves, max_size=leaves))
    return ParsedTree(tree, 0.25, groups, tuple(tokens))


def all_trees(leaves: int) -> list[Tree]:
    """Every binary tree over a few leaves, once."""

    def grow(first: int, end: int) -> list[list[tuple[int, int]]]:
        if end - first == 1:
            return [[]]
        return [
            [*left, *right, (first, end)]
            for middle in range(first + 1, end)
            for left in grow(first, middle)
            for right in grow(middle, end)
        ]

    return [from_spans(leaves, spans) for spans in grow(0, leaves)]


def from_spans(leaves: int, spans: list[tuple[int, int]]) -> Tree:
    """The tree with these spans, children before parents."""
    starts = {leaf: leaf for leaf in range(leaves)}  # by where it begins, the highest node so far
    ends = {leaf + 1: leaf for leaf in range(leaves)}
    merges = []
    for first, end in spans:
        merges.append((starts[first], ends[end]))
        starts[first] = ends[end] = leaves + len(merges) - 1
    return Tree(leaves, tuple(merges))
