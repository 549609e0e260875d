"""The jobs of a benchmark: encoders, engines, modes and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.bench.options import LENGTHS, LONG_LENGTHS, LONGEST_TRAINING, RANGES, BenchOptions
from nestree.data.batches import epoch_batches
from nestree.encoders.ebt import SliceOptions
from nestree.encoders.registry import ENCODERS
from nestree.native.library import load, multiplies_bfloat16
from nestree.recursions.beam.options import ENGINES
from nestree.tasks import DataOptions
from nestree.tasks.listops import ListOps

LISTOPS = "ListOps <= 100"
"""Name of inputs with the lengths of ListOps' training split."""
MODES = ("inference", "training")
ONE_BY_ONE = "one by one"
"""Mode with one sequence per training step, as in the published comparison of time and memory."""
BFLOAT16 = "bfloat16"
"""Name, beside the engines', of the compiled library under autocast to bfloat16."""
MEASURED = (BFLOAT16, *ENGINES)
"""All that one encoder can be measured with, the fastest first."""
PER_RANGE = 4
"""Number of sequences per range of lengths in that mode."""


@dataclass(frozen=True)
class Job:
    """One measurement: an untrained model, and the batches of a pass."""

    encoder: str
    engine: str | None
    """One of [`MEASURED`][]; None for encoders without a choice of engines."""
    mode: str
    """Inference, training (forward, backward and optimizer step) or one by one (training, one sequence per step)."""
    data: str
    """Name of the inputs."""
    length: int | None
    """Length of the inputs, or the middle of their range, tokens; None if lengths differ."""
    batches: tuple[tuple[int, ...], ...]
    """Lengths of the sequences of each batch."""

    @property
    def sequences(self) -> int:
        """Number of sequences per pass."""
        return sum(map(len, self.batches))

    @property
    def tokens(self) -> int:
        """Number of tokens per pass."""
        return sum(map(sum, self.batches))

    @property
    def batch(self) -> int:
        """Number of sequences in the largest batch."""
        return max(map(len, self.batches))

    def __str__(self) -> str:
        engine = f" ({self.engine})" if self.engine else ""
        return f"{self.encoder}{engine}, {self.mode}, {self.data}"


def plan(options: BenchOptions) -> Iterator[Job]:
    """Yield the jobs; those of one encoder, engine and mode are consecutive, from short to long inputs."""
    listops = listops_batches(options)
    for encoder in options.encoders:
        for mode in MODES:
            for engine in measured_engines(encoder, options):
                naive = engine == ENGINES[-1]
                for length in lengths(options, encoder, mode):
                    most, tokens = options.batch, options.tokens
                    if naive:
                        most, tokens = min(most, options.naive_batch), min(tokens, options.naive_tokens)
                    count = max(1, min(most, tokens // length))
                    yield Job(encoder, engine, mode, f"{length:,} tokens", length, ((length,) * count,))
                if listops:
                    batches = tuple(thinned(batch, options.naive_batch) if naive else batch for batch in listops)
                    yield Job(encoder, engine, mode, LISTOPS, None, batches)
        if options.one_by_one:
            for engine in measured_engines(encoder, options):
                for shortest, longest in RANGES:
                    data, middle = f"{shortest:,}-{longest:,} tokens", (shortest + longest) // 2
                    yield Job(encoder, engine, ONE_BY_ONE, data, middle, within(shortest, longest))


def within(shortest: int, longest: int) -> tuple[tuple[int, ...], ...]:
    """Return [`PER_RANGE`][] batches of one sequence each, with lengths evenly spread over a range."""
    step = (longest - shortest) / PER_RANGE
    return tuple((round(shortest + (number + 0.5) * step),) for number in range(PER_RANGE))


def engines(encoder: str, *, naive: bool = True) -> tuple[str | None, ...]:
    """Return the engines of an encoder, the fast one first; (None,) if there is no choice."""
    if "engine" not in _options(encoder):
        return (None,)
    return (ENGINES[0], ENGINES[-1]) if naive else ENGINES[:1]


def measured_engines(encoder: str, options: BenchOptions) -> tuple[str | None, ...]:
    """Return the engines to measure: three, and the fast one in bfloat16, where that is the compiled library."""
    found = engines(encoder, naive=options.naive)
    pairs = issubclass(ENCODERS[encoder], SliceOptions)
    compiled = options.device != "cuda" and not (options.device == "auto" and torch.cuda.is_available())
    if found[0] is None or not pairs or not compiled or load() is None:
        return found
    reduced = (BFLOAT16,) if options.bfloat16 and multiplies_bfloat16() else ()
    return (found[0], *reduced, *(("torch",) if options.pytorch else ()), *found[1:])


def lengths(options: BenchOptions, encoder: str, mode: str) -> list[int]:
    """Return the lengths at which an encoder is measured, in increasing order."""
    if options.lengths is not None:
        return sorted(set(options.lengths))
    long = LONG_LENGTHS if "arity" in _options(encoder) else ()
    return [*LENGTHS, *(length for length in long if mode == "inference" or length <= LONGEST_TRAINING)]


def listops_batches(options: BenchOptions) -> list[tuple[int, ...]]:
    """Return the lengths of batches of ListOps' training split, evenly spread from the shortest to the longest."""
    if options.listops_batches == 0:
        return []
    split = ListOps(seed=0).load("train")
    return spread(split.lengths, batch=options.listops_batch, count=options.listops_batches)


def spread(of_examples: NDArray[np.integer], *, batch: int, count: int) -> list[tuple[int, ...]]:
    """Return the lengths of ``count`` batches of an epoch, evenly spread over the batches sorted by tokens."""
    found = [
        of_examples[indices]
        for indices in epoch_batches(of_examples, batch=batch, window=DataOptions.window, seed=0, epoch=0)
    ]
    found.sort(key=lambda lengths: (int(lengths.sum()), len(lengths)))
    chosen = [found[place] for place in _places(len(found), count)]
    return [tuple(lengths.tolist()) for lengths in chosen]


def thinned(batch: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return ``count`` lengths of a batch, evenly spread; all lengths if there are fewer."""
    ordered = sorted(batch)
    return tuple(ordered[place] for place in _places(len(ordered), count))


def _places(total: int, count: int) -> list[int]:
    """Return the middles of ``count`` equal parts of ``range(total)``, or all of it if it is shorter."""
    if count >= total:
        return list(range(total))
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]


def _options(encoder: str) -> set[str]:
    return {field.name for field in fields(ENCODERS[encoder])}
