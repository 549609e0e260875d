"""Scoring pairs by the parents that they would have: every pair is composed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from nestree.layers import ParentScorer
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.replay import ROWS_AT_ONCE
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
    TableStates,
)


class ParentScoring:
    """The scorer of parents; every node has its own logit, and is its pair's number. See `Scoring`."""

    composes_all: ClassVar[bool] = True

    def __init__(self, store: NodeStore, scorer: ParentScorer) -> None:
        """Begin with the leaves of ``store``."""
        self.store = store
        self.scorer = scorer
        self.logit = store.states.new_empty(store.capacity, 1)
        self.projected = 0
        """Rows that have their logit."""
        self._project()

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return all pairs, then the two beside every new node."""
        return (1 if leaves else beam_size) * (size - 1) + 2 * beam_size * max(0, merges - 1)

    @staticmethod
    def asked(beam_size: int) -> int:
        """Return two pairs a beam."""
        return 2 * beam_size

    def first(
        self, composer: Composer, frontier: Frontier, scores: BeamScores, sizes: list[int], history: History | None
    ) -> tuple[PairLogits, PairIndex | None]:
        """Compose all neighbouring items, and score the parents."""
        parents = composer.compose_neighbours(frontier, scores, sizes)
        return self._logits(parents), parents

    def node(
        self,
        composer: Composer,
        chosen: Chosen,
        pairs: PairIndex | None,
        step: int,
    ) -> KeptIndex:
        """Return the parents, which there are already."""
        assert pairs is not None
        return pairs.flatten(1).gather(1, chosen.beam * pairs.shape[2] + chosen.position + 1)

    def beside(
        self, composer: Composer, neighbours: Neighbours, going_on: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Compose the pairs beside every new node, and score the parents."""
        width = neighbours.left.shape[1]
        beam = torch.arange(width, device=neighbours.left.device).unsqueeze(-1)
        mask_index = (neighbours.column - 1) * composer.beam_size + beam
        absent = ~neighbours.exists | neighbours.absent.unsqueeze(-1)
        left, right, absent, mask_index = (
            of[:going_on].flatten(1) for of in (neighbours.left, neighbours.right, absent, mask_index)
        )
        parents = torch.zeros_like(neighbours.left)
        composed = composer.compose(left, right, absent, mask_index, step + 1)
        parents[:going_on] = composed.view(going_on, width, 2)
        return self._logits(parents), parents

    def count_pairs(self, history: History) -> int:
        """Return how many rows there are."""
        return self.store.rows

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of the parents' logits back."""
        store = self.store
        of_logits: Tensor | None = None
        for _, of_pairs in levels:  # from the top down: the highest level's numbers are the most
            if of_logits is None:
                of_logits = of_pairs.new_zeros(store.rows)
            of_logits[: len(of_pairs)] += of_pairs
        if of_logits is None:
            of_logits = state_gradient.new_zeros(store.rows)
        column = of_logits.to(state_gradient.dtype).unsqueeze(-1)
        state_gradient.addcmul_(column, self.scorer.score.weight)
        return [column.T @ store.states[: store.rows]], of_logits.nonzero().squeeze(-1)

    def slopes(self, histories: list[History]) -> ParentSlopes:
        """Differentiate the scorer at every node that was composed."""
        return ParentSlopes(self)

    def _logits(self, parents: Bits) -> Numbers:
        self._project()
        return self.logit[:, 0].take(parents)

    def _project(self) -> None:
        """Give the rows that are new their logit."""
        first, end = self.projected, self.store.rows
        if first < end:
            torch.mm(self.store.states[first:end], self.scorer.score.weight.T, out=self.logit[first:end])
            self.projected = end


class ParentSlopes:
    """See `Slopes`."""

    def __init__(self, scoring: ParentScoring) -> None:
        """Differentiate the scorer at every node that was composed."""
        store = scoring.store
        self.store = store
        self.weight = scoring.scorer.score.weight
        self.slope = store.states.new_zeros(store.rows, 2, store.states.shape[1])
        for part in self._composed():
            self.slope[part] = store.pull_back(part, self.weight.expand(len(part), -1), None)
        self.of_logits = store.states.new_zeros(store.rows)

    def pairs(self, choice: Choice, level: int) -> tuple[OnePairIndex, OnePairIndex, OnePairIndex]:
        """Return the parents and the children."""
        number = choice.pairs[:, 0].to(torch.int64)
        return number, self.store.left[number], self.store.right[number]

    def pull_back(
        self,
        number: OnePairIndex,
        left: OnePairIndex,
        right: OnePairIndex,
        of_logits: OnePairLogits,
        state_gradient: TableStates,
    ) -> None:
        """Note the gradients of logits, and pull them back to the children."""
        self.of_logits.index_add_(0, number.flatten(), of_logits.flatten())
        slope = self.slope[number] * of_logits[..., None, None]
        state_gradient.index_add_(0, torch.stack([left, right], dim=-1).flatten(), slope.flatten(0, 2))

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradient of the scorer's weight, and pull the logits' back through the cells."""
        for part in self._composed():
            self.store.pull_back(part, self.of_logits[part].unsqueeze(-1) * self.weight, of_cell)
        return [self.of_logits.unsqueeze(0) @ self.store.states[: self.store.rows]]

    def _composed(self) -> tuple[Rows, ...]:
        return torch.arange(self.store.leaves, self.store.rows, device=self.weight.device).split(ROWS_AT_ONCE)
