"""The stream of training batches: epochs of the training split, or the stages of a curriculum."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nestree.data.batches import Batch, collate, epoch_batches, shuffled_batches
from nestree.data.ragged import RaggedExamples
from nestree.errors import OptionError, UserError
from nestree.tasks.stages import TRAIN, Sampler, from_split
from nestree.training.curriculum import Curriculum


class Source(Protocol):
    """An endless sequence of batches, accessed by number, from 0."""

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch; it may depend on the attempt."""
        ...


class Epochs:
    """A [`Source`][] with the batches of [`epoch_batches`][], epoch after epoch, the same for every attempt."""

    def __init__(self, examples: RaggedExamples, *, batch: int, window: int, seed: int, least: int = 1) -> None:
        self.examples = examples
        self.options = {"batch": batch, "window": window, "seed": seed, "least": least}
        self._number = -1
        self._batches: list[NDArray[np.int64]] = []
        self.per_epoch = len(self.epoch(0))

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch as arrays of indices; the last epoch is cached."""
        if number != self._number:
            self._batches = epoch_batches(self.examples.lengths, **self.options, epoch=number)
            self._number = number
        return self._batches

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch, numbered from the first batch of the first epoch."""
        del attempt
        epoch, place = divmod(number, self.per_epoch)
        return self.examples.select(self.epoch(epoch)[place])

    def sequences(self, batches: int) -> int:
        """Return the number of examples in the first ``batches`` batches."""
        epochs, rest = divmod(batches, self.per_epoch)
        return epochs * len(self.examples) + sum(len(batch) for batch in self.epoch(epochs)[:rest])

    def batches(self, sequences: int, least: int) -> int:
        """Return the number of batches for ``sequences`` examples; a rest below ``least`` joins the batch before."""
        epochs, rest = divmod(sequences, len(self.examples))
        ends = np.cumsum([0, *(len(batch) for batch in self.epoch(epochs))])
        whole = int(np.searchsorted(ends, rest, side="right")) - 1
        return epochs * self.per_epoch + whole + int(rest - ends[whole] >= least)


class Pools:
    """A [`Source`][] with the batches of a stage, drawn in pools from a mixture of distributions.

    Args:
        parts: (share, sampler) of each distribution.
        batch: examples per batch.
        window: how many batches of a pool are sorted by length together.
        seed: seed of the draws, together with the attempt and the number of the pool.
        least: see [`epoch_batches`][].
    """

    def __init__(
        self, parts: Sequence[tuple[float, Sampler]], *, batch: int, window: int, seed: Sequence[int], least: int = 1
    ) -> None:
        self.parts, self.seed = parts, seed
        self.size, self.window, self.least = batch, window, least
        self._which: tuple[int, int] | None = None

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch; the last pool is cached."""
        pool, place = divmod(number, POOL)
        if self._which != (attempt, pool):
            rng = np.random.default_rng([*self.seed, attempt, pool])
            self._examples = self._mixed(rng)
            self._batches = shuffled_batches(
                self._examples.lengths, rng, batch=self.size, window=self.window, least=self.least
            )
            self._which = (attempt, pool)
        return self._examples.select(self._batches[place])

    def _mixed(self, rng: np.random.Generator) -> RaggedExamples:
        """Draw a pool, with the rounded share of each part."""
        shares = np.cumsum([share for share, _ in self.parts])
        counts = np.diff(np.rint(shares / shares[-1] * self.size * POOL).astype(int), prepend=0)
        drawn = zip(self.parts, counts.tolist(), strict=True)
        return RaggedExamples.concatenate([sampler(count, rng) for (_, sampler), count in drawn if count])


POOL = 50
"""Number of batches per pool: enough to sort by length, and for exact shares of a mixture."""


class TrainingStream:
    """An endless stream of training batches: one process's share of each.

    The curriculum decides what is drawn; in its last stage, or without a curriculum, these are epochs of the training
    split. To resume, position and seed are sufficient. The processes' shares of a batch are disjoint, complete and of
    similar lengths.

    Args:
        examples: the training split.
        batch: examples per batch, over all processes, unless a stage has another number.
        window: how many batches are sorted by length together.
        seed: seed of the order and of what is drawn.
        share: number of this process, from 0.
        shares: number of processes.
        sequences: number of examples after which the stream ends, with the last batch cut to fit; None: no end.
        curriculum: the state of the curriculum; None for the training split only.
        samplers: samplers of all stages except the last.

    Raises:
        UserError: there are fewer training examples, examples per batch or sequences than processes.
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
        curriculum: Curriculum | None = None,
        samplers: Sequence[Sampler] = (),
    ) -> None:
        self.curriculum = Curriculum() if curriculum is None else curriculum
        self.examples = examples
        self.share, self.shares = share, shares
        self.limit = sequences
        self.position = 0
        self.sequences = 0
        *stages, last = self.curriculum.stages
        for size in [stage.batch or batch for stage in self.curriculum.stages]:
            if min(len(examples), size) < shares:
                raise UserError(
                    f"each of {shares} devices needs an example from each batch: there are {len(examples)} training "
                    f"examples in batches of {size}"
                )
        if sequences is not None and sequences < shares:
            reason = f"must be at least {shares}, one per device, not {sequences}"
            raise OptionError("trainer.max_sequences", reason)
        self.epochs = Epochs(examples, batch=last.batch or batch, window=window, seed=seed, least=shares)
        samplers_by_name = {stage.name: sampler for stage, sampler in zip(stages, samplers, strict=True)}
        samplers_by_name[TRAIN] = from_split(examples)
        self._sources: list[Source] = []
        for number, stage in enumerate(stages):
            mix = {stage.name: 1 - sum(stage.also.values()), **stage.also}
            parts = [(share, samplers_by_name[name]) for name, share in mix.items()]
            size = stage.batch or batch
            self._sources.append(Pools(parts, batch=size, window=window, seed=[seed, number], least=self.shares))
        self._sources.append(self.epochs)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in one epoch of the training split."""
        return self.epochs.per_epoch

    @property
    def steps(self) -> int:
        """Number of batches in the stream, counted as if all were from the training split."""
        return sys.maxsize if self.limit is None else self.epochs.batches(self.limit, self.shares)

    @property
    def epoch(self) -> float:
        """Epochs of the training split so far, counted in the last stage of a curriculum."""
        if self.curriculum.running:
            return 0.0
        return (self.position - self.curriculum.began.steps) / self.batches_per_epoch

    @property
    def ended(self) -> bool:
        """Whether the limit of sequences is reached."""
        return self.limit is not None and self.sequences >= self.limit

    @property
    def longest(self) -> int:
        """Length of the longest possible example, tokens."""
        return max(int(self.examples.lengths.max()), *(stage.most_tokens for stage in self.curriculum.stages))

    def __len__(self) -> int:
        """Return a number that is never reached, as the trainer's limits end the training."""
        return sys.maxsize

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share of each batch, from the current position."""
        while not self.ended:
            examples = self.take()
            mine = np.arange(self.share, len(examples), self.shares)
            yield collate(examples, mine, size=len(examples))

    def take(self) -> RaggedExamples:
        """Return the next whole batch, cut at the limit of sequences, and advance the position."""
        at = self.position - self.curriculum.began.steps
        source, attempt = self._sources[self.curriculum.number], self.curriculum.attempt
        examples = source.batch(at, attempt)
        left = sys.maxsize if self.limit is None else self.limit - self.sequences
        if left < len(examples):
            examples = examples.head(left)
        elif 0 < left - len(examples) < self.shares:  # too few for another batch
            more = source.batch(at + 1, attempt).head(left - len(examples))
            examples = RaggedExamples.concatenate([examples, more])
        self.position += 1
        self.sequences += len(examples)
        return examples

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "position": self.position,
            "sequences": self.sequences,
            "curriculum": self.curriculum.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.position = state["position"]
        if "curriculum" in state:
            self.sequences = state["sequences"]
            self.curriculum.load_state_dict(state["curriculum"])
        else:  # an older checkpoint, without a curriculum
            self.sequences = self.epochs.sequences(self.position)
