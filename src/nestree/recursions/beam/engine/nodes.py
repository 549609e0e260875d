"""Differentiable nodes and scores of a search, for outputs other than the roots."""

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
    """The result of a search over a batch, as a differentiable function of the leaves and the parameters.

    Gradients of node states enter the replay in the same way as those of roots.
    """

    recursion: BeamRecursion
    forest: Forest
    leaves: Packed
    """(T, D) leaf states of all sequences, concatenated."""
    parameters: Sequence[Tensor]
    record: bool
    """Whether any input requires a gradient."""

    @classmethod
    def of(cls, recursion: BeamRecursion, leaves: Leaves) -> OpenForest:
        """Run the search over ``leaves``."""
        return cls(recursion, *recursion.found(leaves))

    def beams(self) -> tuple[Rows, Rows]:
        """Return the (sequence, beam) of each of the K beams that exist."""
        present = self.forest.beams.scores > -torch.inf
        present[:, 0] = True  # a NaN score also has a root
        sequence, beam = present.nonzero().unbind(1)
        return sequence, beam

    def places(self) -> Places:
        """Return the trees of these beams."""
        return Places.under(self.forest.beams.nodes[self.beams()], self.forest.store)

    def read(self, rows: Rows, sequence: Rows) -> tuple[States, SequenceWeights]:
        """Return the states (M, D) of ``rows`` (M,) of the store, and the beams' scores (B, W).

        Args:
            rows: any rows; duplicates are allowed.
            sequence: (M,) the sequence of each row.
        """
        read = NodesRead(self.forest, rows, sequence)
        if not self.record:
            return read.outputs()
        return ReplayNodes.apply(self.recursion, read, self.leaves, *self.parameters)  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class NodesRead:
    """Rows of a forest, as the outputs of [`ReplayNodes`][]."""

    forest: Forest
    rows: Rows
    sequence: Rows

    def outputs(self) -> tuple[States, SequenceWeights]:
        """Return the states (M, D) of the rows and the scores (B, W) of the beams."""
        return self.forest.store.states[self.rows], self.forest.beams.scores.clone()


class ReplayNodes(Recorded):
    """Gradients through node states and beam scores."""

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
