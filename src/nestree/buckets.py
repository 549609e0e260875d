"""Ragged batches: packed (concatenated) sequences, or buckets of sequences of similar length, padded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

POSITIONS = 4096
"""Fixed cost of a bucket, as the number of positions that take as long."""

CLASS = 1.25
"""Ratio of the lengths that are grouped first, and never separated."""


def plan(lengths: Sequence[int], rows: int) -> list[list[int]]:
    """Return the sequences of each bucket, in their order in the batch; the bucket of the longest comes first.

    The cheapest way to cut the sorted lengths is chosen. A bucket costs its padded positions, plus [`POSITIONS`][],
    plus ``rows`` more sequences of its longest length. If the lengths are similar, or the batch is small, there is one
    bucket.

    Args:
        lengths: (B,) of the sequences.
        rows: fixed cost of each time step of a bucket, as the number of sequences that take as long.
    """
    longest = max(lengths)
    if longest * len(lengths) - sum(lengths) <= POSITIONS + rows * min(lengths):
        return [list(range(len(lengths)))]
    classes: dict[int, list[int]] = {}
    for sequence, length in enumerate(lengths):
        classes.setdefault(int(math.log(length, CLASS)), []).append(sequence)
    ordered = [classes[key] for key in sorted(classes, reverse=True)]
    tops = [max(lengths[sequence] for sequence in own) for own in ordered]
    counts = [0, *accumulate(map(len, ordered))]
    best: list[tuple[float, int]] = [(0, 0)]  # the least cost of the first classes, and where its last bucket begins
    for end in range(1, len(ordered) + 1):
        costs = (
            (best[start][0] + tops[start] * (counts[end] - counts[start] + rows) + POSITIONS, start)
            for start in range(end)
        )
        best.append(min(costs, key=itemgetter(0)))
    found: list[list[int]] = []
    end = len(ordered)
    while end:
        start = best[end][1]
        found.append(sorted(sequence for own in ordered[start:end] for sequence in own))
        end = start
    return found[::-1]


class Buckets:
    """A ragged batch, cut into buckets for layers that need padded batches.

    Args:
        lengths: (B,) of the sequences.
        rows: see [`plan`][].
    """

    def __init__(self, lengths: Sequence[int], *, rows: int = 4) -> None:
        self.lengths = list(lengths)
        self.sequences = plan(self.lengths, rows)
        self.of_each = [[self.lengths[sequence] for sequence in own] for own in self.sequences]
        """The lengths of each bucket's sequences."""

    def padded(self, packed: Float[Tensor, "t d"]) -> Iterator[Float[Tensor, "_ _ d"]]:
        """Yield each bucket's sequences, zero in the padding."""
        starts = [0, *accumulate(self.lengths)]
        for sequences, own in zip(self.sequences, self.of_each, strict=True):
            if sequences[-1] - sequences[0] + 1 == len(sequences):  # neighbours: no copy
                part = packed[starts[sequences[0]] : starts[sequences[-1] + 1]]
            else:
                rows = np.concatenate([np.arange(starts[sequence], starts[sequence + 1]) for sequence in sequences])
                part = packed.index_select(0, torch.from_numpy(rows).to(packed.device))
            yield pad(part, own)

    def packed(self, parts: Sequence[Float[Tensor, "_ _ d"]]) -> Float[Tensor, "t d"]:
        """Return the real positions of padded buckets, concatenated in the order of the batch."""
        pieces = [pack(part, own) for part, own in zip(parts, self.of_each, strict=True)]
        if len(pieces) == 1:
            return pieces[0]
        order = [sequence for own in self.sequences for sequence in own]
        lengths = np.array(self.lengths)
        starts = np.empty_like(lengths)  # of each sequence, in the order of the buckets
        starts[order] = lengths[order].cumsum() - lengths[order]
        skipped = starts - (lengths.cumsum() - lengths)
        rows = torch.from_numpy(np.arange(lengths.sum()) + np.repeat(skipped, lengths))
        return torch.cat(pieces).index_select(0, rows.to(parts[0].device))

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return tensors (b, ...) of each bucket's sequences as one, in the order of the batch."""
        if len(parts) == 1:
            return parts[0]
        order = torch.tensor([sequence for own in self.sequences for sequence in own], device=parts[0].device)
        return torch.cat(list(parts)).index_select(0, order.argsort())


def pack(states: Shaped[Tensor, "b l ..."], lengths: Sequence[int]) -> Shaped[Tensor, "t ..."]:
    """Return the first ``lengths`` positions of each sequence, concatenated."""
    flat = states.flatten(0, 1)
    longest = states.shape[1]
    if min(lengths) == longest:
        return flat
    if len(lengths) == 1:
        return flat[: lengths[0]]
    return flat.index_select(0, real_rows(lengths, longest).to(states.device))


def pad(packed: Float[Tensor, "t d"], lengths: Sequence[int], longest: int | None = None) -> Float[Tensor, "b l d"]:
    """Return packed sequences as a padded batch, zero in the padding."""
    longest = longest or max(lengths)
    shape = (len(lengths), longest, *packed.shape[1:])
    if min(lengths) == longest:
        return packed.reshape(shape)
    rows = real_rows(lengths, longest).to(packed.device)
    return packed.new_zeros(len(lengths) * longest, *packed.shape[1:]).index_copy(0, rows, packed).view(shape)


def real_rows(lengths: Sequence[int], longest: int) -> Integer[Tensor, " t"]:
    """Return the indices of the real positions among all B * L positions of a padded batch."""
    count = np.array(lengths)
    skipped = np.arange(len(count)) * longest - (np.cumsum(count) - count)
    return torch.from_numpy(np.arange(count.sum()) + np.repeat(skipped, count))
