"""The interface for scoring pairs, either by their children or by the parents that they would have.

The search, the replay and the straight-through replay use one object, which [`scoring_of`][] returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from nestree.layers.plain import is_plain_pair_scorer, is_plain_parent_scorer
from nestree.layers.scorer import Scorer
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pair_scoring import AnyPairScoring, FusedPairScoring, PairScoring
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.parent_scoring import AnyParentScoring, FusedParentScoring, ParentScoring
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.shapes import (
    BeamScores,
    BesideIndex,
    BesideLogits,
    Frontier,
    KeptIndex,
    OnePairIndex,
    OnePairLogits,
    PairIndex,
    PairLogits,
    Rows,
    TableStates,
)


@runtime_checkable
class Scoring(Protocol):
    """A scorer in a search over one store, and in its backward pass."""

    store: NodeStore
    parameters: list[Tensor]
    """The scorer's parameters, in the order in which gradients are returned."""
    composes_all: ClassVar[bool]
    """Whether every pair is composed before one is chosen, instead of the chosen one afterwards."""

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return the largest number of nodes composed for a group of ``size`` items; ``leaves`` start with one beam."""
        ...

    @staticmethod
    def composed_per_step(beam_size: int) -> int:
        """Return the largest number of pairs that a group composes per step."""
        ...

    def first(
        self, composer: Composer, frontier: Frontier, scores: BeamScores, sizes: list[int], history: History | None
    ) -> tuple[PairLogits, PairIndex | None]:
        """Score all neighbouring items of a level's first ``frontier`` (G, V, N).

        Returns:
            The logits (G, V, N - 1), arbitrary where there is no such pair; and indices of the pairs: those of the
            history (None without one), or the parents' rows.
        """
        ...

    def node(
        self,
        composer: Composer,
        chosen: Chosen,
        pairs: PairIndex | None,
        step: int,
    ) -> KeptIndex:
        """Return the parents (G, W) of the pairs that were chosen.

        Args:
            composer: the level's composer.
            chosen: the pairs.
            pairs: (G, V, N + 1) indices of the pairs, as returned by [`first`][] and [`beside`][].
            step: step of the search.
        """
        ...

    def beside(
        self, composer: Composer, neighbours: Neighbours, unfinished: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Score the pairs next to every new node.

        Args:
            composer: the level's composer.
            neighbours: the pairs.
            unfinished: number of groups with another step; these come first.
            step: step of the search.
            history: the level's history, if it is recorded.

        Returns:
            Logits and indices, each (G, W, 2), as in [`first`][].
        """
        ...

    def count_pairs(self, history: History) -> int:
        """Return the number of pair indices at the end of the search of ``history``."""
        ...

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of logits back into the scorer and, adding to ``state_gradient`` (U, D), the nodes.

        Args:
            levels: each level's history with the gradients of its pairs' logits.
            state_gradient: added to in place.

        Returns:
            The gradients of the scorer's parameters, and rows that may have a gradient without being under a root.
        """
        ...

    def slopes(self, histories: list[History]) -> Slopes:
        """Differentiate a search's logits with respect to the pairs' children, for a straight-through replay."""
        ...


@runtime_checkable
class Slopes(Protocol):
    """Derivatives of a search's logits with respect to the pairs' children, and the gradients of the logits so far."""

    def pairs(self, choice: Choice, level: int) -> tuple[OnePairIndex, OnePairIndex, OnePairIndex]:
        """Return the indices of a choice's pairs, and their children, each (G, P)."""
        ...

    def pull_back(
        self,
        number: OnePairIndex,
        left: OnePairIndex,
        right: OnePairIndex,
        of_logits: OnePairLogits,
        state_gradient: TableStates,
    ) -> None:
        """Record the gradient (G, P) of logits, and pull it back to the children in ``state_gradient``."""
        ...

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradients of the scorer's parameters; those of the cell through it are added to ``of_cell``."""
        ...


def scoring_of(scorer: Scorer, store: NodeStore) -> Scoring:
    """Return the engine's form of ``scorer``, over the leaves of ``store``."""
    if is_plain_parent_scorer(scorer, store.states):
        return FusedParentScoring(store, scorer)
    if is_plain_pair_scorer(scorer, store.states):
        return FusedPairScoring(store, scorer)
    return AnyParentScoring(store, scorer) if scorer.reads_parents else AnyPairScoring(store, scorer)


def most_composed(scorer: Scorer, beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
    """Return the largest number of nodes that a group composes; see [`Scoring.most_composed`][]."""
    scoring = ParentScoring if scorer.reads_parents else PairScoring
    return scoring.most_composed(beam_size, size, merges, leaves=leaves)
