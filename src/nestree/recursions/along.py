"""Folding along given trees, with the cell alone and no search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nestree.layers.cell import Cell, mask_width
from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.derivatives import refuse_transforms
from nestree.recursions.beam.engine.recomputed import fixed_weights, in_type_of, tensors_of
from nestree.recursions.beam.engine.recursion import Recorded
from nestree.recursions.beam.engine.replay import cell_gradient
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Draws, Sites, dropout_mask
from nestree.recursions.shapes import Children, RandomBits, TableStates
from nestree.trees import Tree


def check_trees(trees: Sequence[Tree], lengths: list[int], name: str = "along") -> None:
    """Check that there is one tree per sequence, with as many leaves as it has tokens.

    Raises:
        ValueError: there is not; calls the trees ``name``.
    """
    if len(trees) != len(lengths):
        raise ValueError(f"{name} must be {len(lengths)} trees, one for each sequence, not {len(trees)}")
    for row, (tree, length) in enumerate(zip(trees, lengths, strict=True)):
        if tree.leaves != length:
            raise ValueError(f"{name}[{row}] must be a tree over {length} leaves, one per token, not {tree.leaves}")


class GivenNodes:
    """The nodes of one tree per sequence: first the leaves of all trees, then their merges, lowest first."""

    def __init__(self, trees: Sequence[Tree], device: torch.device) -> None:
        """Number the nodes of ``trees``."""
        self.leaves = leaves = sum(tree.leaves for tree in trees)
        merges: list[tuple[int, int, int]] = []  # (height, sequence, number of the merge in its tree)
        heights: list[list[int]] = []
        for sequence, tree in enumerate(trees):
            own = [0] * tree.leaves
            for number, (left, right) in enumerate(tree.merges):
                own.append(1 + max(own[left], own[right]))
                merges.append((own[-1], sequence, number))
            heights.append(own)
        self.rows: list[list[int]] = []
        """The row of every node of each tree: its leaves, then its merges, in the tree's order."""
        start = 0
        for tree in trees:
            self.rows.append([*range(start, start + tree.leaves), *[0] * (tree.leaves - 1)])
            start += tree.leaves
        merges.sort()
        children: list[tuple[int, int]] = []
        for place, (_, sequence, number) in enumerate(merges):
            own, tree = self.rows[sequence], trees[sequence]
            left, right = tree.merges[number]
            children.append((own[left], own[right]))
            own[tree.leaves + number] = leaves + place
        self.children = torch.tensor(children, dtype=torch.int64, device=device).view(-1, 2)
        self.count = len(merges)
        none = self.children.new_zeros(leaves)
        self.left, self.right = (torch.cat([none, side]) for side in self.children.unbind(1))
        self.sequence = torch.tensor([sequence for _, sequence, _ in merges], dtype=torch.int64, device=device)
        self.number = torch.tensor([number for _, _, number in merges], dtype=torch.int64, device=device)
        self.counts = torch.tensor([height for height, *_ in merges], dtype=torch.int64).bincount().tolist()[1:]
        self.roots = torch.tensor([own[-1] for own in self.rows], device=device)


@dataclass(frozen=True)
class AlongTrees:
    """Composes the nodes of given trees, height by height."""

    cell: Cell
    training: bool
    draws: Draws | None

    @property
    def modules(self) -> tuple[Cell]:
        """The modules that hold the parameters."""
        return (self.cell,)

    @property
    def instead(self) -> str:
        """Advice for derivatives that [`fast`][] does not have, for error messages."""
        return 'use engine="naive"'

    def fast(self, leaves: Leaves, given: GivenNodes) -> TableStates:
        """Return the states (U, D) of leaves and nodes, with hand-written gradients over a node store."""
        refuse_transforms(self.instead)
        parameters = list(tensors_of(self.cell).values())
        packed = in_type_of(self.cell, leaves.packed())
        record = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (packed, *parameters))
        with torch.no_grad(), torch.autocast(packed.device.type, enabled=False), fixed_weights(self.cell):
            store = NodeStore(packed.detach(), len(packed) + given.count, self.cell, record=record)
            for children, random_bits in self._heights(given):
                store.append(children[:, 0], children[:, 1], random_bits)
        if not record:
            return store.states
        return ReplayGiven.apply(self, GivenStates(store), packed, *parameters)  # pyright: ignore[reportReturnType]

    def naive(self, leaves: Leaves, given: GivenNodes) -> TableStates:
        """Return the same with plain autograd, which supports every derivative."""
        nodes = list(in_type_of(self.cell, leaves.packed()))
        with torch.autocast(nodes[0].device.type, enabled=False), fixed_weights(self.cell):
            for children, random_bits in self._heights(given):
                left, right = (torch.stack([nodes[row] for row in side.tolist()]) for side in children.unbind(1))
                masks = []
                if random_bits is not None:
                    masks = [dropout_mask(random_bits, self.cell.dropout, left.dtype) / (1 - self.cell.dropout)]
                nodes.extend(self.cell(left, right, *masks))
        return torch.stack(nodes)

    def _heights(self, given: GivenNodes) -> Iterator[tuple[Children, RandomBits | None]]:
        """Yield, height by height, the children of the nodes and the random bits of their dropout masks."""
        width = mask_width(self.cell)
        dropout = (self.draws or Draws()) if self.training and width else None
        if not given.counts:
            return
        parts = (of.split(given.counts) for of in (given.children, given.sequence, given.number))
        for children, sequence, number in zip(*parts, strict=True):
            random_bits = None
            if dropout is not None:
                sites = Sites(sequence, torch.zeros_like(sequence), 0)
                random_bits = dropout.random_bits(sites, 0, number, width)
            yield children, random_bits


@dataclass(frozen=True)
class GivenStates:
    """The node states of given trees, as the outputs of [`ReplayGiven`][]."""

    store: NodeStore

    def outputs(self) -> TableStates:
        """Return the states of all nodes."""
        return self.store.states.clone()


class ReplayGiven(Recorded):
    """Gradients of the states of all nodes of a store."""

    @staticmethod
    def replay(  # pyright: ignore[reportIncompatibleMethodOverride]
        recursion: AlongTrees, result: GivenStates, gradient: TableStates, *, parameters: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Return the gradients of the packed leaves and of the parameters."""
        store, state_gradient = result.store, gradient.clone()
        composed = torch.arange(store.leaves, store.rows, device=gradient.device)
        of_cell = cell_gradient(store, composed, state_gradient)
        return [state_gradient[: store.leaves], *of_cell]
