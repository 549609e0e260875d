"""What differs between scoring pairs by their children and by the parents that they would have.

The search, the replay and the straight-through replay ask one object; which one, [`scoring_of`][] says.
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
    """The scorer's part in a search over one store, and on the way back."""

    store: NodeStore
    parameters: list[Tensor]
    """The scorer's, in the order in which gradients are returned."""
    composes_all: ClassVar[bool]
    """Whether every pair is composed before one is chosen, instead of the chosen one afterwards."""

    @staticmethod
    def most_composed(beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
        """Return how many nodes a group of so many items makes at most; ``leaves`` have one beam to begin with."""
        ...

    @staticmethod
    def composed_per_step(beam_size: int) -> int:
        """Return how many pairs of a group are to be composed at each step, at most."""
        ...

    def first(
        self, composer: Composer, frontier: Frontier, scores: BeamScores, sizes: list[int], history: History | None
    ) -> tuple[PairLogits, PairIndex | None]:
        """Score all neighbouring items of a level's first ``frontier`` (G, V, N).

        Returns:
            The logits (G, V, N - 1), anything where there is no such pair; and numbers for the pairs: those that the
            history gives, None without one, or the parents' rows.
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
            composer: of the level.
            chosen: the pairs.
            pairs: (G, V, N + 1) numbers of the pairs, as [`first`][] and [`beside`][] gave them.
            step: of the search.
        """
        ...

    def beside(
        self, composer: Composer, neighbours: Neighbours, unfinished: int, step: int, history: History | None
    ) -> tuple[BesideLogits, BesideIndex | None]:
        """Score the pairs beside every new node.

        Args:
            composer: of the level.
            neighbours: the pairs.
            unfinished: how many groups, the first ones, have another step.
            step: of the search.
            history: of the level, if it is recorded.

        Returns:
            Logits and numbers, each (G, W, 2), as [`first`][] gives them.
        """
        ...

    def count_pairs(self, history: History) -> int:
        """Return how many numbers of pairs there are in ``history`` when its search has ended."""
        ...

    def gradient(
        self, levels: Iterable[tuple[History, Tensor]], state_gradient: TableStates
    ) -> tuple[list[Tensor], Rows]:
        """Pull the gradients of logits back into the scorer and, adding to ``state_gradient`` (U, D), the nodes.

        Args:
            levels: each level's history with the gradients of the pairs that it numbers.
            state_gradient: added to in place.

        Returns:
            The gradients of the scorer's parameters, and rows that may have a gradient though no root is above them.
        """
        ...

    def slopes(self, histories: list[History]) -> Slopes:
        """Differentiate the logits of a search by the children of the pairs, for a straight-through replay."""
        ...


@runtime_checkable
class Slopes(Protocol):
    """How logits depend on the children of their pairs, and the gradients of the logits of a search."""

    def pairs(self, choice: Choice, level: int) -> tuple[OnePairIndex, OnePairIndex, OnePairIndex]:
        """Return the numbers of a choice's pairs and their children, each (G, P)."""
        ...

    def pull_back(
        self,
        number: OnePairIndex,
        left: OnePairIndex,
        right: OnePairIndex,
        of_logits: OnePairLogits,
        state_gradient: TableStates,
    ) -> None:
        """Note the gradient (G, P) of logits, and add what the children get of it to ``state_gradient``."""
        ...

    def gradient(self, of_cell: list[Tensor]) -> list[Tensor]:
        """Return the gradients of the scorer's parameters; what the cell's get through it is added to ``of_cell``."""
        ...


def scoring_of(scorer: Scorer, store: NodeStore) -> Scoring:
    """Return what serves ``scorer``, over the leaves of ``store``."""
    if is_plain_parent_scorer(scorer, store.states):
        return FusedParentScoring(store, scorer)
    if is_plain_pair_scorer(scorer, store.states):
        return FusedPairScoring(store, scorer)
    return AnyParentScoring(store, scorer) if scorer.reads_parents else AnyPairScoring(store, scorer)


def most_composed(scorer: Scorer, beam_size: int, size: int, merges: int, *, leaves: bool) -> int:
    """Return how many nodes a group makes at most; see [`Scoring.most_composed`][]."""
    scoring = ParentScoring if scorer.reads_parents else PairScoring
    return scoring.most_composed(beam_size, size, merges, leaves=leaves)
