"""Batches: of similar length and shuffled for training, of bounded size for evaluation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError
from nestree.models import pad


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
    sequences = [side for index in indices for side in examples.sequences(int(index))]
    tokens, lengths = pad([torch.from_numpy(sequence.astype(np.int64)) for sequence in sequences])
    labels = torch.from_numpy(examples.labels[np.asarray(indices)].astype(np.int64))
    return Batch(tokens, lengths, labels, len(indices) if size is None else size)


def epoch_batches(
    lengths: NDArray[np.integer], *, batch: int, window: int, seed: int, epoch: int, least: int = 1
) -> list[NDArray[np.int64]]:
    """Return one epoch's batches as arrays of indices: each index once, the same for the same seed and epoch.

    The examples are shuffled, cut into windows of ``window`` batches, sorted by length inside each window, cut into
    batches, and the batches shuffled.

    Args:
        lengths: (N,) length of each example.
        batch: examples a batch; the last of an epoch may have fewer.
        window: batches within which to sort.
        seed: of the shuffles.
        epoch: counts from 0.
        least: a last batch of fewer examples than this joins another one (every process needs one).
    """
    rng = np.random.default_rng([seed, epoch])
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


class TrainingStream:
    """Every training batch from the first epoch on, without an end: one process's share of each.

    Its position is the number of batches taken, and is all that resuming needs: an epoch's batches follow from seed
    and epoch. The processes' shares of a batch are disjoint, together the batch, and of similar lengths.
    """

    def __init__(
        self,
        examples: RaggedExamples,
        *,
        batch: int,
        window: int,
        seed: int,
        share: int = 0,
        shares: int = 1,
        sequences: int | None = None,
    ) -> None:
        """Make a stream.

        Args:
            examples: what to learn from.
            batch: examples a batch, over all processes.
            window: batches within which to sort by length.
            seed: of the order.
            share: this process's number, from 0.
            shares: how many processes.
            sequences: examples after which ``steps`` batches end, the last one cut to fit; None: no end.

        Raises:
            UserError: there are fewer examples, or a smaller batch, or fewer sequences, than processes.
        """
        if min(len(examples), batch) < shares:
            raise UserError(
                f"each of {shares} devices needs an example of every batch: there are {len(examples)} training examples"
                f" in batches of {batch}"
            )
        self.examples = examples
        self.batch, self.window, self.seed = batch, window, seed
        self.share, self.shares = share, shares
        self.position = 0
        self._epoch = -1
        self._batches: list[NDArray[np.int64]] = []
        self.batches_per_epoch = len(self.epoch(0))
        self._whole, self._rest = self._end(sequences)
        self.steps = self._whole + (self._rest >= shares)

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch; one epoch is kept."""
        if number != self._epoch:
            self._batches = epoch_batches(
                self.examples.lengths,
                batch=self.batch,
                window=self.window,
                seed=self.seed,
                epoch=number,
                least=self.shares,
            )
            self._epoch = number
        return self._batches

    def _end(self, sequences: int | None) -> tuple[int, int]:
        """Return how many whole batches ``sequences`` examples fill, and how many of the next batch's are left."""
        if sequences is None:
            return sys.maxsize, 0
        if sequences < self.shares:
            raise UserError(f"--trainer.max_sequences must be at least {self.shares}, one a device, not {sequences}")
        epochs, rest = divmod(sequences, len(self.examples))
        ends = np.cumsum([0, *(len(batch) for batch in self.epoch(epochs))])
        whole = int(np.searchsorted(ends, rest, side="right")) - 1
        return epochs * self.batches_per_epoch + whole, int(rest - ends[whole])

    def indices(self, position: int) -> NDArray[np.int64]:
        """Return the examples of a batch, by its number from the first epoch's first on."""
        epoch, number = divmod(position, self.batches_per_epoch)
        found = self.epoch(epoch)[number]
        if position == self._whole:
            return found[: self._rest]
        if position + 1 == self.steps == self._whole and self._rest:  # too few for a batch of their own
            return np.concatenate([found, self.indices(self._whole)])
        return found

    def __len__(self) -> int:
        """Return a number that is never reached: the trainer's limits end the training, not the data."""
        return sys.maxsize

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share of each batch from the position on."""
        while self.position < self.steps:
            indices = self.indices(self.position)
            self.position += 1
            yield collate(self.examples, indices[self.share :: self.shares], size=len(indices))

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        self.position = state["position"]


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
