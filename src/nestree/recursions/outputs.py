"""What a tree search can return in addition to roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nestree.layers import ParentAttention
from nestree.recursions.shapes import Packed, SequenceRoots, SequenceWeights, State
from nestree.trees import Span, Tree


@dataclass(frozen=True)
class OutputRequest:
    """What a caller wants of a tree search in addition to roots."""

    attention: ParentAttention | None = None
    """Computes token states; None: not requested."""
    scores: bool = False
    """Return the beams' scores and trees."""
    nodes: bool = False
    """Return the node states of each sequence's most probable tree."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""


@dataclass(frozen=True)
class Outputs:
    """Roots and the requested outputs; all tensors are differentiable."""

    root: SequenceRoots
    """(B, D)"""
    tokens: Packed | None = None
    """(T, D) token states of all sequences, concatenated."""
    scores: SequenceWeights | None = None
    """(B, W); -inf where a sequence has fewer beams."""
    beams: list[list[Tree]] = field(default_factory=list)
    """For each sequence: the tree of every beam."""
    nodes: list[dict[Span, State]] = field(default_factory=list)
    """For each sequence: node states (D,) by span (first leaf, one past the last)."""
