"""Gold trees with labelled nodes, from treebanks: trees over words become trees over token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from nestree.trees import Span, tree_from_nodes
from nestree.trees.scores import GoldTree


@dataclass(frozen=True)
class LabelledTree:
    """A binary tree over words, whose nodes may carry labels."""

    words: tuple[str, ...]
    nodes: tuple[tuple[int, int, str | None], ...]
    """(first word, one past the last, label) of every node, words included, children before their parents; no label:
    None."""


class GoldTrees:
    """The gold trees of a treebank's texts, found by token ids; of texts with equal ids, the first.

    A text is its words, separated by single spaces.

    Args:
        trees: the trees over words.
        numbers: number of each label.
        encode: returns the token ids of a word, with a space before it unless it is the first; empty if it has none.
    """

    def __init__(
        self,
        trees: Iterable[LabelledTree],
        numbers: Mapping[str, int],
        encode: Callable[[str], NDArray[np.unsignedinteger]],
    ) -> None:
        self.numbers = numbers
        self._by_ids: dict[tuple[int, ...], tuple[LabelledTree, list[int]]] = {}
        self._made: dict[tuple[int, ...], GoldTree] = {}
        ids_of = cache(lambda word: tuple(encode(word).tolist()))
        for tree in trees:
            ids = [ids_of(f" {word}" if number else word) for number, word in enumerate(tree.words)]
            if key := tuple(chain.from_iterable(ids)):
                self._by_ids.setdefault(key, (tree, list(map(len, ids))))

    def find(self, tokens: NDArray[np.integer]) -> GoldTree | None:
        """Return the gold tree of a text; None if there is none."""
        key = tuple(tokens.tolist())
        if key not in self._made and key in self._by_ids:
            self._made[key] = over_tokens(*self._by_ids[key], self.numbers)
        return self._made.get(key)


def over_tokens(tree: LabelledTree, counts: list[int], numbers: Mapping[str, int]) -> GoldTree:
    """Return a tree over words as one over tokens.

    A word of several tokens is merged from the left, without labels inside; a word without tokens is left out, and
    its parent's label replaces that of its sister.

    Args:
        tree: the tree over words.
        counts: number of tokens of each word; not all 0.
        numbers: number of each label.
    """
    starts = list(accumulate(counts, initial=0))
    children: dict[int, tuple[int, int]] = {}
    labels: dict[Span, int] = {}
    spans: dict[Span, None] = {}

    def merge(left: int, right: int) -> int:
        children[-1 - len(children)] = (left, right)
        return -len(children)

    made: list[int | None] = []  # roots of the nodes so far that have no parent yet; None: without tokens
    for first, end, label in tree.nodes:
        if end - first == 1:
            own: list[int | None] = list(range(starts[first], starts[end]))
        else:
            own, made = made[-2:], made[:-2]
        parts = [part for part in own if part is not None]
        root = parts[0] if parts else None
        for part in parts[1:]:
            assert root is not None
            root = merge(root, part)
        made.append(root)
        if root is None:
            continue
        span = (starts[first], starts[end])
        if span[1] - span[0] > 1:
            spans[span] = None
        labels.pop(span, None)
        if label is not None:
            labels[span] = numbers[label]
    (root,) = made
    assert root is not None, "no word has a token"
    return GoldTree(tree_from_nodes(range(starts[-1]), children, root), tuple(spans), labels)
