"""The pairs that a merge makes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Neighbours:
    """The two pairs beside every new node: with the item before it, and with the one behind it."""

    left: Tensor
    """(G, W, 2) left items."""
    right: Tensor
    """(G, W, 2) right items."""
    column: Tensor
    """(G, W, 2) the pairs' places in the new frontier, counted from 1."""
    exists: Tensor
    """(G, W, 2) whether there is such a pair."""
    absent: Tensor
    """(G, W) beams that there are none of."""
