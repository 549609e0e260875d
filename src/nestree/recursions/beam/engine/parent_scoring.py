"""Scoring of pairs by the parents that they would have: every pair is composed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from nestree.layers.scorer import ParentScorer, Scorer
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.recomputed import Recomputed
from nestree.recursions.beam.engine.replay import chunks
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
    States,
    TableStates,
)


class ParentScoring(HoldsTensors, ABC):
    """The engine's form of a parent scorer; a pair is identified by the row of its parent.

    See [`Scoring`][nestree.recursions.beam.engine.scoring.Scoring].
    """

    composes_all: ClassVar[bool] = True
    parameters: list[Tensor]
    """The scorer's parameters, in the order in which gradients are returned."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store
        self.logit = store.states.new_empty(store.capacity, 1)
        self.projected = 0
        """Number of rows whose logit is computed."""

    @abstractmethod
    def score(self, states: States) -> RowWeights:
        """Return the logits (M,) of states (M, D)."""

    @abstractmethod
    def pull_back(self, rows: Rows, of_logits: RowWeights, gradients: list[Tensor] | None) -> States:
        """Pull the gradients (M,) of the logits of ``rows`` (M,) back to their states, (M, D).

        The parameters' gradients are added to ``gradients``, unless it is None.
        """

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return the number of all pairs, plus two for every new node."""
        return (1 if leaves else beam_size) * (size - 1) + 2 * beam_size * max(0, merges - 1)

    @staticmethod
    def composed_per_step(beam_size: int) -> int:
        """Return two pairs per beam."""
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
        """Return the parents, which are composed already."""
        assert pairs is not None
        return pairs.flatten(1).gather(1, chosen.beam * pairs.shape[2] + chosen.position + 1)

    def beside(
        self, composer: Composer, neighbours: Neighbours, unfinished: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Compose the pairs next to every new node, and score the parents."""
        width = neighbours.left.shape[1]
        beam = torch.arange(width, device=neighbours.left.device).unsqueeze(-1)
        mask_index = (neighbours.column - 1) * composer.beam_size + beam
        absent = ~neighbours.exists | neighbours.absent.unsqueeze(-1)
        left, right, absent, mask_index = (
            of[:unfinished].flatten(1) for of in (neighbours.left, neighbours.right, absent, mask_index)
        )
        parents = torch.zeros_like(neighbours.left)
        composed = composer.compose(left, right, absent, mask_index, step + 1)
        parents[:unfinished] = composed.view(unfinished, width, 2)
        return self._logits(parents), parents

    def count_pairs(self, history: History) -> int:
        """Return the number of rows."""
        return self.store.rows

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of the parents' logits back."""
        store = self.store
        of_logits: Tensor | None = None
        for _, of_pairs in levels:  # from the top down: the highest level has the most rows
            if of_logits is None:
                of_logits = of_pairs.new_zeros(store.rows)
            of_logits[: len(of_pairs)] += of_pairs
        if of_logits is None:
            of_logits = state_gradient.new_zeros(store.rows)
        scored = of_logits.nonzero().squeeze(-1)
        return self.pull_all_back(scored, of_logits, state_gradient), scored

    def pull_all_back(self, rows: Rows, of_logits: Float[Tensor, " u"], state_gradient: TableStates) -> list[Tensor]:
        """Pull the gradients of logits (U,), at ``rows`` (M,), back into the scorer and the states."""
        gradients = [torch.zeros_like(parameter) for parameter in self.parameters]
        for part in chunks(rows):
            above = of_logits[part].to(state_gradient.dtype)
            state_gradient.index_add_(0, part, self.pull_back(part, above, gradients))
        return gradients

    def slopes(self, histories: list[History]) -> ParentSlopes:
        """Differentiate the scorer at every composed node."""
        return ParentSlopes(self)

    def _logits(self, parents: Bits) -> Numbers:
        self._project()
        return self.logit[:, 0].take(parents)

    def _project(self) -> None:
        """Compute the logits of new rows."""
        first, end = self.projected, self.store.rows
        if first < end:
            self.logit[first:end, 0] = self.score(self.store.states[first:end])
            self.projected = end


class FusedParentScoring(ParentScoring):
    """[`ParentScorer`][nestree.layers.scorer.ParentScorer], with hand-written gradients."""

    def __init__(self, store: NodeStore, scorer: ParentScorer) -> None:
        super().__init__(store)
        self.parameters = [*scorer.parameters()]

    def score(self, states: States) -> RowWeights:
        """Return the logits of states."""
        return (states @ self.parameters[0].T).squeeze(-1)

    def pull_back(self, rows: Rows, of_logits: RowWeights, gradients: list[Tensor] | None) -> States:
        """Pull the gradients of logits back; see [`ParentScoring.pull_back`][]."""
        column = of_logits.unsqueeze(-1)
        if gradients is not None:
            gradients[0].addmm_(column.T, self.store.states[rows])
        return column * self.parameters[0]


class AnyParentScoring(ParentScoring):
    """Any parent scorer, by its own ``forward``, which is recomputed with autograd for the gradients."""

    def __init__(self, store: NodeStore, scorer: Scorer) -> None:
        super().__init__(store)
        self.recomputed = Recomputed(scorer, record=store.record)
        self.parameters = self.recomputed.parameters

    def score(self, states: States) -> RowWeights:
        """Return the logits of states."""
        return self.recomputed(states)

    def pull_back(self, rows: Rows, of_logits: RowWeights, gradients: list[Tensor] | None) -> States:
        """Pull the gradients of logits back; see [`ParentScoring.pull_back`][]."""
        return self.recomputed.pull_back([self.store.states[rows]], (), of_logits, gradients)[0]


class ParentSlopes:
    """See [`Slopes`][nestree.recursions.beam.engine.scoring.Slopes]."""

    def __init__(self, scoring: ParentScoring) -> None:
        store = scoring.store
        self.scoring = scoring
        self.store = store
        self.slope = store.states.new_zeros(store.rows, 2, store.states.shape[1])
        self.of_logits = store.states.new_zeros(store.rows)
        for part in self._composed():
            self.slope[part] = store.pull_back(
                part, scoring.pull_back(part, store.states.new_ones(len(part)), None), None
            )

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
        """Record the gradients of logits, and pull them back to the children."""
        self.of_logits.index_add_(0, number.flatten(), of_logits.flatten())
        slope = self.slope[number] * of_logits[..., None, None]
        state_gradient.index_add_(0, torch.stack([left, right], dim=-1).flatten(), slope.flatten(0, 2))

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradients of the scorer's parameters, and pull those of the logits back through the cell."""
        of_scorer = [torch.zeros_like(parameter) for parameter in self.scoring.parameters]
        for part in self._composed():
            self.store.pull_back(part, self.scoring.pull_back(part, self.of_logits[part], of_scorer), of_cell)
        return of_scorer

    def _composed(self) -> list[Tensor]:
        rows = torch.arange(self.store.leaves, self.store.rows, device=self.of_logits.device)
        return chunks(rows)
