"""The Long Range Arena's ListOps (Tay et al. 2021): long expressions with up to ten arguments, also in training."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nestree.checks import check_at_least
from nestree.data import RaggedExamples, cache_dir, load_or_write
from nestree.data.cache import source_digest
from nestree.errors import OptionError, UserError
from nestree.tasks.base import SECTION, DataOptions, OfficialSplit, Progress, SplitAbout
from nestree.tasks.listops.reader import read_tsv
from nestree.tasks.listops.splits import ARENA, GENERATOR_VERSION, SPLITS, draw_within
from nestree.tasks.listops.task import ListOps
from nestree.tasks.official_files import READER_VERSION, beside, files_fingerprint, find

FILES = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}

PARTS = {"validation": (0, 2_000), "test": (2_000, 4_000), "train": (4_000, 100_000)}
"""Range of each generated split in one set of distinct expressions."""

_ABOUT = "501 to 1,999 tokens, up to 10 arguments, depth 10"
_SPLITS = {name: OfficialSplit(PARTS[name][1] - PARTS[name][0], _ABOUT, ARENA) for name in FILES}


@dataclass(frozen=True)
class ListOpsLRAOptions(DataOptions):
    """ListOps of the Long Range Arena, generated or from the official files."""

    task: str = "listops-lra"
    """Name of the task."""
    path: str | None = None
    """Folder with basic_train.tsv, basic_val.tsv and basic_test.tsv, or a folder above it; null: generate."""

    def open(self, state: Mapping[str, Any] | None = None) -> ListOpsLRA:
        """Return the task."""
        return ListOpsLRA(self.seed, None if self.path is None else Path(self.path).expanduser())


class ListOpsLRA(ListOps):
    """ListOps with 501 to 1,999 tokens, up to ten arguments and depth ten, from ``seed`` or the official files."""

    name: str = "listops-lra"
    first_tests: tuple[str, ...] = ("test",)

    def __init__(self, seed: int = 0, path: Path | None = None) -> None:
        super().__init__(seed)
        self.path = path

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """The splits by name."""
        return _SPLITS

    @property
    def protocol(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Origin of the expressions: "generated" or "official"."""
        return "generated" if self.path is None else "official"

    @functools.cached_property
    def folder(self) -> Path:
        """Folder of the official files.

        Raises:
            UserError: there are no such files.
        """
        found = find(self.path, [FILES["train"], FILES["test"]]) if self.path else None
        if found is None:
            wanted = " and ".join(FILES.values())
            raise OptionError(f"{SECTION}.path", f"must be a folder with {wanted}, or above it, not {self.path}")
        return found.parent

    def is_there(self, split: str) -> bool:
        """Whether the split is generated, or its file exists."""
        try:
            return split in FILES and (self.path is None or (self.folder / FILES[split]).is_file())
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
        if split not in PARTS:
            raise OptionError("split", f"must be one of {', '.join(PARTS)}, not {split!r}")
        path = self._file(split)
        load_or_write(path, lambda temporary: self._make(split, progress).save(temporary))
        examples = RaggedExamples.load(path)
        return examples if size is None else examples.sample(check_at_least("size", size, 1), seed=self.seed)

    def _make(self, split: str, progress: Progress | None) -> RaggedExamples:
        name, source = f"{self.name}/{split}", self._source(split)
        if self.path is not None:
            return replace(read_tsv(self._official(split)), name=name, source=source)
        first, end = PARTS[split]
        # Another stream of random numbers than that of ListOps' test "lra", so other expressions.
        drawn = draw_within(replace(SPLITS["lra"], name=self.name), end, self.seed, progress)
        return replace(drawn.select(np.arange(first, end)), name=name, seed=self.seed, source=source)

    def _source(self, split: str) -> dict[str, Any]:
        """Return what a split is made from, for the name of its cache file."""
        if self.path is None:
            return {"generator": GENERATOR_VERSION, "split": split, "seed": self.seed}
        files = files_fingerprint([self._official(split)])
        return {"reader": READER_VERSION, "split": split, "files": files}

    def _official(self, split: str) -> Path:
        return beside(self.folder / FILES["train"], FILES, split)

    def _file(self, split: str) -> Path:
        return cache_dir() / self.name / f"{split}-{source_digest(self._source(split))}.safetensors"
