"""Batches: shuffled and of similar length for training, of bounded size for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestree.data.ragged import RaggedExamples

PADDING = 0
"""Token number of padding; its embedding is never read."""


class Batch(NamedTuple):
    """One process's share of a batch."""

    tokens: Tensor
    """(B * sides, L) token numbers, padded with zeros; the sides of an example are consecutive rows."""
    lengths: Tensor
    """(B * sides,)"""
    labels: Tensor
    """(B,) numbers of the labels; or (B, outputs) where the answers are not single labels, float32."""
    size: int
    """Examples in the whole batch, over all processes."""


def collate(
    examples: RaggedExamples, indices: Sequence[int] | NDArray[np.integer], *, size: int | None = None
) -> Batch:
    """Pad the examples at ``indices`` into one batch; ``size`` defaults to their number."""
    first = np.asarray(indices, dtype=np.int64)[:, None] * examples.sides + np.arange(examples.sides)
    start = examples.offsets[first.ravel()]
    length = examples.offsets[first.ravel() + 1] - start
    place = np.arange(length.max(initial=0))
    real = place < length[:, None]
    padded = np.full(real.shape, PADDING, dtype=np.int64)
    padded[real] = examples.tokens[(start[:, None] + place)[real]]
    tokens, lengths = torch.from_numpy(padded), torch.from_numpy(length)
    if examples.answers is None:
        labels = torch.from_numpy(examples.labels[np.asarray(indices)].astype(np.int64))
    else:
        labels = torch.from_numpy(examples.answers[np.asarray(indices)].astype(np.float32))
    return Batch(tokens, lengths, labels, len(indices) if size is None else size)


def epoch_batches(
    lengths: NDArray[np.integer], *, batch: int, window: int, seed: int, epoch: int, least: int = 1
) -> list[NDArray[np.int64]]:
    """Return the batches of an epoch as arrays of indices. Each index occurs once; seed and epoch decide the order.

    Args:
        lengths: (N,) length of each example.
        batch: examples per batch; the last one of an epoch may have fewer.
        window: how many batches are sorted by length together.
        seed: seed of the shuffles.
        epoch: counted from 0.
        least: a last batch with fewer examples is added to another one, as each process needs an example.
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
    """Return batches of at most ``tokens`` tokens, padding included, as arrays of indices; the longest come first.

    ``lengths`` (N,) are those of each example's longest side. An example longer than ``tokens`` is a batch by itself.
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
    """One process's share of the examples, in batches of bounded size and always in the same order.

    Args:
        examples: the examples of all processes.
        tokens: tokens per batch at most, padding included.
        share: number of this process, from 0.
        shares: number of processes.
    """

    def __init__(self, examples: RaggedExamples, *, tokens: int, share: int = 0, shares: int = 1) -> None:
        mine = np.arange(share, len(examples), shares)
        self.examples = examples
        self.batches = [
            mine[batch] for batch in budget_batches(examples.lengths[mine], tokens=tokens, sides=examples.sides)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.batches:
            yield collate(self.examples, indices)


def pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return sequences of token numbers as (B, L), padded with zeros at the end, and their lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PADDING), lengths
