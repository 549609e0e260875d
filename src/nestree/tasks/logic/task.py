"""Logical inference as a task."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least
from nestree.data import RaggedExamples, RaggedWriter, cache_dir, load_or_write
from nestree.data.cache import source_digest
from nestree.errors import OptionError, UserError
from nestree.tasks.base import SECTION, DataOptions, OfficialSplit, Progress, Row
from nestree.tasks.families import Family
from nestree.tasks.logic.curriculum import CURRICULA, LogicStage
from nestree.tasks.logic.formula import IDS, OPERATORS, RELATIONS, VOCABULARY, encode
from nestree.tasks.logic.generator import GENERATOR_VERSION, TEST_SIZES, TRAIN_SIZES, split_pairs
from nestree.tasks.logic.reader import LAST, find_files, read_pairs
from nestree.tasks.official_files import READER_VERSION, files_fingerprint

LONGEST_TRAINED = 6
"""Maximal number of operators in the longer side in training and validation."""

OPERATORS_OF_LONGER = Family("operators", "Operators of the longer formula", axis="operators", trained=LONGEST_TRAINED)

_VALIDATION_EVERY = 10
_TESTS = {f"ops-{count}": count for count in range(LAST + 1)}


@dataclass(frozen=True)
class LogicOptions(DataOptions):
    """Logical inference, generated or from the official files."""

    task: str = "logic"
    """Name of the task."""
    path: str | None = None
    """Folder with the official files train0, test0, ..., or a folder above it; null: generate."""

    stage_kind = LogicStage
    curricula = CURRICULA

    def open(self, state: Mapping[str, Any] | None = None) -> Logic:
        """Return the task."""
        return Logic(self.seed, None if self.path is None else Path(self.path).expanduser())


class Logic:
    """A [`nestree.tasks.Task`][]: the relation between two propositional formulas.

    The longer side has up to six operators in training, and up to twelve in tests. Every tenth training pair is held
    out for validation. Pairs are drawn from ``seed``, or read from the official files at ``path``.
    """

    name: str = "logic"
    vocabulary_size: int = len(VOCABULARY)
    sides: int = 2
    label_names: tuple[str, ...] = RELATIONS
    first_tests: tuple[str, ...] = ("ops-2", "ops-4", "ops-6", "ops-8")
    baseline_about: str = "the most common training label"

    def __init__(self, seed: int = 0, path: Path | None = None) -> None:
        self.seed = seed
        self.path = path

    @property
    def protocol(self) -> str:
        """Origin of the pairs: "generated" or "official"."""
        return "generated" if self.path is None else "official"

    @functools.cached_property
    def folder(self) -> Path:
        """Folder of the official files.

        Raises:
            UserError: there are no such files.
        """
        found = find_files(self.path) if self.path else None
        if found is None:
            wanted = "the official files train6 or test6"
            raise OptionError(f"{SECTION}.path", f"must be a folder with {wanted}, or above it, not {self.path}")
        return found

    @property
    def splits(self) -> Mapping[str, OfficialSplit]:
        """The splits by name; official tests only if their files exist."""
        trained = TRAIN_SIZES[: LONGEST_TRAINED + 1]
        held_out = sum(size // _VALIDATION_EVERY for size in trained)
        kind = "generated" if self.path is None else "official"
        found = {
            "train": OfficialSplit(
                sum(trained) - held_out, f"{kind} pairs of up to {LONGEST_TRAINED} operators, 9 of 10"
            ),
            "validation": OfficialSplit(held_out, f"every tenth of the {kind} training pairs"),
        }
        for name, count in _TESTS.items():
            if self.path is None or (self.folder / f"test{count}").is_file():
                more = " or more" if count == LAST and self.path is not None else ""
                description = f"{count}{more} operators in the longer side"
                found[name] = OfficialSplit(TEST_SIZES[count], description, OPERATORS_OF_LONGER, count)
        return found

    def is_there(self, split: str) -> bool:
        """Whether the split is generated, or its files exist."""
        if self.path is None:
            return split in self.splits
        counts = [_TESTS[split]] if split in _TESTS else range(LONGEST_TRAINED + 1)
        kind = "test" if split in _TESTS else "train"
        try:
            return all((self.folder / f"{kind}{count}").is_file() for count in counts)
        except UserError:
            return False

    def is_cached(self, split: str) -> bool:
        """Whether the split is in the cache."""
        try:
            return self._file(split).is_file()
        except UserError:
            return False

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split; see [`nestree.tasks.base.Task.load`][]."""
        if split not in self.splits:
            raise OptionError("split", f"must be one of {', '.join(self.splits)}, not {split!r}")
        path = self._file(split)
        load_or_write(path, lambda temporary: self._write(split, temporary, progress))
        examples = RaggedExamples.load(path)
        return examples if size is None else examples.sample(check_at_least("size", size, 1), seed=self.seed)

    def encode(self, *texts: str) -> tuple[NDArray[np.uint8], ...]:
        """Return the token ids of two formulas.

        Raises:
            ValueError: there are not two texts, or one is not a formula.
        """
        if len(texts) != self.sides:
            raise ValueError(f"an input of logic is two formulas, separated by a tab, not {len(texts)}")
        return tuple(encode(text) for text in texts)

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the tokens of these ids."""
        return [VOCABULARY[token] for token in tokens.tolist()]

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> None:
        """Return None: there is no gold tree, as parentheses are tokens and may enclose three parts."""

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[Any]]:
        """Return properties to break accuracy down by: "length", "operators" of the longer side, "relation"."""
        is_operator = np.isin(examples.tokens, [IDS[name] for name in OPERATORS]).astype(np.int64)
        counts = np.add.reduceat(is_operator, examples.offsets[:-1])
        return {
            "length": examples.lengths,
            "operators": counts.reshape(-1, self.sides).max(axis=1),
            "relation": np.array(RELATIONS)[examples.labels],
        }

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Return the accuracy of always giving the most common training label."""
        return float((test.labels == np.bincount(train.labels).argmax()).mean())

    def pretrained(self) -> None:
        """Return None: there are no pretrained embeddings."""

    def state(self) -> dict[str, Any]:
        """Return an empty state: vocabulary and labels are fixed."""
        return {}

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the pairs of a split as text."""
        if split in _TESTS:
            yield from self._part("test", _TESTS[split])
            return
        for count in range(LONGEST_TRAINED + 1):
            for number, row in enumerate(self._part("train", count), start=1):
                if (number % _VALIDATION_EVERY == 0) == (split == "validation"):
                    yield row

    def _part(self, kind: str, count: int) -> Iterator[Row]:
        """Yield the pairs of an official file, or generated ones instead."""
        if self.path is not None:
            path = self.folder / f"{kind}{count}"
            yield from read_pairs(path)
            return
        for number, (label, left, right) in enumerate(_generated(count, self.seed)[kind == "test"], start=1):
            yield Row((left, right), label, f"generated {kind}{count}:{number}")

    def _write(self, split: str, path: Path, progress: Progress | None) -> None:
        total = self.splits[split].size or 0
        with RaggedWriter(path, name=f"{self.name}/{split}", dtype=np.uint8, sides=self.sides) as writer:
            for done, row in enumerate(self.rows(split)):
                tokens = [np.array([IDS[token] for token in text.split()], np.uint8) for text in row.texts]
                writer.add(tokens, label=RELATIONS.index(row.label))
                if progress is not None and done % 1000 == 0:
                    progress(done, total)
            writer.finish(seed=self.seed, source=self._source(split))

    def _source(self, split: str) -> dict[str, Any]:
        """Return what a split is made from, for the name of its cache file."""
        if self.path is None:
            return {"generator": GENERATOR_VERSION, "split": split, "seed": self.seed}
        files = files_fingerprint(sorted(self.folder.glob("t*[0-9]")))
        return {"reader": READER_VERSION, "split": split, "files": files}

    def _file(self, split: str) -> Path:
        return cache_dir() / self.name / f"{split}-{source_digest(self._source(split))}.safetensors"


@functools.lru_cache(maxsize=LAST + 1)  # training and validation pairs are usually read one after the other
def _generated(count: int, seed: int) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    return split_pairs(count, seed)
