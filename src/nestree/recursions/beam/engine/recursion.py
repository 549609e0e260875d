"""The outer recursion over node numbers: search level by level, align between levels, replay for gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nestree.layers import Cell, PairScorer, Scorer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.alignment import align
from nestree.recursions.beam.engine.backend import Backend, Nodes, TorchBackend
from nestree.recursions.beam.engine.compiled import NativeBackend, serves
from nestree.recursions.beam.engine.constituents import constituent_scoring
from nestree.recursions.beam.engine.derivatives import first_derivative_only, refuse_transforms
from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.recomputed import fixed_weights, in_type_of, tensors_of
from nestree.recursions.beam.engine.saved import flatten_tensors, unflatten_tensors
from nestree.recursions.beam.engine.scoring import Scoring, most_composed, scoring_of
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.beam.engine.straight_through import straight_through_gradient
from nestree.recursions.beam.options import BeamSearch
from nestree.recursions.draws import SearchDraws, Sites
from nestree.recursions.outer import Level, Outer
from nestree.recursions.shapes import (
    BeamTable,
    BeamTableScores,
    GroupIndex,
    ItemFlags,
    ItemIndex,
    KeptIndex,
    Packed,
    Rows,
    SequenceRoots,
    SequenceWeights,
)
from nestree.trees import Span


@dataclass(frozen=True)
class Beams:
    """The final beams of groups or sequences."""

    nodes: BeamTable
    """(U, W) rows of the node store."""
    scores: BeamTableScores
    """(U, W) best first; -inf where there are fewer beams."""


@dataclass(frozen=True)
class LevelTape:
    """Record of how the scores of one level were computed; groups in the level's order unless noted."""

    history: Any
    """The backend's history, if it recorded one."""
    by_size: GroupIndex
    """(G,) the level's groups in the order of the search, largest first."""
    order: KeptIndex
    """(G, W) indices of the search's beams, best first."""
    slots: KeptIndex
    """(G, W) the sorted beam that fills each slot of the next level."""
    items: ItemIndex
    """(G, N) rows of each group's items in the table of the level below."""
    first_root_rows: GroupIndex
    """(G,) row of each group's first root in this level's table; that row carries the group's score."""
    rows: int
    """Number of rows of this level's table."""
    real: ItemFlags
    """(G, N) whether the group has this item."""
    last: Rows
    """Groups whose root is that of their sequence."""
    owner: Rows
    """The sequences of the ``last`` groups."""


@dataclass(frozen=True)
class Forest:
    """The result of a search over a batch."""

    backend: Backend
    beams: Beams
    """The final beams of the B sequences."""
    tapes: list[LevelTape]

    @property
    def store(self) -> Nodes:
        """All nodes."""
        return self.backend.store

    def weights(self) -> SequenceWeights:
        """Return ``softmax(score)`` (B, W)."""
        return self.beams.scores.softmax(-1)

    def root(self) -> SequenceRoots:
        """Return the expected root of each sequence, (B, D)."""
        states = self.store.states[self.beams.nodes]
        with torch.autocast(states.device.type, enabled=False):  # a root is as precise as the states
            return (self.weights().to(states.dtype).unsqueeze(1) @ states).squeeze(1)

    def outputs(self) -> SequenceRoots:
        """Return the expected roots, as the outputs of [`Replay`][]."""
        return self.root()


@dataclass(frozen=True)
class BeamRecursion:
    """A search over a batch: everything except its input; the fields are those of the naive implementation."""

    cell: Cell
    scorer: Scorer
    options: BeamSearch
    outer: Outer
    draws: SearchDraws
    training: bool
    temperature: float | None = None
    """Temperature of a straight-through softmax, with one beam; None: gradients go through the scores."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""

    def __call__(self, leaves: Leaves) -> tuple[SequenceRoots, Forest]:
        """Return the roots (B, D), which are differentiable, and the result of the search."""
        forest, packed, parameters, record = self.found(leaves)
        if not record:
            return forest.root(), forest
        kind = Replay if self.temperature is None else StraightThrough
        root = kind.apply(self, forest, packed, *parameters)
        return root, forest  # pyright: ignore[reportReturnType]

    def found(self, leaves: Leaves) -> tuple[Forest, Packed, Sequence[Tensor], bool]:
        """Search without autograd.

        Returns:
            The result; the packed leaves and the parameters that it depends on; whether any of these requires a
            gradient.
        """
        refuse_transforms(self.instead)
        parameters = [*tensors_of(self.cell).values(), *tensors_of(self.scorer).values()]
        packed = in_type_of(self.cell, leaves.packed())
        record = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (packed, *parameters))
        bfloat16 = _in_bfloat16(packed.device.type)
        # Autocast would change the dtype of products that are written into the store.
        with torch.no_grad(), torch.autocast(packed.device.type, enabled=False), fixed_weights(self.cell, self.scorer):
            forest = self.search(packed.detach(), leaves.lengths.host, record=record, bfloat16=bfloat16)
        return forest, packed, parameters, record

    @property
    def modules(self) -> tuple[Cell, Scorer]:
        """The modules that hold the parameters."""
        return self.cell, self.scorer

    @property
    def instead(self) -> str:
        """Advice for derivatives that the engine does not support, for error messages."""
        return 'use engine="naive"' if self.temperature is None else "a straight-through gradient is first-order only"

    def search(self, packed: Packed, lengths: list[int], *, record: bool, bfloat16: bool = False) -> Forest:
        """Fold packed leaves (T, D) of sequences of these lengths; see [`backend`][]."""
        levels = self.outer.levels(lengths, training=self.training)
        composed = sum(
            most_composed(self.scorer, self.options.beam_size, size, merges, leaves=number == 0)
            for number, level in enumerate(levels)
            for size, merges in zip(level.size, level.merges, strict=True)
        )
        backend = self.backend(packed, lengths, len(packed) + composed, record=record, bfloat16=bfloat16)
        device = packed.device
        ends = torch.tensor(lengths, device=device).cumsum(0)
        nodes = (ends - 1).unsqueeze(-1).expand(-1, self.options.beam_size).clone()  # final for sequences of one leaf
        dtype = torch.promote_types(packed.dtype, torch.float32)
        scores = packed.new_full(nodes.shape, -torch.inf, dtype=dtype)
        scores[:, 0] = 0
        table = Beams(torch.arange(len(packed), device=device).unsqueeze(-1), scores.new_zeros(len(packed), 1))
        tapes: list[LevelTape] = []
        for number, level in enumerate(levels):
            found, table, tape = self.fold(backend, table, level, number)
            nodes[tape.owner] = found.nodes[tape.last]
            scores[tape.owner] = found.scores[tape.last]
            if record:
                tapes.append(tape)
        return Forest(backend, Beams(nodes, scores), tapes)

    def backend(
        self, packed: Packed, lengths: list[int], capacity: int, *, record: bool, bfloat16: bool = False
    ) -> Backend:
        """Return the backend, with a store that starts with the leaves and has at most ``capacity`` rows.

        With ``bfloat16``, the cell's products may round their factors to it; PyTorch's operations do not, as that would
        make them slower.
        """
        options, draws = self.options, self.draws
        native = options.engine == "fast" and not options.merge_equal and self.temperature is None
        native = native and self.together is None
        if native and serves(self.cell, self.scorer, packed, draws.noise, draws.dropout):
            assert isinstance(self.scorer, PairScorer)
            parts = self.cell, self.scorer
            return NativeBackend(
                packed, lengths, capacity, *parts, options.beam_size, draws, record=record, bfloat16=bfloat16
            )
        store = NodeStore(packed, capacity, self.cell, record=record, coded=options.merge_equal)
        scoring: Scoring = scoring_of(self.scorer, store)
        if self.together is not None:
            scoring = constituent_scoring(scoring, self.together, lengths)
        return TorchBackend(scoring, options.beam_size, draws)

    def fold(self, backend: Backend, table: Beams, level: Level, number: int) -> tuple[Beams, Beams, LevelTape]:
        """Fold one level's groups, whose items are rows of ``table``.

        Returns:
            The groups' beams, best first; the same, aligned for the next level; and the record for the replay.
        """
        device = table.nodes.device
        # Groups that finish earlier come later; among those that finish together, so do those folded to fewer roots.
        by_size = sorted(range(len(level)), key=lambda group: (-level.merges[group], -level.roots[group]))
        groups = torch.tensor(by_size, device=device)
        size = torch.tensor(level.size, device=device)
        first = torch.tensor(level.first, device=device)
        place = torch.arange(level.largest, device=device)
        real = place < size.unsqueeze(-1)
        items = (first.unsqueeze(-1) + place).clamp_(max=len(table.nodes) - 1)
        start = (table.scores[items] * real.unsqueeze(-1)).sum(1)
        sites = Sites(torch.tensor(level.sequence, device=device), torch.tensor(level.group, device=device), number)
        result = backend.search(
            table.nodes[items[groups]].transpose(1, 2),
            start[groups],
            [level.size[group] for group in by_size],
            [level.roots[group] for group in by_size],
            sites.take(groups),
        )
        scores = torch.empty_like(result.scores).index_copy_(0, groups, result.scores)
        nodes = torch.empty_like(result.nodes).index_copy_(0, groups, result.nodes)
        scores, order = scores.sort(stable=True, dim=-1, descending=True)
        nodes = nodes.gather(1, order.unsqueeze(-1).expand_as(nodes))
        present = (scores > -torch.inf).sum(-1).clamp_(min=1)  # NaN scores must also reach the root
        slots = align(scores, present, self.options.beam_size, self.outer, sites=sites, draws=self.draws.alignment)
        group_roots = [(group, root) for group, roots in enumerate(level.roots) for root in range(roots)]
        owner_of, root_of = torch.tensor(group_roots, device=device).unbind(1)
        first_root_rows = torch.tensor([row for row, (_, root) in enumerate(group_roots) if root == 0], device=device)
        # Subtract the best score: a shared offset cancels in the softmax, and large sums lose precision.
        table_scores = scores.new_zeros(len(group_roots), slots.shape[1])
        table_scores[first_root_rows] = scores.gather(-1, slots) - scores[:, :1]
        aligned = Beams(nodes[owner_of.unsqueeze(-1), slots[owner_of], root_of.unsqueeze(-1)], table_scores)
        last = [group for group, is_last in enumerate(level.last) if is_last]
        owner = [level.sequence[group] for group in last]
        tape = LevelTape(
            history=result.history,
            by_size=groups,
            order=order,
            slots=slots,
            items=items,
            first_root_rows=first_root_rows,
            rows=len(group_roots),
            real=real,
            last=torch.tensor(last, dtype=torch.int64, device=device),
            owner=torch.tensor(owner, dtype=torch.int64, device=device),
        )
        return Beams(nodes[:, :, 0], scores), aligned, tape


def _in_bfloat16(device: str) -> bool:
    """Return whether autocast to bfloat16 is on."""
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) is torch.bfloat16


@runtime_checkable
class Searching(Protocol):
    """A search, or a fold along given trees, whose results [`Recorded`][] makes differentiable."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that hold the parameters."""
        ...

    @property
    def instead(self) -> str:
        """Advice for derivatives that are not supported, for error messages."""
        ...


@runtime_checkable
class Result(Protocol):
    """The result of a search; its tensors are saved for the backward pass."""

    def outputs(self) -> Tensor | tuple[Tensor, ...]:
        """Return new tensors, the differentiable outputs."""
        ...


class Recorded(torch.autograd.Function):
    """The outputs of a search, as a differentiable function of the leaves and the parameters.

    Backward uses only saved tensors: the parameters are those of the search, even if the modules hold others by then,
    and autograd frees everything.
    """

    @staticmethod
    def forward(
        ctx: Any, recursion: Searching, result: Result, packed: Packed, *parameters: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Return the outputs of ``result``."""
        ctx.recursion, ctx.count = recursion, len(parameters)
        ctx.result, tensors = flatten_tensors(result, parameters)
        ctx.save_for_backward(*tensors)
        return result.outputs()

    @classmethod
    def backward(cls, ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradients of the packed leaves and of every parameter."""
        recursion: Searching = ctx.recursion
        saved, device = ctx.saved_tensors, gradients[0].device.type
        with torch.no_grad(), torch.autocast(device, enabled=False), fixed_weights(*recursion.modules):
            result = unflatten_tensors(ctx.result, saved)
            found = cls.replay(recursion, result, *gradients, parameters=saved[: ctx.count])
        return None, None, *first_derivative_only(found, recursion.instead)

    @staticmethod
    def replay(recursion: Any, result: Any, *gradients: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the gradients of the packed leaves and of the parameters, given those of the outputs."""
        raise NotImplementedError


class Replay(Recorded):
    """Gradients through the selected merges only: selection is hard."""

    @staticmethod
    def replay(  # pyright: ignore[reportIncompatibleMethodOverride]
        recursion: BeamRecursion, forest: Forest, gradient: SequenceRoots, *, parameters: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Return the gradients of the packed leaves and of the parameters."""
        nodes, weights = forest.beams.nodes, forest.weights()
        along = (forest.store.states[nodes] * gradient.unsqueeze(1)).sum(-1).to(weights.dtype)
        of_scores = weights * (along - (weights * along).sum(-1, keepdim=True))
        outside = weights.to(gradient.dtype).unsqueeze(-1) * gradient.unsqueeze(1)
        levels = level_gradients(forest, of_scores)
        of_leaves, of_parameters = forest.backend.gradient(levels, nodes, outside, parameters)
        return [of_leaves, *of_parameters]


class StraightThrough(Recorded):
    """Gradients of a single beam as in a straight-through Gumbel-softmax over the pairs."""

    @staticmethod
    def replay(  # pyright: ignore[reportIncompatibleMethodOverride]
        recursion: BeamRecursion, forest: Forest, gradient: SequenceRoots, *, parameters: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Return the gradients of the packed leaves and of the parameters."""
        assert isinstance(forest.backend, TorchBackend)
        assert recursion.temperature is not None
        store = forest.backend.store
        state_gradient = store.states.new_zeros(store.rows, gradient.shape[-1])
        state_gradient.index_add_(0, forest.beams.nodes[:, 0], gradient)
        histories = [tape.history or History() for tape in forest.tapes]
        of_parameters = straight_through_gradient(
            forest.backend.scoring, histories, recursion.temperature, state_gradient
        )
        return [state_gradient[: store.leaves], *of_parameters]


def level_gradients(forest: Forest, gradient: SequenceWeights) -> Iterator[tuple[Any, Any]]:
    """Yield, from the highest level down, each level's history and the backend's gradients for its pairs."""
    table_gradient: Tensor | None = None  # gradient of the next level's item scores, by slot
    for number in reversed(range(len(forest.tapes))):
        tape = forest.tapes[number]
        groups, slots = tape.slots.shape
        found = gradient.new_zeros(groups, slots)
        if table_gradient is not None:
            found.scatter_add_(1, tape.slots, table_gradient[tape.first_root_rows])
        found[tape.last] = gradient[tape.owner]  # a last group has no next level
        searched = torch.zeros_like(found).scatter_(1, tape.order, found)[tape.by_size]
        start, of_pairs = forest.backend.score_gradient(tape.history, searched)
        if number > 0:  # leaves have no scores
            start = torch.empty_like(start).index_copy_(0, tape.by_size, start)
            spread = start.unsqueeze(1) * tape.real.unsqueeze(-1)
            table_gradient = start.new_zeros(forest.tapes[number - 1].rows, slots)
            table_gradient.index_add_(0, tape.items.flatten(), spread.flatten(0, 1))
        yield tape.history, of_pairs
