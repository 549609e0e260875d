"""Options that every encoder has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nestree.checks import check_at_least, check_probability
from nestree.encoders.base import Encoder
from nestree.layers import GatedRecursiveCell


@dataclass(frozen=True)
class EncoderOptions(ABC):
    """Options that every encoder has."""

    dim: int = 128
    """Width D of states, features."""
    dropout: float = 0.1
    """Share of the cell's hidden features dropped in training."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_at_least("dim", self.dim, 1)
        check_probability("dropout", self.dropout)

    @abstractmethod
    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""

    def cell(self) -> GatedRecursiveCell:
        """Return a cell."""
        return GatedRecursiveCell(self.dim, dropout=self.dropout)
