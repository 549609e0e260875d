"""Nodes and scores of a search that know their gradients, for whatever reads more than the roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.paths import Places
from nestree.recursions.beam.engine.recursion import BeamRecursion, Forest, level_gradients


@dataclass(frozen=True)
class OpenForest:
    """What a search over a batch found, as functions of the leaves and the parameters.

    Gradients into nodes enter the replay as those of the roots do.
    """

    forest: Forest
    leaves: Tensor
    """(N, D) of all sequences."""
    parameters: Sequence[Tensor]
    record: bool
    """Whether anything wants a gradient."""

    @classmethod
    def of(cls, recursion: BeamRecursion, leaves: Leaves) -> OpenForest:
        """Search."""
        return cls(*recursion.found(leaves))

    def beams(self) -> tuple[Tensor, Tensor]:
        """Return the (sequence, beam) of each of the K beams that there are."""
        present = self.forest.beams.scores > -torch.inf
        present[:, 0] = True  # a score that is NaN, too, has a root
        sequence, beam = present.nonzero().unbind(1)
        return sequence, beam

    def places(self) -> Places:
        """Return the trees of these beams."""
        return Places.under(self.forest.beams.nodes[self.beams()], self.forest.store)

    def read(self, rows: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states (R, D) of ``rows`` (R,) of the store, and the beams' scores (B, W).

        Args:
            rows: any, more than once too.
            sequence: (R,) whose they are.
        """
        if not self.record:
            return self.forest.store.states[rows], self.forest.beams.scores
        return ReplayNodes.apply(self.forest, rows, sequence, self.leaves, *self.parameters)  # pyright: ignore[reportReturnType]


class ReplayNodes(torch.autograd.Function):
    """States of nodes and scores of beams, as functions of the leaves and the parameters."""

    @staticmethod
    def forward(
        ctx: Any, forest: Forest, rows: Tensor, sequence: Tensor, packed: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the states (R, D) and the scores (B, W)."""
        ctx.forest = forest
        ctx.save_for_backward(rows, sequence, *parameters)
        return forest.store.states[rows], forest.beams.scores.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor, of_scores: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradients of the packed leaves and of every parameter."""
        forest: Forest = ctx.forest
        rows, sequence, *parameters = ctx.saved_tensors
        of_scores = of_scores.masked_fill(forest.beams.scores == -torch.inf, 0)
        levels = level_gradients(forest, of_scores)
        nodes, outside = rows.unsqueeze(-1), of_states.unsqueeze(1)
        of_leaves, of_parameters = forest.backend.gradient(levels, nodes, outside, parameters, sequence=sequence)
        return None, None, None, of_leaves, *of_parameters
