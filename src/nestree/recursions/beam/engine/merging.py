"""Merging of beams with equal frontiers (the same merges in another order) by the log-sum-exp of their scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nestree.recursions.draws import mix_bits
from nestree.recursions.shapes import Bits, CandidateIndex, CandidateScores, KeptIndex, TableIndex


@dataclass(frozen=True)
class Classes:
    """Equivalence classes of candidates; the first candidate of each represents it."""

    first: CandidateIndex
    """(G, C) the candidate that represents each candidate's class."""
    total: CandidateScores
    """(G, C) the class's score where a candidate represents one, else -inf."""
    share: CandidateScores
    """(G, C) the candidate's share of its class's probability, and so of the gradient of its score."""

    def slots(self, chosen: KeptIndex) -> tuple[CandidateIndex, CandidateScores]:
        """Return, for each candidate, the index of its class in ``chosen`` (G, W) and its share; 0 if not chosen."""
        same = self.first.unsqueeze(-1) == chosen.unsqueeze(1)
        return same.view(torch.uint8).argmax(-1), self.share * same.any(-1)


def classes_of(codes: CandidateIndex, scores: CandidateScores) -> Classes:
    """Group candidates by their ``codes`` (G, C); a score (G, C) of -inf marks an absent one."""
    number = torch.arange(codes.shape[1], device=codes.device)
    absent = scores == -torch.inf
    codes = torch.where(absent, -1 - number, codes)
    same = codes.unsqueeze(-1) == codes.unsqueeze(1)
    first = same.view(torch.uint8).argmax(-1)
    total = scores.unsqueeze(1).masked_fill(~same, -torch.inf).logsumexp(-1)
    share = (scores - total).exp_().masked_fill_(absent, 0)
    return Classes(first, total.masked_fill(first != number, -torch.inf), share)


def leaf_codes(rows: int, device: torch.device) -> TableIndex:
    """Return a 64-bit hash code for each leaf; a tree's code depends on its leaves and shape, not on merge order."""
    return mix_bits(torch.arange(rows, device=device))


def parent_code(left: Bits, right: Bits) -> Bits:
    """Return the code of the tree with these subtrees; a frontier's code is the sum of its trees' codes.

    The probability of a collision among a few million frontiers is about one in a million.
    """
    return mix_bits(mix_bits(left) + right)
