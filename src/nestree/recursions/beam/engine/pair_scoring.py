"""Scoring of pairs by their children: only the chosen pairs are composed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nestree.layers.scorer import PairScorer, Scorer
from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.recomputed import Recomputed
from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.shapes import (
    BeamScores,
    BesideIndex,
    BesideLogits,
    Bits,
    Frontier,
    KeptIndex,
    Numbers,
    OnePairIndex,
    OnePairLogits,
    PairIndex,
    PairLogits,
    Rows,
    RowWeights,
    Slices,
    States,
    TableIndex,
    TableStates,
)

PAIRS_PER_CHUNK = 4096
"""Number of pairs per chunk in the backward pass, so that their activations stay in the processor's cache."""
PAIRS_PER_LAUNCH = 262_144
"""The same on an accelerator."""


class PairScoring(HoldsTensors, ABC):
    """The engine's form of a pair scorer. See [`Scoring`][nestree.recursions.beam.engine.scoring.Scoring]."""

    composes_all: ClassVar[bool] = False
    parameters: list[Tensor]
    """The scorer's parameters, in the order in which gradients are returned."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return one node per beam and merge."""
        return beam_size * merges

    @staticmethod
    def composed_per_step(beam_size: int) -> int:
        """Return one pair per beam."""
        return beam_size

    def first(
        self, composer: Composer, frontier: Frontier, scores: BeamScores, sizes: list[int], history: History | None
    ) -> tuple[PairLogits, PairIndex | None]:
        """Score all neighbouring items."""
        return self._score(frontier[..., :-1], frontier[..., 1:], history)

    def node(
        self,
        composer: Composer,
        chosen: Chosen,
        pairs: PairIndex | None,
        step: int,
    ) -> KeptIndex:
        """Compose the pairs that were chosen."""
        mask_index = torch.arange(chosen.beam.shape[1], device=chosen.beam.device).expand_as(chosen.beam)
        return composer.compose(chosen.left, chosen.right, chosen.absent, mask_index, step)

    def beside(
        self, composer: Composer, neighbours: Neighbours, unfinished: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Score the pairs next to every new node."""
        return self._score(neighbours.left, neighbours.right, history)

    def count_pairs(self, history: History) -> int:
        """Return the number of recorded pairs."""
        return history.pairs

    @abstractmethod
    def logits(self, left: Bits, right: Bits) -> Numbers:
        """Return the logits of pairs of rows, of any shape; equal pairs have equal logits."""

    @abstractmethod
    def pull_back(
        self, left: Rows, right: Rows, gradient: RowWeights, state_gradient: TableStates | None
    ) -> list[Tensor]:
        """Pull the gradients of pairs' logits back into the scorer and, adding to ``state_gradient``, the children.

        Args:
            left: (M,) left children.
            right: (M,) right children.
            gradient: (M,) gradients of the pairs' logits.
            state_gradient: (U, D), added to in place; None: the children's gradients are added elsewhere.

        Returns:
            Gradients of the scorer's parameters.
        """

    @abstractmethod
    def slope(self, left: Rows, right: Rows) -> tuple[States, States]:
        """Return the derivatives of pairs' logits with respect to the features read of the left and right children."""

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of the distinct pairs back."""
        left, right, gradients = [], [], []
        for history, of_pairs in levels:
            gradients.append(of_pairs)
            left.extend(history.pair_left)
            right.extend(history.pair_right)
        none = self.store.left.new_zeros(0)
        if not gradients:
            return self.pull_back(none, none, state_gradient.new_zeros(0), state_gradient), none
        pairs = torch.cat(left), torch.cat(right), torch.cat(gradients)
        if devices.on_host(none.device):
            pairs = _distinct(*pairs, self.store.capacity)
        return self.pull_back(*pairs, state_gradient), none

    def slopes(self, histories: list[History]) -> PairSlopes:
        """Differentiate the scorer at every scored pair."""
        return PairSlopes(self, histories)

    def _score(self, left: Bits, right: Bits, history: History | None) -> tuple[Numbers, Bits | None]:
        return self.logits(left, right), None if history is None else history.log_pairs(left, right)


class FusedPairScoring(PairScoring):
    """[`PairScorer`][nestree.layers.scorer.PairScorer], with hand-written gradients.

    A pair's hidden layer is the sum of two halves, which are computed once per node.
    """

    def __init__(self, store: NodeStore, scorer: PairScorer) -> None:
        super().__init__(store)
        self.scorer = scorer
        self.parameters = [*scorer.parameters()]
        self.left_half = store.states.new_empty(store.capacity, scorer.width)
        self.right_half = torch.empty_like(self.left_half)
        self.projected = 0
        """Number of rows whose halves are computed."""
        self._project()

    def logits(self, left: Bits, right: Bits) -> Numbers:
        """Return the logits of pairs of rows."""
        self._project()
        return functional.gelu(self._hidden(left, right)).mul_(self.parameters[2][0]).sum(-1).view(left.shape)

    def pull_back(
        self, left: Rows, right: Rows, gradient: RowWeights, state_gradient: TableStates | None
    ) -> list[Tensor]:
        """Pull the gradients of pairs' logits back; see [`PairScoring.pull_back`][]."""
        weight, bias, of_score = self.parameters
        rows, width = self.store.rows, self.scorer.width
        score_weight, of_bias = torch.zeros_like(of_score), torch.zeros_like(bias)
        halves = self.left_half.new_zeros(rows, 2 * width)
        for own_left, own_right, above in _pieces(left, right, gradient):
            hidden, above = self._hidden(own_left, own_right), above.to(halves.dtype).unsqueeze(-1)
            score_weight += (functional.gelu(hidden) * above).sum(0, keepdim=True)
            hidden_gradient = torch.ops.aten.gelu_backward(above * of_score, hidden)
            of_bias += hidden_gradient.sum(0)
            halves[:, :width].index_add_(0, own_left, hidden_gradient)
            halves[:, width:].index_add_(0, own_right, hidden_gradient)
        seen = self.store.states[:rows, :width]
        if state_gradient is not None:
            state_gradient[:, :width].addmm_(halves[:, :width], weight[:, :width])
            state_gradient[:, :width].addmm_(halves[:, width:], weight[:, width:])
        hidden_weight = torch.cat([halves[:, :width].T @ seen, halves[:, width:].T @ seen], dim=1)
        return [hidden_weight, of_bias, score_weight]

    def slope(self, left: Rows, right: Rows) -> tuple[Slices, Slices]:
        """Return the derivatives, each (M, S)."""
        weight, _, of_score = self.parameters
        width = self.scorer.width
        hidden = self._hidden(left, right)
        slope = torch.ops.aten.gelu_backward(of_score.expand_as(hidden), hidden)
        return slope @ weight[:, :width], slope @ weight[:, width:]

    def _hidden(self, left: Bits, right: Bits) -> Slices:
        return self.left_half.index_select(0, left.flatten()).add_(self.right_half.index_select(0, right.flatten()))

    def _project(self) -> None:
        """Compute the halves of new rows."""
        first, end = self.projected, self.store.rows
        if first == end:
            return
        weight, bias, _ = self.parameters
        width = self.scorer.width
        seen = self.store.states[first:end, :width]
        torch.addmm(bias, seen, weight[:, :width].T, out=self.left_half[first:end])
        torch.mm(seen, weight[:, width:].T, out=self.right_half[first:end])
        self.projected = end


class AnyPairScoring(PairScoring):
    """Any pair scorer, by its own ``forward``, which is recomputed with autograd for the gradients."""

    def __init__(self, store: NodeStore, scorer: Scorer) -> None:
        super().__init__(store)
        self.recomputed = Recomputed(scorer, record=store.record)
        self.parameters = self.recomputed.parameters

    def logits(self, left: Bits, right: Bits) -> Numbers:
        """Return the logits of pairs of rows; on a CPU each distinct pair is scored once."""
        shape, capacity = left.shape, self.store.capacity
        left, right = left.flatten(), right.flatten()
        if not devices.on_host(left.device):
            return self._ask(left, right).view(shape)
        pairs, place = (left * capacity + right).unique(return_inverse=True)
        return self._ask(pairs // capacity, pairs % capacity).take(place).view(shape)

    def pull_back(
        self, left: Rows, right: Rows, gradient: RowWeights, state_gradient: TableStates | None
    ) -> list[Tensor]:
        """Pull the gradients of pairs' logits back; see [`PairScoring.pull_back`][]."""
        gradients = [torch.zeros_like(parameter) for parameter in self.parameters]
        states = self.store.states
        for own_left, own_right, above in _pieces(left, right, gradient):
            children = [states.index_select(0, side) for side in (own_left, own_right)]
            of_children = self.recomputed.pull_back(children, (), above, gradients)
            if state_gradient is not None:
                for side, below in zip((own_left, own_right), of_children, strict=True):
                    state_gradient.index_add_(0, side, below)
        return gradients

    def slope(self, left: Rows, right: Rows) -> tuple[States, States]:
        """Return the derivatives, each (M, D)."""
        states = self.store.states
        found = [
            self.recomputed.pull_back([states[own_left], states[own_right]], (), states.new_ones(len(own_left)), None)
            for own_left, own_right in _pieces(left, right)
        ]
        none = states.new_zeros(0, states.shape[1])
        of_left, of_right = (torch.cat([none, *(pair[side] for pair in found)]) for side in (0, 1))
        return of_left, of_right

    def _ask(self, left: Rows, right: Rows) -> RowWeights:
        states = self.store.states
        return self.recomputed(states.index_select(0, left), states.index_select(0, right))


def _pieces(*columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split columns of equal length into chunks."""
    if len(columns[0]):
        size = PAIRS_PER_CHUNK if devices.on_host(columns[0].device) else PAIRS_PER_LAUNCH
        yield from zip(*(column.split(size) for column in columns), strict=True)


def _distinct(
    left: TableIndex, right: TableIndex, gradient: Float[Tensor, " u"], capacity: int
) -> tuple[Rows, Rows, RowWeights]:
    """Add up the gradients of equal pairs, and drop pairs whose gradient is zero."""
    some = gradient.nonzero().squeeze(-1)
    keys, position = (left[some] * capacity + right[some]).unique(return_inverse=True)
    total = gradient.new_zeros(len(keys)).index_add_(0, position, gradient[some])
    return keys // capacity, keys % capacity, total


class PairSlopes:
    """See [`Slopes`][nestree.recursions.beam.engine.scoring.Slopes]."""

    def __init__(self, scoring: PairScoring, histories: list[History]) -> None:
        """Differentiate the scorer at every pair in the levels' histories."""
        counts = [history.pairs for history in histories]
        self.scoring = scoring
        self.first = [sum(counts[:level]) for level in range(len(counts))]
        empty = scoring.store.left.new_zeros(0)
        self.left = torch.cat([empty, *(part for history in histories for part in history.pair_left)])
        self.right = torch.cat([empty, *(part for history in histories for part in history.pair_right)])
        self.of_left, self.of_right = scoring.slope(self.left, self.right)
        self.of_logits = self.of_left.new_zeros(len(self.left))

    def pairs(self, choice: Choice, level: int) -> tuple[OnePairIndex, OnePairIndex, OnePairIndex]:
        """Return indices into the pairs of all levels, and the children."""
        number = choice.pairs[:, 0].to(torch.int64) + self.first[level]
        return number, self.left[number], self.right[number]

    def pull_back(
        self,
        number: OnePairIndex,
        left: OnePairIndex,
        right: OnePairIndex,
        of_logits: OnePairLogits,
        state_gradient: TableStates,
    ) -> None:
        """Record the gradients of logits, and pull them back to the children."""
        self.of_logits.index_add_(0, number.flatten(), of_logits.flatten())
        seen = state_gradient[:, : self.of_left.shape[1]]
        for side, slope in ((left, self.of_left), (right, self.of_right)):
            seen.index_add_(0, side.flatten(), (slope[number] * of_logits.unsqueeze(-1)).flatten(0, 1))

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradients of the scorer's parameters."""
        return self.scoring.pull_back(self.left, self.right, self.of_logits, None)
