"""The ListOps splits: what each is, and how it is generated from a seed and kept."""

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
"""Raised with every change to what a seed draws; cached files of another version are made again."""

_BATCH_TOKENS = 250_000
_POOL_BATCH = 20_000


@dataclass(frozen=True)
class Split:
    """One row of the table of splits."""

    name: str
    """As `load_split` takes it."""
    grammar: Grammar
    """What its expressions are drawn from."""
    lengths: tuple[int, int] | None
    """Fewest and most tokens, both allowed; None for any length."""
    size: int
    """Examples (of train: drawn; those of at most 100 tokens, about 80,000, are kept)."""
    description: str
    """One line."""
    family: Family
    """The tests it belongs on one chart with."""

    @property
    def place(self) -> float | None:
        """Most arguments of an operator, where that is what its family's tests differ in."""
        return self.grammar.max_args if self.family.name == ARGUMENTS.name else None

    @property
    def pooled(self) -> bool:
        """Whether it is a part of the one set of distinct expressions that train and near-IID tests are cut from."""
        return self.name in POOLED


POOLED = ("train", "validation", "near-iid")
PUBLISHED = Grammar(depth=20, max_args=5)
"""What the published models are trained on."""

LENGTH = Family(
    "length",
    "Length (up to 5 arguments)",
    axis=MEAN_LENGTH,
    claim=Claim(0.9, 1_000, "published for RIR: at least 90 % at every length up to 1,000"),
)
ARGUMENTS = Family("arguments", "Arguments (100 to 1,000 tokens)", axis="most arguments", trained=PUBLISHED.max_args)
ARENA = Family("arena", "Long Range Arena")


def _table() -> dict[str, Split]:
    """Build the table, in the order of its help."""
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
"""Every split by name."""


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
    files, and no expression is in two of train, validation and near-iid: the three are cut from one set of distinct
    expressions in random order. Tests of longer inputs are drawn as if expressions outside of their range of lengths
    had been thrown away.

    Args:
        name: One of [`SPLITS`][].
        seed: From 0 up; every split is drawn from its own stream of random numbers.
        grammar: What train, validation and near-iid are drawn from; the other splits have their own.
        cache_dir: Folder that keeps generated splits; by default [`nestree.data.cache_dir`][].
        size: Only the first ``size`` examples of the split (all, if it has fewer); they are the same whatever the size.
        progress: Told how far generating is; not called for a split that is kept already.

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
    """Return the split of that name where train, validation and near-iid are drawn from ``grammar``."""
    split = SPLITS[name]
    if split.pooled:
        # With other numbers of arguments, near-IID differs from the tests of length in more than length.
        own = Family("near-IID", f"Near-IID (up to {grammar.max_args} arguments)")
        family = split.family if grammar.max_args == PUBLISHED.max_args else own
        return dataclasses.replace(split, grammar=grammar, family=family)
    if split.family is ARGUMENTS:
        return dataclasses.replace(split, family=dataclasses.replace(ARGUMENTS, trained=grammar.max_args))
    return split


def split_path(split: Split, size: int, seed: int, cache_dir: str | Path | None = None) -> Path:
    """Return the file that keeps the first ``size`` examples of a split."""
    folder = Path(default_cache_dir() if cache_dir is None else cache_dir) / "listops"
    grammar = split.grammar
    # Named only where it is a choice, so that what lies in caches already is found.
    drawn = "" if grammar == SPLITS[split.name].grammar else f"-depth{grammar.depth}-args{grammar.max_args}"
    return folder / f"{split.name}{drawn}-seed{seed}-size{size}.safetensors"


def _source(split: Split, size: int) -> dict[str, Any]:
    """Say what a split was generated from, in terms that JSON keeps."""
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
    """Generate the first ``size`` examples of a split."""
    progress(0, size)
    drawn = _from_pool(split, seed) if split.pooled else draw_within(split, size, seed, progress)
    drawn = drawn.head(size)
    progress(len(drawn), len(drawn))
    return dataclasses.replace(drawn, name=f"listops/{split.name}", seed=seed, source=source)


def _from_pool(split: Split, seed: int) -> RaggedExamples:
    """Cut a split out of the pool."""
    start = sum(SPLITS[name].size for name in POOLED[: POOLED.index(split.name)])
    pool = draw_pool(sum(SPLITS[name].size for name in POOLED), seed, split.grammar)
    part = pool.select(np.arange(start, start + split.size))
    if split.lengths is None:
        return part
    shortest, longest = split.lengths
    return part.select((part.lengths >= shortest) & (part.lengths <= longest))


@functools.lru_cache(maxsize=1)  # the three splits that are cut from it are mostly wanted one after another
def draw_pool(size: int, seed: int, grammar: Grammar = PUBLISHED) -> RaggedExamples:
    """Draw a set of distinct expressions of any length (Nangia and Bowman 2018), in random order.

    Trees are drawn whole, however large: with 0.875 children to a node on average they end by themselves, the largest
    of a pool at about a thousand tokens. Four draws in five are digits and other very short expressions that the set
    has already. The first of them come early, so the order is mixed before the set is cut into splits: otherwise the
    last split would have none of them.
    """
    batches = (sample(grammar, _POOL_BATCH, _stream("pool", seed, batch)) for batch in itertools.count())
    pool = _distinct(batches, size, _silent)
    # Sorting random numbers is a permutation that stays the same whatever numpy's own shuffling does.
    return pool.select(np.argsort(_stream("pool order", seed, 0).random(size), kind="stable"))


def draw_within(split: Split, size: int, seed: int, progress: Progress | None = None) -> RaggedExamples:
    """Draw distinct expressions with lengths in the split's range; the first ones are the same whatever the size.

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
    """Keep the first ``size`` distinct expressions, in the order in which they come."""
    seen: set[bytes] = set()
    kept: list[RaggedExamples] = []
    for batch in batches:
        content, bounds = batch.tokens.tobytes(), batch.offsets.tolist()
        new = []
        for index, (first, end) in enumerate(itertools.pairwise(bounds)):
            # A digest, since the expressions of a large split take hundreds of megabytes.
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
    """Return the random numbers of one batch of one split, the same on every machine."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=">u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words], spawn_key=(batch,))))


def _silent(_done: int, _total: int) -> None:
    """Report no progress."""
