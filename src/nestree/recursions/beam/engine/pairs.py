"""The pairs that a step of the search merges, and the new pairs that result."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.recursions.shapes import BesideFlags, BesideIndex, KeptFlags, KeptIndex


@dataclass(frozen=True)
class Chosen:
    """The pair that every new beam merges."""

    beam: KeptIndex
    """(G, W) the beam that it continues."""
    position: KeptIndex
    """(G, W) the pair's position in that beam's frontier."""
    left: KeptIndex
    """(G, W) left items."""
    right: KeptIndex
    """(G, W) right items."""
    absent: KeptFlags
    """(G, W) whether there is no such beam."""


@dataclass(frozen=True)
class Neighbours:
    """The two pairs next to every new node: with the item before it, and with the item after it."""

    left: BesideIndex
    """(G, W, 2) left items."""
    right: BesideIndex
    """(G, W, 2) right items."""
    column: BesideIndex
    """(G, W, 2) the pairs' positions in the new frontier, counted from 1."""
    exists: BesideFlags
    """(G, W, 2) whether there is such a pair."""
    absent: KeptFlags
    """(G, W) whether there is no such beam."""
