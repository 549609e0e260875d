"""Binary trees over the tokens of a sequence, as an encoder found them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tree:
    """A binary tree, written as the merges that make it.

    Leaves are numbered 0 to ``leaves - 1`` from left to right; merge i makes node ``leaves + i`` of two earlier nodes.
    Being flat, it holds trees of any depth.

    Example:
        >>> Tree(leaves=3, merges=((1, 2), (0, 3))).brackets(["a", "b", "c"])
        '(a (b c))'
    """

    leaves: int
    """How many leaves."""
    merges: tuple[tuple[int, int], ...]
    """(left, right) node numbers of each merge; always ``leaves - 1`` of them, the root last."""

    def __post_init__(self) -> None:
        """Check that the merges make one tree, each of two earlier neighbours.

        Raises:
            ValueError: they do not.
        """
        used = {child for merge in self.merges for child in merge}
        if len(self.merges) != self.leaves - 1 or used != set(range(2 * self.leaves - 2)):
            raise ValueError(f"{len(self.merges)} merges do not make one tree over {self.leaves} leaves")
        bounds = [(leaf, leaf + 1) for leaf in range(self.leaves)]
        for number, (left, right) in enumerate(self.merges):
            if max(left, right) >= len(bounds) or bounds[left][1] != bounds[right][0]:
                raise ValueError(f"merge {number} joins nodes {left} and {right}, which are no earlier neighbours")
            bounds.append((bounds[left][0], bounds[right][1]))

    def spans(self) -> list[tuple[int, int]]:
        """Return the (first leaf, one past the last leaf) of every merge, in the order of the merges."""
        bounds = [(leaf, leaf + 1) for leaf in range(self.leaves)]
        for left, right in self.merges:
            bounds.append((bounds[left][0], bounds[right][1]))
        return bounds[self.leaves :]

    @property
    def height(self) -> int:
        """How many merges lie on the longest way from the root to a leaf."""
        heights = [0] * self.leaves
        for left, right in self.merges:
            heights.append(1 + max(heights[left], heights[right]))
        return heights[-1]

    def brackets(self, tokens: Sequence[str]) -> str:
        """Return the tree as a bracket string over ``tokens``, one a leaf.

        Raises:
            ValueError: the number of tokens is not the number of leaves.
        """
        if len(tokens) != self.leaves:
            raise ValueError(f"tokens must be {self.leaves}, one for each leaf, not {len(tokens)}")
        openings, closings = [0] * self.leaves, [0] * self.leaves
        for first, end in self.spans():
            openings[first] += 1
            closings[end - 1] += 1
        return " ".join(
            "(" * opened + token + ")" * closed
            for token, opened, closed in zip(tokens, openings, closings, strict=True)
        )


@dataclass(frozen=True)
class ParsedTree:
    """A tree and how probable the encoder holds it among those it kept."""

    tree: Tree
    probability: float


def tree_from_nodes(leaves: Sequence[int], children: dict[int, tuple[int, int]], root: int) -> Tree:
    """Number afresh the tree under ``root``.

    Args:
        leaves: the nodes that are the leaves, from left to right.
        children: the (left, right) nodes of every node that is not a leaf.
        root: the node to start from.
    """
    number = {leaf: position for position, leaf in enumerate(leaves)}
    merges: list[tuple[int, int]] = []
    waiting = [root]
    while waiting:  # depth first, without recursion: a tree may be thousands deep
        node = waiting[-1]
        if node in number:
            waiting.pop()
            continue
        left, right = children[node]
        missing = [child for child in (right, left) if child not in number]
        if missing:
            waiting.extend(missing)
        else:
            number[node] = len(leaves) + len(merges)
            merges.append((number[left], number[right]))
            waiting.pop()
    return Tree(len(leaves), tuple(merges))
