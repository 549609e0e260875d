"""The continuous recursive network (CRvNN), alone and inside the outer tree."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import check_probability
from nestree.encoders.base import Encoder
from nestree.encoders.options import CellOptions
from nestree.encoders.rir import RIROptions
from nestree.encoders.rvnn import RvNN
from nestree.layers import LeafTransform
from nestree.recursions import ContinuousRecursion
from nestree.recursions.base import Recursion
from nestree.recursions.continuous import check_window


@dataclass(frozen=True)
class CRvNNOptions(CellOptions):
    """Continuous recursive network with halting."""

    window: int = 5
    """Number of items that the scorer reads, centred on the item that it scores; odd, at least 3."""
    threshold: float = 0.1
    """Halting threshold: a sequence stops once at most one item has a probability of existence above it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.window)
        check_probability("threshold", self.threshold)

    def continuous(self, leaf: LeafTransform | None) -> ContinuousRecursion:
        """Return the recursion; ``leaf`` transforms its items and the learned vectors around them."""
        return ContinuousRecursion(self.new_cell(), window=self.window, threshold=self.threshold, leaf=leaf)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder; its leaf transform also applies to the vectors around a sequence."""
        return RvNN(self.continuous(LeafTransform(self.dim)), None)


@dataclass(frozen=True)
class RIRCRvNNOptions(RIROptions, CRvNNOptions):
    """Recursion in recursion with a continuous recursive network inside."""

    def inner(self) -> Recursion:
        """Return the inner recursion, without a leaf transform of its own."""
        return self.continuous(None)
