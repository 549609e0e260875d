"""The outer recursion over node numbers: search level by level, align between levels, replay on the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nestree.layers import Cell, GatedRecursiveCell, PairScorer, Scorer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.alignment import align
from nestree.recursions.beam.engine.backend import Backend, Nodes, TorchBackend
from nestree.recursions.beam.engine.constituents import constituent_scoring
from nestree.recursions.beam.engine.derivatives import first_derivative_only, refuse_transforms
from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.native import NativeBackend, serves
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
    """The beams that some groups or sequences end with."""

    nodes: BeamTable
    """(U, W) rows of the node store."""
    scores: BeamTableScores
    """(U, W) best first; -inf where there is no such beam."""


@dataclass(frozen=True)
class LevelTape:
    """How the scores of one level came about; groups as the level lists them."""

    history: Any
    """The backend's, where it records one."""
    by_size: GroupIndex
    """(G,) the level's groups, largest first, as the search had them."""
    order: KeptIndex
    """(G, W) the search's beams, best first."""
    slots: KeptIndex
    """(G, W) the sorted beam that each slot of the next level takes."""
    items: ItemIndex
    """(G, N) rows of the table below that each group's items are."""
    first_root_rows: GroupIndex
    """(G,) row of this level's table that each group's first root is: the one that bears the group's score."""
    rows: int
    """Rows of this level's table."""
    real: ItemFlags
    """(G, N) whether there is such an item."""
    last: Rows
    """Groups that are their sequences' last."""
    owner: Rows
    """The sequences of these."""


@dataclass(frozen=True)
class Forest:
    """What a search over a batch found."""

    backend: Backend
    beams: Beams
    """Of the B sequences."""
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
        """Return the roots."""
        return self.root()


@dataclass(frozen=True)
class BeamRecursion:
    """Everything a search needs besides its input; the fields are those of the naive one."""

    cell: Cell
    scorer: Scorer
    options: BeamSearch
    outer: Outer
    draws: SearchDraws
    training: bool
    temperature: float | None = None
    """For a straight-through gradient, with one beam: that of the softmax; None: gradients go through the scores."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""

    def __call__(self, leaves: Leaves) -> tuple[SequenceRoots, Forest]:
        """Return the roots (B, D), which know their gradients, and what was found."""
        forest, packed, parameters, record = self.found(leaves)
        if not record:
            return forest.root(), forest
        kind = Replay if self.temperature is None else StraightThrough
        root = kind.apply(self, forest, packed, *parameters)
        return root, forest  # pyright: ignore[reportReturnType]

    def found(self, leaves: Leaves) -> tuple[Forest, Packed, Sequence[Tensor], bool]:
        """Search without autograd.

        Returns:
            What was found; the packed leaves and the parameters that it is a function of; whether any of these wants
            a gradient.
        """
        refuse_transforms(self.instead)
        parameters = [*tensors_of(self.cell).values(), *tensors_of(self.scorer).values()]
        packed = in_type_of(self.cell, leaves.packed())
        record = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (packed, *parameters))
        # Autocast would change the type of products that are written into the store.
        with torch.no_grad(), torch.autocast(packed.device.type, enabled=False), fixed_weights(self.cell, self.scorer):
            forest = self.search(packed.detach(), leaves.lengths.host, record=record)
        return forest, packed, parameters, record

    @property
    def modules(self) -> tuple[Cell, Scorer]:
        """What has the parameters."""
        return self.cell, self.scorer

    @property
    def instead(self) -> str:
        """What has the derivatives that an engine does not have."""
        return 'use engine="naive"' if self.temperature is None else "a straight-through gradient has no other"

    def search(self, packed: Packed, lengths: list[int], *, record: bool) -> Forest:
        """Fold packed leaves (T, D) of sequences of these lengths."""
        levels = self.outer.levels(lengths, training=self.training)
        composed = sum(
            most_composed(self.scorer, self.options.beam_size, size, merges, leaves=number == 0)
            for number, level in enumerate(levels)
            for size, merges in zip(level.size, level.merges, strict=True)
        )
        backend = self.backend(packed, lengths, len(packed) + composed, record=record)
        device = packed.device
        ends = torch.tensor(lengths, device=device).cumsum(0)
        nodes = (ends - 1).unsqueeze(-1).expand(-1, self.options.beam_size).clone()  # right for sequences of one leaf
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

    def backend(self, packed: Packed, lengths: list[int], capacity: int, *, record: bool) -> Backend:
        """Return who searches and replays, over a store of at most ``capacity`` rows that begins with the leaves."""
        options, draws = self.options, self.draws
        wanted = options.engine == "fast" and not options.merge_equal and self.temperature is None
        wanted = wanted and self.together is None
        if wanted and serves(self.cell, self.scorer, packed, draws.noise, draws.dropout):
            cell, scorer = self.cell, self.scorer
            assert isinstance(cell, GatedRecursiveCell)
            assert isinstance(scorer, PairScorer)
            return NativeBackend(packed, lengths, capacity, cell, scorer, options.beam_size, draws, record=record)
        store = NodeStore(packed, capacity, self.cell, record=record, coded=options.merge_equal)
        scoring: Scoring = scoring_of(self.scorer, store)
        if self.together is not None:
            scoring = constituent_scoring(scoring, self.together, lengths)
        return TorchBackend(scoring, options.beam_size, draws)

    def fold(self, backend: Backend, table: Beams, level: Level, number: int) -> tuple[Beams, Beams, LevelTape]:
        """Fold one level's groups, whose items are rows of ``table``.

        Returns:
            The groups' beams, best first; the same aligned for the next level; and how they came about.
        """
        device = table.nodes.device
        # Groups that end earlier come later, and of those that end together those that have no choice at the end.
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
        present = (scores > -torch.inf).sum(-1).clamp_(min=1)  # scores that are NaN, too, go on to the root
        slots = align(scores, present, self.options.beam_size, self.outer, sites=sites, draws=self.draws.alignment)
        handed = [(group, root) for group, roots in enumerate(level.roots) for root in range(roots)]
        owner_of, root_of = torch.tensor(handed, device=device).unbind(1)
        first_root_rows = torch.tensor([row for row, (_, root) in enumerate(handed) if root == 0], device=device)
        # Subtract the best score: a shared offset cancels in the softmax, and large sums lose precision.
        table_scores = scores.new_zeros(len(handed), slots.shape[1])
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
            rows=len(handed),
            real=real,
            last=torch.tensor(last, dtype=torch.int64, device=device),
            owner=torch.tensor(owner, dtype=torch.int64, device=device),
        )
        return Beams(nodes[:, :, 0], scores), aligned, tape


@runtime_checkable
class Searching(Protocol):
    """What composes, and has the parameters."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """What has the parameters."""
        ...

    @property
    def instead(self) -> str:
        """What has the derivatives that an engine does not have."""
        ...


@runtime_checkable
class Result(Protocol):
    """What a search gives; its tensors are saved for the backward pass."""

    def outputs(self) -> Tensor | tuple[Tensor, ...]:
        """Return new tensors, which are to have gradients."""
        ...


class Recorded(torch.autograd.Function):
    """What a search gives, as a function of the leaves and the parameters.

    Backward uses what was saved and nothing else: the parameters are those of the search, whatever the modules hold by
    then, and autograd frees all of it.
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
    """Gradients through the selected merges alone: selection is hard."""

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
    """Gradients, for one beam, as of a straight-through Gumbel-softmax over the pairs."""

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
    """Yield, level by level from the highest, its history and what the backend keeps of its scores' gradient."""
    table_gradient: Tensor | None = None  # of the next level's items' scores, slot by slot
    for number in reversed(range(len(forest.tapes))):
        tape = forest.tapes[number]
        groups, slots = tape.slots.shape
        found = gradient.new_zeros(groups, slots)
        if table_gradient is not None:
            found.scatter_add_(1, tape.slots, table_gradient[tape.first_root_rows])
        found[tape.last] = gradient[tape.owner]  # a last group goes to no other level
        searched = torch.zeros_like(found).scatter_(1, tape.order, found)[tape.by_size]
        start, of_pairs = forest.backend.score_gradient(tape.history, searched)
        if number > 0:  # leaves have no scores
            start = torch.empty_like(start).index_copy_(0, tape.by_size, start)
            spread = start.unsqueeze(1) * tape.real.unsqueeze(-1)
            table_gradient = start.new_zeros(forest.tapes[number - 1].rows, slots)
            table_gradient.index_add_(0, tape.items.flatten(), spread.flatten(0, 1))
        yield tape.history, of_pairs
