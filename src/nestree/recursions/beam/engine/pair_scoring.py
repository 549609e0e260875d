"""Scoring pairs by their children: only the pairs that are chosen are composed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nestree.layers import PairScorer
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
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
    TableIndex,
    TableStates,
)


class PairScoring:
    """The scorer of pairs; every node has the two halves of its pairs' hidden layers. See `Scoring`."""

    composes_all: ClassVar[bool] = False

    def __init__(self, store: NodeStore, scorer: PairScorer) -> None:
        """Begin with the leaves of ``store``."""
        self.store = store
        self.scorer = scorer
        self.left_half = store.states.new_empty(store.capacity, scorer.width)
        self.right_half = torch.empty_like(self.left_half)
        self.projected = 0
        """Rows that have their halves."""
        self._project()

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return a node a beam and merge."""
        return beam_size * merges

    @staticmethod
    def asked(beam_size: int) -> int:
        """Return one pair a beam."""
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
        node = composer.compose(chosen.left, chosen.right, chosen.absent, mask_index, step)
        self._project()
        return node

    def beside(
        self, composer: Composer, neighbours: Neighbours, going_on: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Score the pairs beside every new node."""
        return self._score(neighbours.left, neighbours.right, history)

    def count_pairs(self, history: History) -> int:
        """Return how many pairs were noted."""
        return history.pairs

    def logits(self, left: Bits, right: Bits) -> Numbers:
        """Return the logits of pairs of rows, of any shape; equal pairs have equal logits."""
        return functional.gelu(self._hidden(left, right)).mul_(self.scorer.score.weight[0]).sum(-1).view(left.shape)

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
        pairs = _distinct(torch.cat(left), torch.cat(right), torch.cat(gradients), self.store.capacity)
        return self.pull_back(*pairs, state_gradient), none

    def pull_back(
        self, left: Rows, right: Rows, gradient: RowWeights, state_gradient: TableStates | None
    ) -> list[Tensor]:
        """Pull the gradients of pairs' logits back into the scorer and, adding to ``state_gradient``, the children.

        Args:
            left: (M,) left children.
            right: (M,) right children.
            gradient: (M,) of the pairs' logits.
            state_gradient: (U, D), added to in place; None where the children have had theirs.

        Returns:
            Gradients of the scorer's hidden weight, hidden bias and score weight.
        """
        scorer, rows = self.scorer, self.store.rows
        width = scorer.width
        hidden = self._hidden(left, right)
        gradient = gradient.to(hidden.dtype)
        score_weight = (functional.gelu(hidden) * gradient.unsqueeze(-1)).sum(0, keepdim=True)
        hidden_gradient = torch.ops.aten.gelu_backward(gradient.unsqueeze(-1) * scorer.score.weight, hidden)
        halves = hidden.new_zeros(rows, 2 * width)
        halves[:, :width].index_add_(0, left, hidden_gradient)
        halves[:, width:].index_add_(0, right, hidden_gradient)
        weight = scorer.hidden.weight
        seen = self.store.states[:rows, :width]
        if state_gradient is not None:
            state_gradient[:, :width].addmm_(halves[:, :width], weight[:, :width])
            state_gradient[:, :width].addmm_(halves[:, width:], weight[:, width:])
        hidden_weight = torch.cat([halves[:, :width].T @ seen, halves[:, width:].T @ seen], dim=1)
        return [hidden_weight, hidden_gradient.sum(0), score_weight]

    def slopes(self, histories: list[History]) -> PairSlopes:
        """Differentiate the scorer at every pair that was scored."""
        return PairSlopes(self, histories)

    def slope(self, left: Rows, right: Rows) -> tuple[Slices, Slices]:
        """Return the derivatives (M, S) of pairs' logits by what the scorer reads of the left and right child (M,)."""
        hidden = self._hidden(left, right)
        weight, width = self.scorer.hidden.weight, self.scorer.width
        slope = torch.ops.aten.gelu_backward(self.scorer.score.weight.expand_as(hidden), hidden)
        return slope @ weight[:, :width], slope @ weight[:, width:]

    def _score(self, left: Bits, right: Bits, history: History | None) -> tuple[Numbers, Bits | None]:
        return self.logits(left, right), None if history is None else history.log_pairs(left, right)

    def _hidden(self, left: Bits, right: Bits) -> Slices:
        return self.left_half.index_select(0, left.flatten()).add_(self.right_half.index_select(0, right.flatten()))

    def _project(self) -> None:
        """Give the rows that are new their halves."""
        first, end = self.projected, self.store.rows
        if first == end:
            return
        width, hidden = self.scorer.width, self.scorer.hidden
        seen = self.store.states[first:end, :width]
        torch.addmm(hidden.bias, seen, hidden.weight[:, :width].T, out=self.left_half[first:end])
        torch.mm(seen, hidden.weight[:, width:].T, out=self.right_half[first:end])
        self.projected = end


def _distinct(
    left: TableIndex, right: TableIndex, gradient: Float[Tensor, " u"], capacity: int
) -> tuple[Rows, Rows, RowWeights]:
    """Add up the gradients of equal pairs, and leave out those without any."""
    some = gradient.nonzero().squeeze(-1)
    keys, position = (left[some] * capacity + right[some]).unique(return_inverse=True)
    total = gradient.new_zeros(len(keys)).index_add_(0, position, gradient[some])
    return keys // capacity, keys % capacity, total


class PairSlopes:
    """See `Slopes`."""

    def __init__(self, scoring: PairScoring, histories: list[History]) -> None:
        """Differentiate the scorer at every pair that the levels' histories number."""
        counts = [history.pairs for history in histories]
        self.scoring = scoring
        self.first = [sum(counts[:level]) for level in range(len(counts))]
        empty = scoring.store.left.new_zeros(0)
        self.left = torch.cat([empty, *(part for history in histories for part in history.pair_left)])
        self.right = torch.cat([empty, *(part for history in histories for part in history.pair_right)])
        self.of_left, self.of_right = scoring.slope(self.left, self.right)
        self.of_logits = self.of_left.new_zeros(len(self.left))

    def pairs(self, choice: Choice, level: int) -> tuple[OnePairIndex, OnePairIndex, OnePairIndex]:
        """Return numbers among the pairs of all levels, and the children."""
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
        """Note the gradients of logits, and pull them back to the children."""
        self.of_logits.index_add_(0, number.flatten(), of_logits.flatten())
        seen = state_gradient[:, : self.of_left.shape[1]]
        for side, slope in ((left, self.of_left), (right, self.of_right)):
            seen.index_add_(0, side.flatten(), (slope[number] * of_logits.unsqueeze(-1)).flatten(0, 1))

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradients of the scorer's parameters."""
        return self.scoring.pull_back(self.left, self.right, self.of_logits, None)
