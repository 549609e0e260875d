"""The stream of training batches, epoch after epoch, or as a curriculum says."""

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
    """Where batches come from: any of them, by number from 0 on, without an end."""

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch; another attempt may have others."""
        ...


class Epochs:
    """The batches of a set of examples, epoch after epoch. (A [`Source`][]; every attempt has the same.)"""

    def __init__(self, examples: RaggedExamples, *, batch: int, window: int, seed: int, least: int = 1) -> None:
        """Cut ``examples`` into batches as [`epoch_batches`][] does."""
        self.examples = examples
        self.options = {"batch": batch, "window": window, "seed": seed, "least": least}
        self._number = -1
        self._batches: list[NDArray[np.int64]] = []
        self.per_epoch = len(self.epoch(0))

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch; one epoch is kept."""
        if number != self._number:
            self._batches = epoch_batches(self.examples.lengths, **self.options, epoch=number)
            self._number = number
        return self._batches

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch, by its number from the first epoch's first on."""
        del attempt
        epoch, place = divmod(number, self.per_epoch)
        return self.examples.select(self.epoch(epoch)[place])

    def sequences(self, batches: int) -> int:
        """Return how many examples the first so many batches have."""
        epochs, rest = divmod(batches, self.per_epoch)
        return epochs * len(self.examples) + sum(len(batch) for batch in self.epoch(epochs)[:rest])

    def batches(self, sequences: int, least: int) -> int:
        """Return how many batches so many examples make; fewer than ``least`` left over join the batch before."""
        epochs, rest = divmod(sequences, len(self.examples))
        ends = np.cumsum([0, *(len(batch) for batch in self.epoch(epochs))])
        whole = int(np.searchsorted(ends, rest, side="right")) - 1
        return epochs * self.per_epoch + whole + int(rest - ends[whole] >= least)


class Pools:
    """The batches of a stage, drawn in pools from the stage's own distribution and those that it rehearses."""

    def __init__(
        self, parts: Sequence[tuple[float, Sampler]], *, batch: int, window: int, seed: Sequence[int], least: int = 1
    ) -> None:
        """Draw batches.

        Args:
            parts: what to draw from, with the share of each.
            batch: examples a batch.
            window: batches of a pool within which to sort by length.
            seed: of the draws, together with the attempt and the number of the pool.
            least: see [`epoch_batches`][].
        """
        self.parts, self.seed = parts, seed
        self.size, self.window, self.least = batch, window, least
        self._which: tuple[int, int] | None = None

    def batch(self, number: int, attempt: int = 0) -> RaggedExamples:
        """Return a batch; one pool is kept."""
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
        """Draw a pool: of each part its share, rounded."""
        shares = np.cumsum([share for share, _ in self.parts])
        counts = np.diff(np.rint(shares / shares[-1] * self.size * POOL).astype(int), prepend=0)
        drawn = zip(self.parts, counts.tolist(), strict=True)
        return RaggedExamples.concatenate([sampler(count, rng) for (_, sampler), count in drawn if count])


POOL = 50
"""Batches that are drawn together: enough to sort within, and to mix shares exactly."""


class TrainingStream:
    """Every training batch from the first stage on, without an end: one process's share of each.

    It goes where the curriculum says: in the last stage, or without a curriculum, through the training split's epochs.
    Positions and seed are all that resuming needs. The processes' shares of a batch are disjoint, together the batch,
    and of similar lengths.
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
        """Make a stream.

        Args:
            examples: what to learn from: the training split.
            batch: examples a batch, over all processes, unless a stage has another number.
            window: batches within which to sort by length.
            seed: of the order, and of what is drawn.
            share: this process's number, from 0.
            shares: how many processes.
            sequences: examples after which the batches end, the last one cut to fit; None: no end.
            curriculum: where the training is; None: in the training split from the beginning.
            samplers: of each stage's own examples, but the last stage's.

        Raises:
            UserError: there are fewer examples, or a smaller batch, or fewer sequences, than processes.
        """
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
                    f"each of {shares} devices needs an example of every batch: there are {len(examples)} training "
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
        """Batches of one pass over the training split."""
        return self.epochs.per_epoch

    @property
    def steps(self) -> int:
        """Batches until the sequences are over; with a curriculum as if all were the training split's."""
        return sys.maxsize if self.limit is None else self.epochs.batches(self.limit, self.shares)

    @property
    def epoch(self) -> float:
        """Passes over the training split so far; what a curriculum's earlier stages draw of it does not count."""
        if self.curriculum.running:
            return 0.0
        return (self.position - self.curriculum.began.steps) / self.batches_per_epoch

    @property
    def ended(self) -> bool:
        """Whether there are no more sequences."""
        return self.limit is not None and self.sequences >= self.limit

    @property
    def longest(self) -> int:
        """Tokens of the longest example there may be."""
        return max(int(self.examples.lengths.max()), *(stage.most_tokens for stage in self.curriculum.stages))

    def __len__(self) -> int:
        """Return a number that is never reached: the trainer's limits end the training, not the data."""
        return sys.maxsize

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share of each batch from the position on."""
        while not self.ended:
            examples = self.take()
            mine = np.arange(self.share, len(examples), self.shares)
            yield collate(examples, mine, size=len(examples))

    def take(self) -> RaggedExamples:
        """Return the next batch, all processes' shares together, cut where the sequences end, and move on."""
        at = self.position - self.curriculum.began.steps
        source, attempt = self._sources[self.curriculum.number], self.curriculum.attempt
        examples = source.batch(at, attempt)
        left = sys.maxsize if self.limit is None else self.limit - self.sequences
        if left < len(examples):
            examples = examples.head(left)
        elif 0 < left - len(examples) < self.shares:  # too few for a batch of their own
            more = source.batch(at + 1, attempt).head(left - len(examples))
            examples = RaggedExamples.concatenate([examples, more])
        self.position += 1
        self.sequences += len(examples)
        return examples

    def state_dict(self) -> dict[str, Any]:
        """Return where it is."""
        return {
            "position": self.position,
            "sequences": self.sequences,
            "curriculum": self.curriculum.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.position = state["position"]
        if "curriculum" in state:
            self.sequences = state["sequences"]
            self.curriculum.load_state_dict(state["curriculum"])
        else:  # from before there were curricula
            self.sequences = self.epochs.sequences(self.position)
