"""The gated recursive cell (GRC): two children in, one parent out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import check_at_least, check_probability

HIDDEN_MULTIPLE = 4
"""The cell's hidden layer is this many times as wide as a state."""


class GatedRecursiveCell(nn.Module):
    """Compose a left and a right child into their parent.

    ``h = GELU(W1 [l; r] + b1)``, dropout on ``h``, ``[a; b; c; z] = W2 h + b2`` and
    ``parent = LayerNorm(sigmoid(a) * l + sigmoid(b) * r + sigmoid(c) * z)``.

    Source: Shen et al. 2019 (arXiv 1910.13466), section 3.2.
    Cost: ``24 D^2`` multiply-adds per parent.

    Args:
        dim: width D of a state.
        dropout: share of hidden features dropped during training.

    Raises:
        ValueError: ``dim`` is below 1 or ``dropout`` not in [0, 1).

    Examples:
        >>> cell = GatedRecursiveCell(8)
        >>> cell(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.dropout = check_probability("dropout", dropout)
        self.hidden = nn.Linear(2 * dim, HIDDEN_MULTIPLE * dim)
        self.gates = nn.Linear(HIDDEN_MULTIPLE * dim, 4 * dim)
        self.norm = nn.LayerNorm(dim)

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden layer and of a dropout mask."""
        return self.hidden.out_features

    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row.

        ``keep`` is a dropout mask, already scaled (0 or 1 / (1 - dropout)), for callers that draw a mask per node;
        without it, the cell draws one during training.
        """
        return self.mix(left, right, self.hidden(torch.cat([left, right], dim=-1)), keep)

    def mix(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        hidden: Float[Tensor, "*rows h"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents, given ``W1 [l; r] + b1``, for callers that use parts of it for several parents."""
        hidden = functional.gelu(hidden)
        hidden = functional.dropout(hidden, self.dropout, self.training) if keep is None else hidden * keep
        gate_left, gate_right, gate_new, new = self.gates(hidden).chunk(4, dim=-1)
        mixed = gate_left.sigmoid() * left + gate_right.sigmoid() * right + gate_new.sigmoid() * new
        return self.norm(mixed)
