"""The ListOps splits, and how they are generated from a seed and cached."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nestree.data import RaggedExamples, load_or_make
from nestree.data import cache_dir as default_cache_dir
from nestree.errors import OptionError
from nestree.tasks.base import Progress
from nestree.tasks.families import MEAN_LENGTH, Claim, Family
from nestree.tasks.listops.sampler import Grammar, LengthLaw, sample, sample_within

GENERATOR_VERSION = 1
"""Increased whenever a seed's examples change; cached files of another version are replaced."""

_BATCH_TOKENS = 250_000
_POOL_BATCH = 20_000


@dataclass(frozen=True)
class Split:
    """Definition of a split."""

    name: str
    """Name for ``load_split``."""
    grammar: Grammar
    """Distribution of the expressions."""
    lengths: tuple[int, int] | None
    """Minimal and maximal length, tokens, both inclusive; None for any length."""
    size: int
    """Number of examples; for train, the number drawn, of which the 80,000 or so with at most 100 tokens are kept."""
    description: str
    """Description in one line."""
    family: Family
    """Tests that are drawn in the same chart."""

    @property
    def place(self) -> float | None:
        """Maximal number of arguments, if that is the family's axis."""
        return self.grammar.max_args if self.family.name == ARGUMENTS.name else None

    @property
    def pooled(self) -> bool:
        """Whether it is part of the pool, the set of distinct expressions for train, validation and near-iid."""
        return self.name in POOLED


POOLED = ("train", "validation", "near-iid")
PUBLISHED = Grammar(depth=20, max_args=5)
"""Grammar of the published training data."""

LENGTH = Family(
    "length",
    "Length (up to 5 arguments)",
    axis=MEAN_LENGTH,
    claim=Claim(0.9, 1_000, "published for RIR: at least 90 % at every length up to 1,000"),
)
ARGUMENTS = Family("arguments", "Arguments (100 to 1,000 tokens)", axis="most arguments", trained=PUBLISHED.max_args)
ARENA = Family("arena", "Long Range Arena")


def _table() -> dict[str, Split]:
    rows = [
        Split(
            "train", PUBLISHED, (1, 100), 90_000, "those of 90,000 distinct expressions with at most 100 tokens", LENGTH
        ),
        Split("validation", PUBLISHED, None, 1_000, "like train, but of any length", LENGTH),
        Split(
            "near-iid", PUBLISHED, None, 10_000, "like train, but of any length (89 % have at most 100 tokens)", LENGTH
        ),
    ]
    for shortest in range(200, 1_000, 100):
        span = (shortest, shortest + 100)
        description = f"length generalization, {span[0]} to {span[1]} tokens"
        rows.append(Split(f"{span[0]}-{span[1]}", PUBLISHED, span, 2_000, description, LENGTH))
    for name, most in (("args-iid", 5), ("args-10", 10), ("args-15", 15)):
        description = f"argument generalization, up to {most} arguments, 100 to 1,000 tokens"
        rows.append(Split(name, Grammar(depth=9, max_args=most), (100, 1_000), 2_000, description, ARGUMENTS))
    arena = "Long Range Arena's ListOps, as a test only"
    rows += [
        Split("lra", Grammar(depth=10, max_args=10), (501, 1_999), 2_000, arena, ARENA),
        Split("10000", PUBLISHED, (9_000, 10_000), 200, "length generalization, 9,000 to 10,000 tokens", LENGTH),
    ]
    return {row.name: row for row in rows}


SPLITS = _table()
"""Splits by name."""


def load_split(
    name: str,
    *,
    seed: int,
    grammar: Grammar = PUBLISHED,
    cache_dir: str | Path | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> RaggedExamples:
    """Return a split, generating it on first use.

    The same seed gives the same examples on every machine. All examples of a split are distinct, as in the published
    files. Train, validation and near-iid are disjoint parts of one set of distinct expressions in random order. Tests
    with longer inputs are distributed as by rejecting expressions outside their range of lengths.

    Args:
        name: One of [`SPLITS`][].
        seed: At least 0; each split has its own stream of random numbers.
        grammar: Grammar of train, validation and near-iid; other splits have their own.
        cache_dir: Folder of generated splits; by default [`nestree.data.cache_dir`][].
        size: Number of examples, the first ones (all, if there are fewer); they do not depend on the size.
        progress: Called while the split is generated.

    Raises:
        ValueError: There is no such split, or seed or size is out of range.
        UserError: The cache folder cannot be written.
    """
    if name not in SPLITS:
        raise OptionError("split", f"must be one of {', '.join(SPLITS)}, not {name!r}")
    if seed < 0:
        raise OptionError("seed", f"must be 0 or more, not {seed}")
    split = split_of(name, grammar)
    if size is not None and size < 1:
        raise OptionError("size", f"must be 1 or more, not {size}")
    wanted = split.size if size is None else min(size, split.size)
    source = _source(split, wanted)
    return load_or_make(
        split_path(split, wanted, seed, cache_dir),
        seed=seed,
        source=source,
        make=lambda: _generate(split, wanted, seed, source, progress or _silent),
    )


def split_of(name: str, grammar: Grammar) -> Split:
    """Return the split of that name; train, validation and near-iid have this ``grammar``."""
    split = SPLITS[name]
    if split.pooled:
        # With another number of arguments, near-IID and the tests of length differ not only in length.
        own = Family("near-IID", f"Near-IID (up to {grammar.max_args} arguments)")
        family = split.family if grammar.max_args == PUBLISHED.max_args else own
        return dataclasses.replace(split, grammar=grammar, family=family)
    if split.family is ARGUMENTS:
        return dataclasses.replace(split, family=dataclasses.replace(ARGUMENTS, trained=grammar.max_args))
    return split


def split_path(split: Split, size: int, seed: int, cache_dir: str | Path | None = None) -> Path:
    """Return the cache file of the first ``size`` examples of a split."""
    folder = Path(default_cache_dir() if cache_dir is None else cache_dir) / "listops"
    grammar = split.grammar
    # Only grammars that differ from the default are part of the name, so that existing cache files are found.
    drawn = "" if grammar == SPLITS[split.name].grammar else f"-depth{grammar.depth}-args{grammar.max_args}"
    return folder / f"{split.name}{drawn}-seed{seed}-size{size}.safetensors"


def _source(split: Split, size: int) -> dict[str, Any]:
    """Return what a split is generated from, as JSON values."""
    return {
        "generator": "nestree listops",
        "version": GENERATOR_VERSION,
        "split": split.name,
        "depth": split.grammar.depth,
        "max_args": split.grammar.max_args,
        "operator_probability": split.grammar.operator_probability,
        "lengths": list(split.lengths) if split.lengths else None,
        "size": size,
    }


def _generate(split: Split, size: int, seed: int, source: dict[str, Any], progress: Progress) -> RaggedExamples:
    progress(0, size)
    drawn = _from_pool(split, seed) if split.pooled else draw_within(split, size, seed, progress)
    drawn = drawn.head(size)
    progress(len(drawn), len(drawn))
    return dataclasses.replace(drawn, name=f"listops/{split.name}", seed=seed, source=source)


def _from_pool(split: Split, seed: int) -> RaggedExamples:
    """Return the part of the pool that is this split."""
    start = sum(SPLITS[name].size for name in POOLED[: POOLED.index(split.name)])
    pool = draw_pool(sum(SPLITS[name].size for name in POOLED), seed, split.grammar)
    part = pool.select(np.arange(start, start + split.size))
    if split.lengths is None:
        return part
    shortest, longest = split.lengths
    return part.select((part.lengths >= shortest) & (part.lengths <= longest))


@functools.lru_cache(maxsize=1)  # its three splits are usually loaded one after the other
def draw_pool(size: int, seed: int, grammar: Grammar = PUBLISHED) -> RaggedExamples:
    """Draw a set of distinct expressions of any length (Nangia and Bowman 2018), in random order.

    There is no limit of length: with 0.875 children per node on average, trees are finite, the largest of a pool having
    about a thousand tokens. Four in five draws are very short expressions that the set has already. Short expressions
    are drawn early, so the set is shuffled before it is split; otherwise the last split would have none of them.
    """
    batches = (sample(grammar, _POOL_BATCH, _stream("pool", seed, batch)) for batch in itertools.count())
    pool = _distinct(batches, size, _silent)
    # Sorting random numbers gives a permutation that does not depend on how numpy shuffles.
    return pool.select(np.argsort(_stream("pool order", seed, 0).random(size), kind="stable"))


def draw_within(split: Split, size: int, seed: int, progress: Progress | None = None) -> RaggedExamples:
    """Draw distinct expressions with lengths in the split's range; the first ones do not depend on ``size``.

    Raises:
        ValueError: the split has no range of lengths.
    """
    if split.lengths is None:
        raise ValueError(f"{split.name} has no range of lengths")
    law = LengthLaw(split.grammar, *split.lengths)
    # The batches do not depend on `size`, so the first examples do not either.
    count = max(1, _BATCH_TOKENS // split.lengths[1])
    batches = (sample_within(law, count, _stream(split.name, seed, batch)) for batch in itertools.count())
    return _distinct(batches, size, progress or _silent)


def _distinct(batches: Iterable[RaggedExamples], size: int, progress: Progress) -> RaggedExamples:
    """Return the first ``size`` distinct expressions, in order."""
    seen: set[bytes] = set()
    kept: list[RaggedExamples] = []
    for batch in batches:
        content, bounds = batch.tokens.tobytes(), batch.offsets.tolist()
        new = []
        for index, (first, end) in enumerate(itertools.pairwise(bounds)):
            # Digests save memory: the expressions of a large split take hundreds of megabytes.
            key = hashlib.blake2b(content[first:end], digest_size=16).digest()
            if key not in seen:
                seen.add(key)
                new.append(index)
        kept.append(batch.select(np.array(new, dtype=np.int64)))
        progress(min(len(seen), size), size)
        if len(seen) >= size:
            break
    return RaggedExamples.concatenate(kept).head(size)


def _stream(name: str, seed: int, batch: int) -> np.random.Generator:
    """Return the random number generator of a batch of a split, the same on every machine."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=">u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words], spawn_key=(batch,))))


def _silent(_done: int, _total: int) -> None:
    pass
