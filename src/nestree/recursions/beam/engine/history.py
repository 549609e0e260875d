"""What a search notes of its choices, for the replay."""

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
    """The selection of one step, as replay needs it; the first G groups of the level took part, P pairs at most."""

    logits: PairLogits
    """(G, V, P) of each beam's neighbouring pairs; -inf where there is none."""
    pairs: PairIndex
    """(G, V, P) int32 numbers of these pairs in the level's list; where parents are scored, their rows in the store."""
    log_norm: BeamScores
    """(G, V) log-sum-exp of the logits."""
    beam: CandidateIndex
    """(G, W) the beam that each new beam continues."""
    position: CandidateIndex
    """(G, W) the pair that it merges."""
    slot: CandidateIndex | None = None
    """(G, C) where candidates may be merged: the new beam that each candidate went to; ``beam`` and ``position`` are
    then the candidates'."""
    share: CandidateScores | None = None
    """(G, C) the candidate's share of that beam's score."""
    keys: PairLogits | None = None
    """(G, V, P) logits with the noise that picked among them, where it is wanted."""


@dataclass
class History:
    """All that the scores of a level's beams depend on."""

    choices: list[Choice] = field(default_factory=list)
    start: tuple[CandidateIndex, CandidateScores] | None = None
    """Where beams were merged to begin with: the (slot, share) (G, V) of each."""
    pair_left: list[Rows] = field(default_factory=list)
    pair_right: list[Rows] = field(default_factory=list)
    pairs: int = 0
    """How many pairs there are; where parents are scored, how many rows of the store."""
    merged: list[KeptIndex] = field(default_factory=list)
    """(G, W) the node that each step put into every frontier."""

    def log_pairs(self, left: Bits, right: Bits) -> Bits:
        """Note pairs of node numbers, and return their numbers in the list, of the same shape."""
        numbers = torch.arange(self.pairs, self.pairs + left.numel(), dtype=torch.int32, device=left.device)
        self.pair_left.append(left.flatten())
        self.pair_right.append(right.flatten())
        self.pairs += left.numel()
        return numbers.view(left.shape)
