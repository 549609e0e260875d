"""Batches: of similar length and shuffled for training, of bounded size for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestree.data.ragged import RaggedExamples

PADDING = 0
"""The token number that fills a batch up; its embedding is never read."""


class Batch(NamedTuple):
    """One process's share of a batch."""

    tokens: Tensor
    """(B, L) token numbers, padded with zeros; (B * sides, L) of pairs, an example's sides behind one another."""
    lengths: Tensor
    """As many as rows of tokens."""
    labels: Tensor
    """(B,)"""
    size: int
    """Examples of the whole batch, over all processes."""


def collate(
    examples: RaggedExamples, indices: Sequence[int] | NDArray[np.integer], *, size: int | None = None
) -> Batch:
    """Pad the examples at ``indices`` into one batch; ``size`` defaults to how many they are."""
    first = np.asarray(indices, dtype=np.int64)[:, None] * examples.sides + np.arange(examples.sides)
    start = examples.offsets[first.ravel()]
    length = examples.offsets[first.ravel() + 1] - start
    place = np.arange(length.max(initial=0))
    real = place < length[:, None]
    padded = np.full(real.shape, PADDING, dtype=np.int64)
    padded[real] = examples.tokens[(start[:, None] + place)[real]]
    tokens, lengths = torch.from_numpy(padded), torch.from_numpy(length)
    labels = torch.from_numpy(examples.labels[np.asarray(indices)].astype(np.int64))
    return Batch(tokens, lengths, labels, len(indices) if size is None else size)


def epoch_batches(
    lengths: NDArray[np.integer], *, batch: int, window: int, seed: int, epoch: int, least: int = 1
) -> list[NDArray[np.int64]]:
    """Return one epoch's batches as arrays of indices: each index once, the same for the same seed and epoch.

    Args:
        lengths: (N,) length of each example.
        batch: examples a batch; the last of an epoch may have fewer.
        window: batches within which to sort.
        seed: of the shuffles.
        epoch: counts from 0.
        least: a last batch of fewer examples than this joins another one (every process needs one).
    """
    return shuffled_batches(lengths, np.random.default_rng([seed, epoch]), batch=batch, window=window, least=least)


def shuffled_batches(
    lengths: NDArray[np.integer], rng: np.random.Generator, *, batch: int, window: int, least: int = 1
) -> list[NDArray[np.int64]]:
    """Return batches of similar length in random order, as arrays of indices; see [`epoch_batches`][].

    The examples are shuffled, cut into windows of ``window`` batches, sorted by length inside each window, cut into
    batches, and the batches shuffled.
    """
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), batch * window):
        part = order[start : start + batch * window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch] for at in range(0, len(part), batch)]
    if len(batches) > 1 and len(batches[-1]) < least:
        short = batches.pop()
        batches[-1] = np.concatenate([batches[-1], short])
    return [batches[number] for number in rng.permutation(len(batches))]


def budget_batches(lengths: NDArray[np.integer], *, tokens: int, sides: int = 1) -> list[NDArray[np.int64]]:
    """Return batches of similar length whose tokens, padding included, are at most ``tokens``; longest first.

    ``lengths`` (N,) are those of the examples' longest sides. An example longer than ``tokens`` is a batch of its own.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        end = start + max(1, tokens // (longest * sides))
        batches.append(order[start:end])
        start = end
    return batches


class EvaluationBatches:
    """Examples in batches of bounded size: one process's share of them, in the same order every time."""

    def __init__(self, examples: RaggedExamples, *, tokens: int, share: int = 0, shares: int = 1) -> None:
        """Split ``examples`` over ``shares`` processes into batches of at most ``tokens`` tokens, padding included."""
        mine = np.arange(share, len(examples), shares)
        self.examples = examples
        self.batches = [
            mine[batch] for batch in budget_batches(examples.lengths[mine], tokens=tokens, sides=examples.sides)
        ]

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        for indices in self.batches:
            yield collate(self.examples, indices)


def pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return sequences of token numbers as (B, L) with zeros behind, and their lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PADDING), lengths
