"""The choices of a search, recorded for the replay."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from nestree.recursions.shapes import (
    BeamScores,
    Bits,
    CandidateIndex,
    CandidateScores,
    KeptIndex,
    PairIndex,
    PairLogits,
    Rows,
)


@dataclass(frozen=True)
class Choice:
    """The selection of one step, by the first G groups of the level, with at most P pairs each."""

    logits: PairLogits
    """(G, V, P) for each beam's neighbouring pairs; -inf where there is none."""
    pairs: PairIndex
    """(G, V, P) int32 indices of these pairs in the level's list; if parents are scored, their rows in the store."""
    log_norm: BeamScores
    """(G, V) log-sum-exp of the logits."""
    beam: CandidateIndex
    """(G, W) the beam that each new beam continues."""
    position: CandidateIndex
    """(G, W) the pair that it merges."""
    slot: CandidateIndex | None = None
    """(G, C) with ``merge_equal``: the new beam that each candidate became part of; ``beam`` and ``position`` are then
    those of the candidates, (G, C)."""
    share: CandidateScores | None = None
    """(G, C) the candidate's share of that beam's probability."""
    keys: PairLogits | None = None
    """(G, V, P) logits plus the noise of the selection, if the replay needs it."""


@dataclass
class History:
    """Everything that the scores of a level's beams depend on."""

    choices: list[Choice] = field(default_factory=list)
    start: tuple[CandidateIndex, CandidateScores] | None = None
    """If equal beams were merged at the start: the (slot, share) (G, V) of each."""
    pair_left: list[Rows] = field(default_factory=list)
    pair_right: list[Rows] = field(default_factory=list)
    pairs: int = 0
    """Number of pairs; if parents are scored, number of rows of the store."""
    merged: list[KeptIndex] = field(default_factory=list)
    """(G, W) the node that each step put into every frontier."""

    def log_pairs(self, left: Bits, right: Bits) -> Bits:
        """Append pairs of node numbers to the list, and return their indices in it, of the same shape."""
        numbers = torch.arange(self.pairs, self.pairs + left.numel(), dtype=torch.int32, device=left.device)
        self.pair_left.append(left.flatten())
        self.pair_right.append(right.flatten())
        self.pairs += left.numel()
        return numbers.view(left.shape)
