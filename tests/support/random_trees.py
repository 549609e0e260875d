"""Trees at random."""

from __future__ import annotations

import random

from nestree.trees import Tree, tree_from_nodes


def random_tree(leaves: int, seed: int) -> Tree:
    """Merge neighbours at random."""
    chooser = random.Random(seed)
    frontier, children = list(range(leaves)), {}
    while len(frontier) > 1:
        at = chooser.randrange(len(frontier) - 1)
        children[leaves + len(children)] = (frontier[at], frontier[at + 1])
        frontier[at : at + 2] = [leaves + len(children) - 1]
    return tree_from_nodes(range(leaves), children, frontier[0])
