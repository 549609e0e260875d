"""Beams with equal frontiers: the same merges in another order, counted once with the log-sum-exp of their scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nestree.recursions.draws import mix_bits
from nestree.recursions.shapes import Bits, CandidateIndex, CandidateScores, KeptIndex, TableIndex


@dataclass(frozen=True)
class Classes:
    """Candidates sorted into classes of equal ones; the first of each stands for it."""

    first: CandidateIndex
    """(G, C) the candidate that stands for each one's class."""
    total: CandidateScores
    """(G, C) the class's score where a candidate stands for one, else -inf."""
    share: CandidateScores
    """(G, C) the candidate's share of its class's score: how the gradient is divided."""

    def slots(self, chosen: KeptIndex) -> tuple[CandidateIndex, CandidateScores]:
        """Return, for each candidate, where its class is among ``chosen`` (G, W), and its share, 0 if it is not."""
        same = self.first.unsqueeze(-1) == chosen.unsqueeze(1)
        return same.view(torch.uint8).argmax(-1), self.share * same.any(-1)


def classes_of(codes: CandidateIndex, scores: CandidateScores) -> Classes:
    """Sort candidates with equal ``codes`` (G, C) and with scores (G, C) into classes; -inf marks absent ones."""
    number = torch.arange(codes.shape[1], device=codes.device)
    absent = scores == -torch.inf
    codes = torch.where(absent, -1 - number, codes)
    same = codes.unsqueeze(-1) == codes.unsqueeze(1)
    first = same.view(torch.uint8).argmax(-1)
    total = scores.unsqueeze(1).masked_fill(~same, -torch.inf).logsumexp(-1)
    share = (scores - total).exp_().masked_fill_(absent, 0)
    return Classes(first, total.masked_fill(first != number, -torch.inf), share)


def leaf_codes(rows: int, device: torch.device) -> TableIndex:
    """Return a 64-bit code for each leaf: a tree's code is made of its leaves' and its shape, whoever built it."""
    return mix_bits(torch.arange(rows, device=device))


def parent_code(left: Bits, right: Bits) -> Bits:
    """Return the code of the tree with these subtrees; a frontier's code is the sum of its trees' codes.

    Of some millions of frontiers, two different ones have the same code with a probability of about one in a million.
    """
    return mix_bits(mix_bits(left) + right)
