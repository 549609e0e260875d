"""Trees that take no learning."""

from __future__ import annotations

import random

from nestree.trees.tree import Tree


def left_branching(leaves: int) -> Tree:
    """Return the chain from the left, as a recurrent network reads."""
    return Tree(leaves, tuple((0 if leaf == 1 else leaves + leaf - 2, leaf) for leaf in range(1, leaves)))


def right_branching(leaves: int) -> Tree:
    """Return the chain from the right."""
    return Tree(
        leaves,
        tuple((leaves - 1 - step, leaves - 1 if step == 1 else leaves + step - 2) for step in range(1, leaves)),
    )


def balanced(leaves: int) -> Tree:
    """Return the tree that merges neighbours two by two; an odd last one is carried up."""
    merges: list[tuple[int, int]] = []
    row = list(range(leaves))
    while len(row) > 1:
        parents = []
        for left, right in zip(row[::2], row[1::2], strict=False):
            parents.append(leaves + len(merges))
            merges.append((left, right))
        row = parents + row[2 * len(parents) :]
    return Tree(leaves, tuple(merges))


def random_tree(leaves: int, rng: random.Random) -> Tree:
    """Return the tree that merges a random pair of neighbours, each as likely, until one is left.

    Cost: O(n^2) at worst, by moving list items.
    """
    frontier = list(range(leaves))
    merges: list[tuple[int, int]] = []
    while len(frontier) > 1:
        at = rng.randrange(len(frontier) - 1)
        merges.append((frontier[at], frontier[at + 1]))
        frontier[at : at + 2] = [leaves + len(merges) - 1]
    return Tree(leaves, tuple(merges))
