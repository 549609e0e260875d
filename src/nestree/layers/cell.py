"""Cells: two children in, one parent out. The base class, and the gated recursive cell (GRC)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import Checked, check_at_least, check_probability

HIDDEN_MULTIPLE = 4
"""The cell's hidden layer is this many times as wide as a state."""


class Cell(Checked, nn.Module, ABC):
    """Composes a left and a right child into their parent: two states of width ``dim`` in, one out.

    A cell treats each row independently. If it has dropout, the caller may pass the mask, of ``mask_width`` features:
    in a search, a node has one mask, however often it is recomputed.

    Examples:
        >>> class Sum(Cell):
        ...     def forward(self, left, right, keep=None):
        ...         return left + right
        >>> Sum(8)(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    checks: ClassVar = {"dropout": check_probability}

    def __init__(self, dim: int, *, dropout: float = 0.0, mask_width: int = 0) -> None:
        """Set the attributes that encoders read.

        Args:
            dim: width D of states.
            dropout: dropout rate in training; unused if ``mask_width`` is 0.
            mask_width: number of features that dropout applies to; 0: this cell has no dropout.

        Raises:
            ValueError: ``dim`` is below 1 or ``dropout`` not in [0, 1).
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.dropout = dropout
        self.mask_width = check_at_least("mask_width", mask_width, 0)

    @abstractmethod
    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row.

        ``keep`` is a dropout mask that is already scaled (0, or 1 / (1 - dropout)); without it, a cell in training mode
        draws its own.
        """

    def drop(self, features: Tensor, keep: Tensor | None) -> Tensor:
        """Apply dropout to ``features``: with the mask ``keep``, or else with a new one in training."""
        return functional.dropout(features, self.dropout, self.training) if keep is None else features * keep


def mask_width(cell: nn.Module) -> int:
    """Return the width of the dropout masks for ``cell``; 0: it has no dropout, or its rate is 0."""
    return getattr(cell, "mask_width", 0) if getattr(cell, "dropout", 0.0) else 0


class GatedRecursiveCell(Cell):
    """Compose a left and a right child into their parent.

    ``h = GELU(W1 [l; r] + b1)``, dropout on ``h``, ``[a; b; c; z] = W2 h + b2`` and
    ``parent = LayerNorm(sigmoid(a) * l + sigmoid(b) * r + sigmoid(c) * z)``.

    Source: Shen et al. 2019 (arXiv 1910.13466), section 3.2.
    Cost: ``24 D^2`` multiply-adds per parent.

    Args:
        dim: width D of a state.
        dropout: dropout rate of the hidden features.

    Raises:
        ValueError: ``dim`` is below 1 or ``dropout`` not in [0, 1).

    Examples:
        >>> cell = GatedRecursiveCell(8)
        >>> cell(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        super().__init__(dim, dropout=dropout, mask_width=HIDDEN_MULTIPLE * dim)
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

        ``keep`` is a scaled dropout mask (0, or 1 / (1 - dropout)), for callers that draw one mask per node; without
        it, the cell draws its own in training.
        """
        return self.mix(left, right, self.hidden(torch.cat([left, right], dim=-1)), keep)

    def mix(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        hidden: Float[Tensor, "*rows h"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents, given ``W1 [l; r] + b1``, for callers that share parts of this among several parents."""
        hidden = functional.gelu(hidden)
        hidden = self.drop(hidden, keep)
        gate_left, gate_right, gate_new, new = self.gates(hidden).chunk(4, dim=-1)
        mixed = gate_left.sigmoid() * left + gate_right.sigmoid() * right + gate_new.sigmoid() * new
        return self.norm(mixed)
