"""Ordered Memory, alone and inside the outer tree."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import MOST_BEAMS, check_at_least, check_probability
from nestree.encoders.base import Encoder
from nestree.encoders.options import CellOptions
from nestree.encoders.rir import RIROptions
from nestree.encoders.rvnn import RvNN
from nestree.recursions import OrderedMemory
from nestree.recursions.base import Recursion


@dataclass(frozen=True)
class OMOptions(CellOptions):
    """Ordered Memory."""

    slots: int = 21
    """Number of memory slots, which bounds the depth of the stack; the paper uses 12 for logical inference."""
    memory_dropout: float = 0.1
    """Dropout rate in the attention over memory slots."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("slots", self.slots, 1, MOST_BEAMS)
        check_probability("memory_dropout", self.memory_dropout)

    def ordered_memory(self) -> OrderedMemory:
        """Return a freshly initialized recursion."""
        return OrderedMemory(self.new_cell(), slots=self.slots, memory_dropout=self.memory_dropout)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder: the recursion's input projection is its leaf transform."""
        return RvNN(self.ordered_memory(), None)


@dataclass(frozen=True)
class RIROMOptions(RIROptions, OMOptions):
    """Recursion in recursion with an Ordered Memory inside."""

    def inner(self) -> Recursion:
        """Return the inner recursion, with its own input projection at every level."""
        return self.ordered_memory()
