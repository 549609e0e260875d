"""Tasks of datasets in official files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nestree.checks import check_one_of
from nestree.errors import OptionError, UserError
from nestree.tasks.base import SECTION, Dataset, OfficialSplit, Row
from nestree.tasks.official_files import files_fingerprint
from nestree.tasks.text.datasets import aan, imdb, nli, polarity, qqp, reviews, sick, sst
from nestree.tasks.text.task import TextOptions, Texts, TextTask, held_out
from nestree.tasks.treebank import LabelledTree

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        imdb.LRA_TEXT,
        aan.LRA_RETRIEVAL,
        imdb.IMDB,
        reviews.COUNTERFACTUAL,
        sst.SST5,
        sst.SST2,
        sst.SST5_PHRASES,
        sst.SST2_PHRASES,
        polarity.POLARITY,
        sick.SICK,
        nli.SNLI,
        nli.MNLI,
        qqp.QQP,
    )
}
"""Datasets by the names of their tasks."""

PROTOCOLS = ("clean", "paper")

FOLDER = "NESTREE_DATA"
"""Environment variable with the folder of official files."""


@dataclass(frozen=True)
class OfficialOptions(TextOptions):
    """A dataset in official files.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    path: str | None = None
    """The dataset's file or folder, or a folder above it; null: the folder in NESTREE_DATA."""
    protocol: str = PROTOCOLS[0]
    """Validation split of datasets without an official one: clean holds out a part of train; paper validates on test,
    as is often published."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("protocol", self.protocol, PROTOCOLS)

    def open(self, state: Mapping[str, Any] | None = None) -> TextTask:
        """Return the task; it looks for its files when they are first needed."""
        return TextTask(OfficialTexts(DATASETS[self.task], self.path, self.protocol, self.seed), self, state)


class OfficialTexts(Texts):
    """The rows of a dataset's official splits, and of a validation split if it has none.

    The files are looked for at ``path``, or in NESTREE_DATA, when they are first needed.
    """

    def __init__(self, dataset: Dataset, path: str | None, protocol: str, seed: int) -> None:
        self.dataset = dataset
        self.path = path
        self.seed = seed
        self.name = dataset.name
        self.sides = dataset.sides
        self.level = dataset.level
        self.max_tokens = dataset.max_tokens
        self.protocol = "official" if "validation" in dataset.splits else protocol

    @property
    def splits(self) -> Mapping[str, OfficialSplit]:
        """The official splits, and "validation"."""
        given = dict(self.dataset.splits)
        if self.protocol == "official":
            return given
        train, count = given.pop("train"), self.dataset.held_out
        if self.protocol == "paper" or count is None:
            validation = OfficialSplit(given["test"].size, "the same as test: accuracy on test is not held out")
        else:
            validation = OfficialSplit(count, f"{count:,} rows held out of train by seed, stratified by label")
            size = None if train.size is None else train.size - count
            train = OfficialSplit(size, f"{train.description}, without those held out for validation")
        return {"train": train, "validation": validation, **given}

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in order of their numbers."""
        return self.dataset.label_names

    def found(self) -> Path | None:
        """Return the path of the files; None if they are not found."""
        folder = self.path or os.environ.get(FOLDER)
        return None if folder is None else self.dataset.find(Path(folder).expanduser())

    @cached_property
    def files(self) -> Path:
        """Path of the files.

        Raises:
            UserError: the files are not found; says which.
        """
        found = self.found()
        if found is None:
            folder = self.path or os.environ.get(FOLDER)
            if folder:
                raise UserError(f"{self.name}: not found in {folder} ({self.dataset.origin})")
            reason = f"or {FOLDER} must name their folder ({self.dataset.origin})"
            raise OptionError(f"{SECTION}.path", reason, problem=f"{self.name}: needs its files")
        return found

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split."""
        rows = self.dataset.read(self.files, self._official(split))
        if self.protocol == "clean" and split in ("train", "validation"):
            rows = (row for number, row in enumerate(rows) if (number in self._held_out) == (split == "validation"))
        yield from rows

    @cached_property
    def _held_out(self) -> set[int]:
        """Indices of the training rows that are held out for validation."""
        labels = [row.label for row in self.dataset.read(self.files, "train")]
        return held_out(labels, min(self.dataset.held_out or 0, len(labels) // 2), self.seed)

    def trees(self) -> Iterator[LabelledTree]:
        """Yield the gold trees of all splits whose files exist, if the dataset is a treebank."""
        if self.dataset.trees is None:
            return
        for split in self.dataset.splits:
            if self.is_there(split):
                yield from self.dataset.trees(self.files, split)

    def is_there(self, split: str) -> bool:
        """Whether the files of a split exist."""
        found = self.found()
        paths = [] if found is None else self.dataset.files(found, self._official(split))
        return bool(paths) and all(path.exists() for path in paths)

    def fingerprint(self) -> dict[str, Any]:
        """Return size and modification time of all existing files of the dataset."""
        paths = {path for split in self.dataset.splits for path in self.dataset.files(self.files, split)}
        return files_fingerprint(sorted(path for path in paths if path.exists()))

    def _official(self, split: str) -> str:
        """Return the official split that contains one of [`splits`][]."""
        if self.protocol == "official" or split != "validation":
            return split
        return "test" if self.protocol == "paper" else "train"
