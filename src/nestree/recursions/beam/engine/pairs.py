"""The pairs that a step of the search merges, and those that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Chosen:
    """The pair that every new beam merges."""

    beam: Tensor
    """(G, W) the beam that it continues."""
    position: Tensor
    """(G, W) the pair's place in that beam's frontier."""
    left: Tensor
    """(G, W) left items."""
    right: Tensor
    """(G, W) right items."""
    absent: Tensor
    """(G, W) whether there is no such beam."""


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
    """(G, W) whether there is no such beam."""
