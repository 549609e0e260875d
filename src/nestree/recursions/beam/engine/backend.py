"""Backends of search and replay: PyTorch operations, or the compiled library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.replay import cell_gradient, score_gradient
from nestree.recursions.beam.engine.scoring import Scoring
from nestree.recursions.beam.engine.search import Search, SearchResult
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import SearchDraws, Sites
from nestree.recursions.shapes import (
    BeamScores,
    Frontier,
    KeptScores,
    Packed,
    Rows,
    RowWeights,
    SequenceNodes,
    SequenceStates,
    TableIndex,
    TableStates,
)


@runtime_checkable
class Nodes(Protocol):
    """The nodes of a batch as rows of tables, leaves first."""

    states: TableStates
    """(U, D)."""
    left: TableIndex
    """(U,) rows of the left children; undefined for leaves and unused rows."""
    right: TableIndex
    """(U,) rows of the right children."""
    leaves: int
    """Number of leaves."""
    rows: int
    """End of the rows in use."""


@runtime_checkable
class Backend(Protocol):
    """Searches the levels of one batch, and pulls gradients back through the result."""

    @property
    def store(self) -> Nodes:
        """All nodes."""
        ...

    def search(
        self, frontier: Frontier, scores: BeamScores, sizes: list[int], roots: list[int], sites: Sites
    ) -> SearchResult:
        """Fold the groups of one level.

        Args:
            frontier: (G, V, N) rows of each group's items in each beam; any valid row in the padding.
            scores: (G, V) the beams' scores so far.
            sizes: number of items of each group.
            roots: number of roots that each group is folded to; groups are in descending order of merges, then roots.
            sites: the groups' coordinates, for drawing.
        """
        ...

    def score_gradient(self, history: Any, gradient: KeptScores) -> tuple[BeamScores, Any]:
        """Pull the gradient (G, W) of a level's final scores back to its initial scores, (G, V).

        Returns:
            The gradient of the initial scores, and whatever [`gradient`][] needs for the level's pairs.
        """
        ...

    def gradient(
        self,
        levels: Iterable[tuple[Any, Any]],
        nodes: SequenceNodes,
        outside: SequenceStates,
        parameters: Sequence[Tensor],
        *,
        sequence: Rows | None = None,
    ) -> tuple[Packed, Sequence[Tensor]]:
        """Return the gradients of the leaves (T, D) and of the cell's and the scorer's ``parameters``.

        Args:
            levels: each level's history with the second result of [`score_gradient`][], highest level first.
            nodes: (B, W) the sequences' roots; or any nodes (R, C).
            outside: (B, W, D) or (R, C, D) the gradients of their states.
            parameters: the parameters as they were in the search.
            sequence: (R,) the sequence of each row of ``nodes``; None: row b belongs to sequence b.
        """
        ...


@dataclass(frozen=True)
class TorchBackend:
    """PyTorch operations over all groups of a level at once: any device, scorer and option."""

    scoring: Scoring
    beam_size: int
    draws: SearchDraws

    @property
    def store(self) -> NodeStore:
        """All nodes."""
        return self.scoring.store

    def search(
        self, frontier: Frontier, scores: BeamScores, sizes: list[int], roots: list[int], sites: Sites
    ) -> SearchResult:
        """Fold the groups of one level; see [`Backend.search`][]."""
        return Search(self.scoring, frontier, scores, sizes, roots, sites, self.beam_size, self.draws).run()

    def score_gradient(self, history: History, gradient: KeptScores) -> tuple[BeamScores, RowWeights]:
        """Pull the gradient of scores back; the second result is the gradient of the pairs' logits."""
        return score_gradient(history, gradient)

    def gradient(
        self,
        levels: Iterable[tuple[History, Tensor]],
        nodes: SequenceNodes,
        outside: SequenceStates,
        parameters: Sequence[Tensor],
        *,
        sequence: Rows | None = None,
    ) -> tuple[Packed, Sequence[Tensor]]:
        """Return the gradients of leaves and parameters; see [`Backend.gradient`][]."""
        store = self.store
        state_gradient = store.states.new_zeros(store.rows, outside.shape[-1])
        state_gradient.index_add_(0, nodes.flatten(), outside.flatten(0, 1))
        of_scorer, scored = self.scoring.gradient(levels, state_gradient)
        of_cell = cell_gradient(store, torch.cat([nodes.flatten(), scored]), state_gradient)
        return state_gradient[: store.leaves], [*of_cell, *of_scorer]
