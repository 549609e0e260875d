"""Interfaces of tasks, their options, and datasets in official files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nestree.checks import MOST_SEED, check_at_least
from nestree.data import RaggedExamples
from nestree.data.vectors import Vectors
from nestree.tasks.families import TESTS, Family
from nestree.tasks.stages import NONE, Plan, Stage, read_plan
from nestree.tasks.treebank import LabelledTree
from nestree.trees.scores import GoldTree

Progress = Callable[[int, int], None]
"""Called regularly with (done, total)."""


SECTION = "data"
"""Section of a configuration that a task's options are in; errors of a task that is open name them in full."""


class SplitAbout(Protocol):
    """What is known about a split before it is loaded."""

    @property
    def size(self) -> int | None:
        """Number of examples; None if unknown before reading the file."""
        ...

    @property
    def description(self) -> str:
        """Description in one line."""
        ...

    @property
    def family(self) -> Family:
        """Tests that are drawn in the same chart."""
        ...

    @property
    def place(self) -> float | None:
        """Position on the family's axis; None if it is measured or there is no axis."""
        ...


class Task(Protocol):
    """A task: classification of sequences or of pairs of sequences, given as token ids below ``vocabulary_size``."""

    @property
    def name(self) -> str:
        """Name in [`nestree.tasks.TASKS`][], and of the folder with cached files."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, with padding (0, which no example contains)."""
        ...

    @property
    def sides(self) -> int:
        """Sequences per example: 1, or 2 for pairs."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, which are numbered from 0."""
        ...

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """Splits by name: "train", "validation" and the tests."""
        ...

    @property
    def protocol(self) -> str:
        """Origin of the splits, recorded with every result: "generated", "official", "clean", "paper" or "own"."""
        ...

    def is_there(self, split: str) -> bool:
        """Whether the split is generated, or its files exist."""
        ...

    def is_cached(self, split: str) -> bool:
        """Whether the whole split is in the cache."""
        ...

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split, from the cache if it is there. The same options give the same examples.

        Args:
            split: One of [`splits`][].
            size: Number of examples: a random sample, or the first ones if they are generated; None for all.
            progress: Called while the split is prepared.

        Raises:
            ValueError: An argument is out of range; the message lists what is allowed.
            UserError: The cache folder cannot be written, or the task's files are missing or damaged.
        """
        ...

    def encode(self, *texts: str) -> tuple[NDArray[np.unsignedinteger], ...]:
        """Return the token ids of a user's text (two for pairs), each of shape (tokens,).

        Raises:
            ValueError: The text is not an input of this task; the message says where and why.
        """
        ...

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the word of each token id, as shown at the leaves of a tree."""
        ...

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> GoldTree | None:
        """Return the gold tree of a sequence of token ids; None if the task has no gold trees."""
        ...

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[Any]]:
        """Return properties to break accuracy down by: one value per example, by name, among them "length"."""
        ...

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Return the accuracy on ``test`` of always giving the answer in ``baseline_about``."""
        ...

    @property
    def baseline_about(self) -> str:
        """The baseline's answer, to follow "The baseline always answers"."""
        ...

    @property
    def first_tests(self) -> tuple[str, ...]:
        """Tests to evaluate by default, from short to long inputs."""
        ...

    def pretrained(self) -> Vectors | None:
        """Return word vectors to initialise the embedding with, if there are any."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a model depends on and was read from the data (words, labels), as JSON values.

        A run keeps the state for [`DataOptions.open`][]. It is empty if everything is fixed.
        """
        ...


@dataclass(frozen=True)
class DataOptions(ABC):
    """Options of every task: the examples, and their batches.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    task: str = ""
    """Name of the task."""
    seed: int = 0
    """Seed for generating data, or for choosing held-out examples."""
    train_size: int | None = None
    """Number of training examples to use, a random sample; null: all."""
    validation_size: int | None = None
    """Number of validation examples to use, a random sample; null: all."""
    validation_longest: int | None = None
    """Length of the longest validation example to use, tokens; null: no limit."""
    batch: int = 128
    """Examples per optimizer step, over all devices."""
    micro_batch: int | None = None
    """Examples per forward pass on one device, to save memory; does not change the step; null: the device's whole share
    of the batch."""
    window: int = 5
    """Number of batches that are sorted by length together, to reduce padding."""
    evaluation_tokens: int = 16384
    """Maximal number of tokens per batch in validation, padding included."""
    curriculum: tuple[dict[str, Any], ...] | dict[str, Any] | str = NONE
    """Stages before the training split: none, the name of a curriculum of the task (listops: sums-first; logic:
    by-operators), or in YAML a list of stages. The run's config.yaml lists the stages."""

    stage_kind: ClassVar[type[Stage]] = Stage
    """Class of the task's stages."""
    curricula: ClassVar[Mapping[str, tuple[Stage, ...]]] = {}
    """The task's curricula by name."""

    def __post_init__(self) -> None:
        check_at_least("seed", self.seed, 0, MOST_SEED)
        for name in ("batch", "window", "evaluation_tokens"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("train_size", "validation_size", "validation_longest", "micro_batch"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        self.stages  # noqa: B018 (checks the curriculum)

    @cached_property
    def plan(self) -> Plan | None:
        """The curriculum; None if there is none."""
        return read_plan(self.curriculum, kind=self.stage_kind, known=self.curricula)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the curriculum; empty if there is none."""
        return () if self.plan is None else self.plan.stages

    def settled(self) -> Self:
        """Return the options with the stages of a named curriculum, so that a run does not depend on later changes."""
        return self if self.plan is None else replace(self, curriculum=self.plan.as_dict())

    @abstractmethod
    def open(self, state: Mapping[str, Any] | None = None) -> Task:
        """Return the task.

        Args:
            state: the [`Task.state`][] of a trained model; None to read it from the data when it is first needed.

        Raises:
            UserError: the task's files are missing; says which, and where they come from.
        """


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a file, as text."""

    texts: tuple[str, ...]
    """One text, or two for a pair."""
    label: str
    """Name of the label; empty where the answers are not single labels."""
    where: str
    """File and line, or member of an archive, for messages."""
    answer: tuple[str, ...] | float | None = None
    """Several labels, or a number; None for a single label."""


@dataclass(frozen=True)
class OfficialSplit:
    """A split in official files."""

    size: int | None
    """Number of rows that the reader yields; None if unknown."""
    description: str
    """Description in one line."""
    family: Family = TESTS
    """Tests that are drawn in the same chart."""
    place: float | None = None
    """Position on the family's axis, if it has one."""


@dataclass(frozen=True)
class Dataset:
    """A text classification dataset in official files, with functions that find and read them."""

    name: str
    """Name of the dataset and of its task."""
    about: str
    """Description in one line."""
    origin: str
    """Source and names of the official files."""
    label_names: tuple[str, ...]
    """Names of the labels, in order of their numbers."""
    splits: Mapping[str, OfficialSplit]
    """Official splits by name: "train", sometimes "validation", and tests."""
    find: Callable[[Path], Path | None]
    """Return the dataset's file or folder at or below a path; None if there is none."""
    files: Callable[[Path, str], Sequence[Path]]
    """Return the files (or folders of files) of a split, given the result of ``find``. Missing files are included,
    unless their place is unknown."""
    read: Callable[[Path, str], Iterator[Row]]
    """Yield the rows of a split, given the result of ``find``. Raises UserError with file and line of damaged rows."""
    sides: int = 1
    """Texts per row."""
    level: str = "word"
    """Default kind of tokens: byte, char or word."""
    max_tokens: int | None = None
    """Default maximal number of tokens per text; longer texts are cut; None: no limit."""
    trees: Callable[[Path, str], Iterator[LabelledTree]] | None = None
    """Yield the trees of a split's texts, given the result of ``find``; None: not a treebank."""
    held_out: int | None = None
    """Number of training rows that protocol "clean" holds out for validation, if there is no official validation
    split."""
