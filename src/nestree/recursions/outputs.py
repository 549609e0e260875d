"""What can be had of the trees that were found, beyond their roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nestree.layers import ParentAttention
from nestree.recursions.shapes import Packed, SequenceRoots, SequenceWeights, State
from nestree.trees import Span, Tree


@dataclass(frozen=True)
class OutputRequest:
    """What is asked for."""

    attention: ParentAttention | None = None
    """Makes the tokens' states; None: they are not asked for."""
    scores: bool = False
    """The beams' scores, and their trees."""
    nodes: bool = False
    """The states of the nodes of each sequence's most probable tree."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""


@dataclass(frozen=True)
class Outputs:
    """What there was; all tensors know their gradients."""

    root: SequenceRoots
    """(B, D)"""
    tokens: Packed | None = None
    """(T, D) of all sequences, one after the other."""
    scores: SequenceWeights | None = None
    """(B, W); -inf where there is no such beam."""
    beams: list[list[Tree]] = field(default_factory=list)
    """Of each sequence: the tree of every beam that has a score."""
    nodes: list[dict[Span, State]] = field(default_factory=list)
    """Of each sequence: the states (D,) by (first leaf, one past the last)."""
