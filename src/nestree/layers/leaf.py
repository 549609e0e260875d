"""The leaf transform: what every token state passes before the first composition."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from nestree.checks import check_at_least


class LeafTransform(nn.Module):
    """``LayerNorm(W x + b)``, from width ``dim`` to the same width.

    Raises:
        ValueError: ``dim`` is below 1.
    """

    def __init__(self, dim: int) -> None:
        """Make a leaf transform for states of width ``dim``."""
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.project = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, states: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """Transform each row."""
        return self.norm(self.project(states))
