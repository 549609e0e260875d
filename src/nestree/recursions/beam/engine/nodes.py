"""Nodes and scores of a search that know their gradients, for whatever reads more than the roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.paths import Places
from nestree.recursions.beam.engine.recursion import BeamRecursion, Forest, Recorded, level_gradients
from nestree.recursions.shapes import Packed, Rows, SequenceWeights, States


@dataclass(frozen=True)
class OpenForest:
    """What a search over a batch found, as functions of the leaves and the parameters.

    Gradients into nodes enter the replay as those of the roots do.
    """

    recursion: BeamRecursion
    forest: Forest
    leaves: Packed
    """(T, D) of all sequences."""
    parameters: Sequence[Tensor]
    record: bool
    """Whether anything wants a gradient."""

    @classmethod
    def of(cls, recursion: BeamRecursion, leaves: Leaves) -> OpenForest:
        """Search."""
        return cls(recursion, *recursion.found(leaves))

    def beams(self) -> tuple[Rows, Rows]:
        """Return the (sequence, beam) of each of the K beams that there are."""
        present = self.forest.beams.scores > -torch.inf
        present[:, 0] = True  # a score that is NaN, too, has a root
        sequence, beam = present.nonzero().unbind(1)
        return sequence, beam

    def places(self) -> Places:
        """Return the trees of these beams."""
        return Places.under(self.forest.beams.nodes[self.beams()], self.forest.store)

    def read(self, rows: Rows, sequence: Rows) -> tuple[States, SequenceWeights]:
        """Return the states (M, D) of ``rows`` (M,) of the store, and the beams' scores (B, W).

        Args:
            rows: any, more than once too.
            sequence: (M,) whose they are.
        """
        read = NodesRead(self.forest, rows, sequence)
        if not self.record:
            return read.outputs()
        return ReplayNodes.apply(self.recursion, read, self.leaves, *self.parameters)  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class NodesRead:
    """What was read of a forest."""

    forest: Forest
    rows: Rows
    sequence: Rows

    def outputs(self) -> tuple[States, SequenceWeights]:
        """Return the states (M, D) of the rows and the scores (B, W) of the beams."""
        return self.forest.store.states[self.rows], self.forest.beams.scores.clone()


class ReplayNodes(Recorded):
    """Gradients of states of nodes and of scores of beams."""

    @staticmethod
    def replay(  # pyright: ignore[reportIncompatibleMethodOverride]
        recursion: BeamRecursion,
        result: NodesRead,
        of_states: States,
        of_scores: SequenceWeights,
        *,
        parameters: Sequence[Tensor],
    ) -> Sequence[Tensor]:
        """Return the gradients of the packed leaves and of the parameters."""
        forest = result.forest
        of_scores = of_scores.masked_fill(forest.beams.scores == -torch.inf, 0)
        levels = level_gradients(forest, of_scores)
        nodes, outside = result.rows.unsqueeze(-1), of_states.unsqueeze(1)
        of_leaves, of_parameters = forest.backend.gradient(levels, nodes, outside, parameters, sequence=result.sequence)
        return [of_leaves, *of_parameters]
