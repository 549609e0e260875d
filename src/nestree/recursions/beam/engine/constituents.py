"""Spans that must be constituents: a mask on the pairs whose parent would cross one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.beam.engine.scoring import Scoring, Slopes
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.shapes import (
    BeamScores,
    BesideIndex,
    BesideLogits,
    Bits,
    Frontier,
    KeptIndex,
    Numbers,
    PairIndex,
    PairLogits,
    Rows,
    TableStates,
)
from nestree.trees import Span


class ConstituentScoring(HoldsTensors):
    """Wraps a scoring and assigns -inf to pairs whose parent would cross a required constituent.

    See [`Scoring`][nestree.recursions.beam.engine.scoring.Scoring].
    """

    composes_all: ClassVar[bool] = False

    def __init__(self, scoring: Scoring, together: Sequence[Sequence[Span]], lengths: list[int]) -> None:
        """Wrap ``scoring``; ``together`` has the spans of each sequence, which do not cross each other."""
        self.inner = scoring
        self.store: NodeStore = scoring.store
        self.parameters = scoring.parameters
        device = self.store.states.device
        most = max(map(len, together), default=0)
        starts = [0]
        for length in lengths:
            starts.append(starts[-1] + length)
        # Padded with empty spans, which nothing crosses.
        spans = [
            [(first + start, end + start) for first, end in own] + [(start, start)] * (most - len(own))
            for own, start in zip(together, starts, strict=False)
        ]
        self.spans = torch.tensor(spans, dtype=torch.int64, device=device).view(len(lengths), most, 2)
        owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
        self.owner = owner.to(device)
        leaf = torch.arange(self.store.leaves, device=device)
        self.begin = torch.zeros(self.store.capacity, dtype=torch.int64, device=device)
        self.end = torch.zeros_like(self.begin)
        self.begin[: len(leaf)], self.end[: len(leaf)] = leaf, leaf + 1
        self.known = self.store.leaves

    def _mask(self, logits: Numbers, left: Bits, right: Bits) -> Numbers:
        """Return the logits of pairs of rows, -inf where their parent would cross a span of their sequence."""
        self._place()
        first, end = self.begin[left].unsqueeze(-1), self.end[right].unsqueeze(-1)
        start, stop = self.spans[self.owner[self.begin[left]]].unbind(-1)
        crosses = ((first < start) & (start < end) & (end < stop)) | ((start < first) & (first < stop) & (stop < end))
        return logits.masked_fill(crosses.any(-1), -torch.inf)

    def _place(self) -> None:
        """Record the spans of new rows; their children's spans are known, or are new as well."""
        while self.known < self.store.rows:
            rows = torch.arange(self.known, self.store.rows, device=self.begin.device)
            children = self.store.children(rows)
            ready = int((children < self.known).all(-1).cummin(0).values.sum())
            rows, children = rows[:ready], children[:ready]
            self.begin[rows], self.end[rows] = self.begin[children[:, 0]], self.end[children[:, 1]]
            self.known += ready

    def most_composed(self, beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return how many nodes a group makes at most."""
        return self.inner.most_composed(beam_size, size, merges, leaves=leaves)

    def composed_per_step(self, beam_size: int) -> int:
        """Return how many pairs of a group are to be composed at each step, at most."""
        return self.inner.composed_per_step(beam_size)

    def first(
        self, composer: Composer, frontier: Frontier, scores: BeamScores, sizes: list[int], history: History | None
    ) -> tuple[PairLogits, PairIndex | None]:
        """Score all neighbouring items of a level's first frontier."""
        logits, numbers = self.inner.first(composer, frontier, scores, sizes, history)
        return self._mask(logits, frontier[..., :-1], frontier[..., 1:]), numbers

    def node(self, composer: Composer, chosen: Chosen, pairs: PairIndex | None, step: int) -> KeptIndex:
        """Return the parents of the pairs that were chosen."""
        return self.inner.node(composer, chosen, pairs, step)

    def beside(
        self, composer: Composer, neighbours: Neighbours, unfinished: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Score the pairs next to every new node."""
        logits, numbers = self.inner.beside(composer, neighbours, unfinished, step, history)
        return self._mask(logits, neighbours.left, neighbours.right), numbers

    def count_pairs(self, history: History) -> int:
        """Return how many numbers of pairs there are."""
        return self.inner.count_pairs(history)

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of logits back."""
        return self.inner.gradient(levels, state_gradient)

    def slopes(self, histories: list[History]) -> Slopes:
        """Differentiate the logits of a search by the children of the pairs."""
        return self.inner.slopes(histories)


class ConstituentParentScoring(ConstituentScoring):
    """The same for a parent scoring."""

    composes_all: ClassVar[bool] = True


def constituent_scoring(scoring: Scoring, together: Sequence[Sequence[Span]], lengths: list[int]) -> Scoring:
    """Return ``scoring`` with a mask that makes the spans ``together`` constituents."""
    kind = ConstituentParentScoring if scoring.composes_all else ConstituentScoring
    return kind(scoring, together, lengths)
