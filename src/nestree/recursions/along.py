"""Folding along trees that are given: by the cell alone, whoever found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nestree.layers import GatedRecursiveCell
from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.replay import cell_gradient
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Draws, Sites
from nestree.trees import Tree


def check_trees(trees: Sequence[Tree], lengths: list[int], name: str = "along") -> None:
    """Make sure that there is a tree for each sequence, over as many leaves as it has tokens.

    Raises:
        ValueError: names ``name``.
    """
    if len(trees) != len(lengths):
        raise ValueError(f"{name} must be {len(lengths)} trees, one for each sequence, not {len(trees)}")
    for row, (tree, length) in enumerate(zip(trees, lengths, strict=True)):
        if tree.leaves != length:
            raise ValueError(
                f"{name}[{row}] must be a tree over {length} leaves, as the sequence has, not {tree.leaves}"
            )


class GivenNodes:
    """The nodes of one tree for each sequence: the leaves of all, then the merges, lowest first."""

    def __init__(self, trees: Sequence[Tree], device: torch.device) -> None:
        """Number the nodes; a tree's own are in its order."""
        leaves = sum(tree.leaves for tree in trees)
        merges: list[tuple[int, int, int, int]] = []  # (height, sequence, number of the merge in its tree, place)
        heights: list[list[int]] = []
        for sequence, tree in enumerate(trees):
            own = [0] * tree.leaves
            for number, (left, right) in enumerate(tree.merges):
                own.append(1 + max(own[left], own[right]))
                merges.append((own[-1], sequence, number, len(merges)))
            heights.append(own)
        self.rows: list[list[int]] = []
        """The row of every node of each tree: leaves, then merges."""
        start = 0
        for tree in trees:
            self.rows.append([*range(start, start + tree.leaves), *[0] * (tree.leaves - 1)])
            start += tree.leaves
        merges.sort()
        children: list[tuple[int, int]] = []
        for place, (_, sequence, number, _) in enumerate(merges):
            own, tree = self.rows[sequence], trees[sequence]
            left, right = tree.merges[number]
            children.append((own[left], own[right]))
            own[tree.leaves + number] = leaves + place
        self.children = torch.tensor(children, dtype=torch.int64, device=device).view(-1, 2)
        self.sequence = torch.tensor([sequence for _, sequence, _, _ in merges], dtype=torch.int64, device=device)
        self.number = torch.tensor([number for _, _, number, _ in merges], dtype=torch.int64, device=device)
        self.counts = torch.tensor([height for height, *_ in merges], dtype=torch.int64).bincount().tolist()[1:]
        self.roots = torch.tensor([own[-1] for own in self.rows], device=device)


def fold_along(
    cell: GatedRecursiveCell, leaves: Leaves, given: GivenNodes, *, training: bool, draws: Draws | None
) -> tuple[Tensor, NodeStore]:
    """Compose all nodes of given trees, height by height.

    Returns:
        The states (M, D) of leaves and nodes, which know their gradients, and the store that holds them.
    """
    packed = leaves.packed().to(cell.hidden.weight.dtype)
    parameters = list(cell.parameters())
    record = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (packed, *parameters))
    with torch.no_grad(), torch.autocast(packed.device.type, enabled=False):
        store = NodeStore(packed.detach(), len(packed) + len(given.children), cell, record=record)
        dropout = (draws or Draws()) if training and store.cell.mask_width else None
        parts = zip(*(of.split(given.counts) for of in (given.children, given.sequence, given.number)), strict=True)
        for children, sequence, number in parts if given.counts else ():
            random_bits = None
            if dropout is not None:
                sites = Sites(sequence, torch.zeros_like(sequence), 0)
                random_bits = dropout.random_bits(sites, 0, number, store.cell.mask_width)
            store.append(children[:, 0], children[:, 1], random_bits)
    if not record:
        return store.states, store
    return _GivenReplay.apply(store, packed, *parameters), store  # pyright: ignore[reportReturnType]


class _GivenReplay(torch.autograd.Function):
    """The states of all nodes of a store, as a function of the leaves and the cell's parameters."""

    @staticmethod
    def forward(ctx: Any, store: NodeStore, packed: Tensor, *parameters: Tensor) -> Tensor:
        ctx.store = store
        ctx.save_for_backward(*parameters)
        return store.states.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        store: NodeStore = ctx.store
        state_gradient = gradient.clone()
        roots = torch.arange(store.leaves, store.rows, device=gradient.device)
        of_cell = cell_gradient(store, roots, state_gradient)
        return None, state_gradient[: store.leaves], *of_cell
