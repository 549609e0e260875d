"""The leaf transform, applied to every state before the first merge."""

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
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.project = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, states: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """Return a leaf for each state."""
        return self.norm(self.project(states))
