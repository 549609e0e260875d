"""Cells other than the gated recursive one, and a registry of all cells."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.errors import OptionError
from nestree.layers.cell import HIDDEN_MULTIPLE, Cell, GatedRecursiveCell


class BilinearCell(Cell):
    """``parent = LayerNorm(W x + Wo((Wa x) * (Wb x)))`` of ``x = [l; r]``, with dropout on the product.

    The product of two linear maps lets one child select how the other is read, which sums modulo a number need.
    Cost: ``12 D^2`` multiply-adds per parent.

    Examples:
        >>> BilinearCell(8)(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        """Make a cell for states of width ``dim``; ``dropout`` is the dropout rate of the products."""
        super().__init__(dim, dropout=dropout, mask_width=2 * dim)
        self.linear = nn.Linear(2 * dim, dim)
        self.factors = nn.Linear(2 * dim, 2 * self.mask_width)
        self.mix = nn.Linear(self.mask_width, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row."""
        both = torch.cat([left, right], dim=-1)
        one, other = self.factors(both).chunk(2, dim=-1)
        return self.norm(self.linear(both) + self.mix(self.drop(one * other, keep)))


class SwiGLUCell(Cell):
    """The gated recursive cell with a SwiGLU hidden layer: ``h = SiLU(W1 x) * (W2 x)`` of ``x = [l; r]``.

    Its hidden layer has 3 D features, which matches the number of parameters of the GELU version.

    Source of the layer: Shazeer 2020 (arXiv 2002.05202). Cost: ``24 D^2`` multiply-adds per parent.

    Examples:
        >>> SwiGLUCell(8)(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        """Make a cell for states of width ``dim``; ``dropout`` is the dropout rate of the hidden layer."""
        super().__init__(dim, dropout=dropout, mask_width=3 * dim)
        self.hidden = nn.Linear(2 * dim, 2 * self.mask_width)
        self.gates = nn.Linear(self.mask_width, 4 * dim)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row."""
        gate, value = self.hidden(torch.cat([left, right], dim=-1)).chunk(2, dim=-1)
        gates = self.gates(self.drop(functional.silu(gate) * value, keep))
        gate_left, gate_right, gate_new, new = gates.chunk(4, dim=-1)
        return self.norm(gate_left.sigmoid() * left + gate_right.sigmoid() * right + gate_new.sigmoid() * new)


class MultiplicativeGateCell(Cell):
    """A gate on both children, a linear map initialized as their sum, and a residual feed-forward layer.

    ``g = 2 sigmoid(Wg x + bg)`` of ``x = [l; r]``, ``y = LayerNorm(V (g * x))`` with V initialized to ``[I I]``, and
    ``parent = LayerNorm(y + W2 GELU(W1 y))``, with dropout on the hidden layer. Cost: ``14 D^2`` multiply-adds per
    parent.

    Examples:
        >>> MultiplicativeGateCell(8)(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        """Make a cell for states of width ``dim``; ``dropout`` is the dropout rate of the hidden layer."""
        super().__init__(dim, dropout=dropout, mask_width=HIDDEN_MULTIPLE * dim)
        self.gate = nn.Linear(2 * dim, 2 * dim)
        self.value = nn.Linear(2 * dim, dim, bias=False)
        self.hidden = nn.Linear(dim, self.mask_width)
        self.out = nn.Linear(self.mask_width, dim)
        self.gated_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize V as the sum of the children."""
        with torch.no_grad():
            self.value.weight.copy_(torch.eye(self.dim).repeat(1, 2))

    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row."""
        both = torch.cat([left, right], dim=-1)
        gated = self.gated_norm(self.value(2 * self.gate(both).sigmoid() * both))
        return self.norm(gated + self.out(self.drop(functional.gelu(self.hidden(gated)), keep)))


class TreeLSTMCell(Cell):
    """The binary Tree-LSTM; a state is ``[h; c]``, each of D / 2 features.

    ``[i; fl; fr; o; u] = W [h_l; h_r] + b``, ``c = sigmoid(i) tanh(u) + sigmoid(fl) c_l + sigmoid(fr) c_r`` and
    ``h = sigmoid(o) tanh(c)``, with dropout on ``tanh(u)``.

    Source: Tai et al. 2015 (arXiv 1503.00075), section 3.2. Cost: ``2.5 D^2`` multiply-adds per parent.

    Examples:
        >>> TreeLSTMCell(8)(torch.zeros(5, 8), torch.ones(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, dim: int, *, dropout: float = 0.1) -> None:
        """Make a cell for states of even width ``dim``; ``dropout`` is the dropout rate of the candidate features.

        Raises:
            ValueError: names the argument.
        """
        if isinstance(dim, int) and dim % 2:
            raise OptionError("dim", f"must be even for a Tree-LSTM, whose states are two halves, not {dim}")
        super().__init__(dim, dropout=dropout, mask_width=dim // 2)
        self.gates = nn.Linear(dim, 5 * (dim // 2))

    def forward(
        self,
        left: Float[Tensor, "*rows d"],
        right: Float[Tensor, "*rows d"],
        keep: Float[Tensor, "*rows h"] | None = None,
    ) -> Float[Tensor, "*rows d"]:
        """Return the parents of ``left`` and ``right``, row by row."""
        (of_left, left_memory), (of_right, right_memory) = left.chunk(2, dim=-1), right.chunk(2, dim=-1)
        gates = self.gates(torch.cat([of_left, of_right], dim=-1))
        write, keep_left, keep_right, show, new = gates.chunk(5, dim=-1)
        memory = write.sigmoid() * self.drop(new.tanh(), keep)
        memory = memory + keep_left.sigmoid() * left_memory + keep_right.sigmoid() * right_memory
        return torch.cat([show.sigmoid() * memory.tanh(), memory], dim=-1)


CELLS: dict[str, Callable[..., Cell]] = {
    "grc": GatedRecursiveCell,
    "bilinear": BilinearCell,
    "grc-swiglu": SwiGLUCell,
    "multiplicative": MultiplicativeGateCell,
    "tree-lstm": TreeLSTMCell,
}
"""Every cell that can be built by name, from ``dim`` and ``dropout``."""


def build_cell(name: str, dim: int, *, dropout: float) -> Cell:
    """Return a new cell: a key of [`CELLS`][], or ``module:Class`` for any other class.

    Raises:
        ValueError: there is no such cell.
    """
    maker = CELLS.get(name)
    if maker is None:
        module, colon, attribute = name.partition(":")
        if not colon:
            raise OptionError("cell", f"must be one of {', '.join(CELLS)} or module:Class, not {name!r}")
        try:
            maker = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise OptionError("cell", f"must be a class that can be imported, not {name!r}: {error}") from None
    return maker(dim, dropout=dropout)
