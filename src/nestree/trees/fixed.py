"""Trees that need no training: branching to one side, balanced, random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nestree.trees.tree import Tree


def left_branching(leaves: int) -> Tree:
    """Return the chain from the left, in the order of a recurrent network."""
    return Tree(leaves, tuple((0 if leaf == 1 else leaves + leaf - 2, leaf) for leaf in range(1, leaves)))


def right_branching(leaves: int) -> Tree:
    """Return the chain from the right."""
    return Tree(
        leaves,
        tuple((leaves - 1 - step, leaves - 1 if step == 1 else leaves + step - 2) for step in range(1, leaves)),
    )


def balanced(leaves: int) -> Tree:
    """Return the tree that merges neighbours two by two; an odd last node moves up a level unmerged."""
    merges: list[tuple[int, int]] = []
    row = list(range(leaves))
    while len(row) > 1:
        parents = []
        for left, right in zip(row[::2], row[1::2], strict=False):
            parents.append(leaves + len(merges))
            merges.append((left, right))
        row = parents + row[2 * len(parents) :]
    return Tree(leaves, tuple(merges))


def random_tree(leaves: int, rng: random.Random, groups: Sequence[Sequence[tuple[int, int]]] = ()) -> Tree:
    """Return the tree that merges a random pair of neighbours, chosen uniformly, until one node is left.

    This gives the same distribution as cutting the sequence at a uniformly random place, then each part, and so on.

    Args:
        leaves: number of leaves.
        rng: random number generator.
        groups: as in [`nestree.trees.ParsedTree`][]; each group becomes a subtree.

    Cost: quadratic in the size of the largest group.
    """
    merges: list[tuple[int, int]] = []
    items = [(leaf + 1, leaf) for leaf in range(leaves)]  # (end, node) of each
    for level in groups or [[(0, leaves)]]:
        above: list[tuple[int, int]] = []
        for first, end in level:
            frontier = [node for item_end, node in items if first < item_end <= end]
            while len(frontier) > 1:
                at = rng.randrange(len(frontier) - 1)
                merges.append((frontier[at], frontier[at + 1]))
                frontier[at : at + 2] = [leaves + len(merges) - 1]
            above.append((end, frontier[0]))
        items = above
    return Tree(leaves, tuple(merges))
