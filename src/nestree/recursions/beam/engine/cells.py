"""Cells for the engine: the parents of rows of children, and their gradients.

The node store uses cells only through [`EngineCell`][]; an implementation of another cell is another class here.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.layers import GatedRecursiveCell
from nestree.layers.cell import Cell, mask_width
from nestree.layers.plain import is_plain_cell
from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.engine.recomputed import Recomputed
from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.draws import dropout_mask
from nestree.recursions.shapes import ChildStates, Column, RandomBits, Rows, States, TableStates


@runtime_checkable
class EngineCell(Protocol):
    """A cell over the rows of a node store."""

    @property
    def module(self) -> nn.Module:
        """The cell as a module."""
        ...

    parameters: list[Tensor]
    """The tensors that ``backward`` has gradients for."""
    mask_width: int
    """Number of features in a node's dropout mask; 0 without dropout."""

    def forward(self, rows: slice, children: ChildStates, random_bits: RandomBits | None) -> States:
        """Return the states (M, D) of the parents of ``children`` (M, 2, D), and save what ``backward`` needs.

        Args:
            rows: the M rows of the store for the parents.
            children: left and right.
            random_bits: (M, mask_width) for the dropout masks; None: no dropout.
        """
        ...

    def backward(self, rows: Rows, children: ChildStates, above: States, gradients: list[Tensor] | None) -> ChildStates:
        """Pull the gradients ``above`` (M, D) of the states of ``rows`` (M,) back to their ``children``: (M, 2, D).

        The parameters' gradients are added to ``gradients``, in the order of ``parameters``; None skips them.
        """
        ...


def engine_cell(cell: Cell, leaves: TableStates, capacity: int, *, record: bool) -> EngineCell:
    """Return the engine's form of ``cell``, for at most ``capacity`` rows with the dtype and device of ``leaves``.

    Without ``record`` nothing is saved for a backward pass.
    """
    if is_plain_cell(cell, leaves):
        return FusedGatedCell(cell, leaves, capacity, record=record)
    return AnyCell(cell, capacity, record=record)


def no_gradients(cell: EngineCell) -> list[Tensor]:
    """Return zero gradients for the cell's parameters, to accumulate into."""
    return [torch.zeros_like(parameter) for parameter in cell.parameters]


class AnyCell(HoldsTensors):
    """Any cell, by its own ``forward``, which is recomputed with autograd for the gradients; only masks are saved."""

    def __init__(self, cell: Cell, capacity: int, *, record: bool) -> None:
        self.module = cell
        self.recomputed = Recomputed(cell, record=record)
        self.parameters = self.recomputed.parameters
        self.mask_width = mask_width(cell)
        self.record = record
        self.capacity = capacity
        self.random_bits: RandomBits | None = None
        """(capacity, mask_width) for the dropout masks, once there are any."""

    def forward(self, rows: slice, children: ChildStates, random_bits: RandomBits | None) -> States:
        """Compose; see [`EngineCell.forward`][]."""
        if random_bits is not None and self.record:
            if self.random_bits is None:
                self.random_bits = random_bits.new_empty(self.capacity, self.mask_width)
            self.random_bits[rows] = random_bits
        return self.recomputed(children[:, 0], children[:, 1], *self._masks(random_bits, children.dtype))

    def backward(self, rows: Rows, children: ChildStates, above: States, gradients: list[Tensor] | None) -> ChildStates:
        """Pull gradients back; see [`EngineCell.backward`][]."""
        random_bits = None if self.random_bits is None else self.random_bits.index_select(0, rows)
        masks = self._masks(random_bits, children.dtype)
        return torch.stack(self.recomputed.pull_back(children.unbind(1), masks, above, gradients), dim=1)

    def _masks(self, random_bits: RandomBits | None, dtype: torch.dtype) -> list[Tensor]:
        """Return the cell's third argument, if it takes one."""
        if random_bits is None:
            # The search draws all masks: without one, a cell in training must not draw its own.
            return [torch.ones((), dtype=dtype)] if self.mask_width and self.module.training else []
        rate = self.module.dropout
        return [dropout_mask(random_bits, rate, dtype).mul_(1 / (1 - rate))]


class FusedGatedCell(HoldsTensors):
    """The gated recursive cell, with hand-written forward and backward passes over activations in two tables."""

    def __init__(self, cell: GatedRecursiveCell, leaves: TableStates, capacity: int, *, record: bool) -> None:
        """Allocate the tables; see [`engine_cell`][]."""
        self.module = cell
        self.parameters: list[Tensor] = [*cell.parameters()]
        self.eps = cell.norm.eps
        self.mask_width = mask_width(cell)
        self.record = record
        self.capacity = capacity
        self.keeps = record and devices.on_host(leaves.device)
        """Whether activations are kept: eight times the memory of the states."""
        rows = capacity if self.keeps else 0
        self.hidden = leaves.new_empty(rows, cell.hidden_dim)
        """Before the GELU."""
        self.gates = leaves.new_empty(rows, 4 * cell.dim)
        self.random_bits: RandomBits | None = None
        """(capacity, mask_width) for the dropout masks, once there are any."""

    def forward(self, rows: slice, children: ChildStates, random_bits: RandomBits | None) -> States:
        """Compose; see [`EngineCell.forward`][]."""
        dim = children.shape[-1]
        tables = (self.hidden[rows], self.gates[rows]) if self.keeps else self._workspace(children)
        if random_bits is not None and self.record:
            if self.random_bits is None:
                self.random_bits = random_bits.new_empty(self.capacity, self.module.hidden_dim)
            self.random_bits[rows] = random_bits
        _, gates = self._activations(children, random_bits, *tables)
        new = gates[:, 3 * dim :]
        opened = gates[:, : 3 * dim].sigmoid().view(-1, 3, dim)
        mixed = mix(children[:, 0], children[:, 1], new, opened)
        _, _, _, _, norm_weight, norm_bias = self.parameters
        return functional.layer_norm(mixed, (dim,), norm_weight, norm_bias, self.eps)

    def _workspace(self, children: ChildStates) -> tuple[Tensor, Tensor]:
        count, _, dim = children.shape
        return children.new_empty(count, self.module.hidden_dim), children.new_empty(count, 4 * dim)

    def _activations(
        self, children: ChildStates, random_bits: RandomBits | None, hidden: Tensor, gates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill ``hidden`` (M, 4 D), before the GELU, and ``gates`` (M, 4 D), before the sigmoids; return both."""
        hidden_weight, hidden_bias, gates_weight, gates_bias, _, _ = self.parameters
        torch.addmm(hidden_bias, children.view(len(children), -1), hidden_weight.T, out=hidden)
        active = functional.gelu(hidden)
        scale = 1.0
        if random_bits is not None:
            scale = 1 / (1 - self.module.dropout)
            active.mul_(dropout_mask(random_bits, self.module.dropout, active.dtype))
        torch.addmm(gates_bias, active, gates_weight.T, alpha=scale, out=gates)
        return hidden, gates

    def backward(self, rows: Rows, children: ChildStates, above: States, gradients: list[Tensor] | None) -> ChildStates:
        """Pull gradients back; see [`EngineCell.backward`][]."""
        cell, dim = self.module, children.shape[-1]
        hidden_weight, _, gates_weight, _, norm_weight, _ = self.parameters
        left, right = children.unbind(1)
        random_bits = None if self.random_bits is None else self.random_bits.index_select(0, rows)
        if self.keeps:
            hidden, gates = self.hidden.index_select(0, rows), self.gates.index_select(0, rows)
        else:
            hidden, gates = self._activations(children, random_bits, *self._workspace(children))
        gates = gates.view(-1, 4, dim)
        new, opened = gates[:, 3], gates[:, :3].sigmoid()

        centred, spread = standardize(mix(left, right, new, opened), self.eps)
        mixed = standardize_gradient(above * norm_weight, centred, spread)

        through = torch.stack([mixed * left, mixed * right, mixed * new], dim=1)
        gates[:, :3] = torch.ops.aten.sigmoid_backward(through, opened)
        torch.mul(mixed, opened[:, 2], out=gates[:, 3])
        of_gates = gates.view(-1, 4 * dim)

        active = functional.gelu(hidden)
        of_active = of_gates @ gates_weight
        if random_bits is not None:
            let_through = dropout_mask(random_bits, cell.dropout, hidden.dtype).mul_(1 / (1 - cell.dropout))
            active.mul_(let_through)
            of_active.mul_(let_through)
        of_hidden = torch.ops.aten.gelu_backward(of_active, hidden)
        if gradients is not None:
            to_hidden_weight, to_hidden_bias, to_gates_weight, to_gates_bias, to_norm_weight, to_norm_bias = gradients
            to_norm_weight.add_((above * centred).sum(0))
            to_norm_bias.add_(above.sum(0))
            to_gates_weight.addmm_(of_gates.T, active)
            to_gates_bias.add_(of_gates.sum(0))
            to_hidden_weight.addmm_(of_hidden.T, children.view(-1, 2 * dim))
            to_hidden_bias.add_(of_hidden.sum(0))
        return (of_hidden @ hidden_weight).view(-1, 2, dim).addcmul_(opened[:, :2], mixed.unsqueeze(1))


def mix(left: States, right: States, new: States, opened: Float[Tensor, "m 3 d"]) -> States:
    """Return ``sigmoid(a) l + sigmoid(b) r + sigmoid(c) z`` (M, D), where ``opened`` (M, 3, D) are the sigmoids."""
    return (opened[:, 0] * left).addcmul_(opened[:, 1], right).addcmul_(opened[:, 2], new)


def standardize(x: States, eps: float) -> tuple[States, Column]:
    """Return ``x`` (M, D) less its mean, over its standard deviation, and one over that deviation (M, 1)."""
    centred = x - x.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    return centred.mul_(spread), spread


def standardize_gradient(gradient: States, centred: States, spread: Column) -> States:
    """Pull a gradient back through the standardization."""
    along = (gradient * centred).mean(-1, keepdim=True)
    return (gradient - gradient.mean(-1, keepdim=True)).addcmul_(centred, along, value=-1).mul_(spread)
