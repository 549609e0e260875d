"""What a task is, what can be set about one, and what a reader of official files yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least
from nestree.data import RaggedExamples
from nestree.data.vectors import Vectors
from nestree.tasks.families import TESTS, Family
from nestree.tasks.stages import NONE, Plan, Stage, read_plan
from nestree.trees.scores import GoldTree

Progress = Callable[[int, int], None]
"""Called with (done, total) now and then."""


SECTION = "data"
"""Section of a configuration that a task's options are in; errors of a task that is open name them in full."""


class SplitAbout(Protocol):
    """What there is to say of a split before it is loaded."""

    @property
    def size(self) -> int | None:
        """How many examples; None where only the file tells."""
        ...

    @property
    def description(self) -> str:
        """One line."""
        ...

    @property
    def family(self) -> Family:
        """The tests it belongs on one chart with."""
        ...

    @property
    def place(self) -> float | None:
        """Where it stands on its family's axis; None where that is measured, or there is no axis."""
        ...


class Task(Protocol):
    """What a trainer asks of a task: to classify one sequence, or a pair. Token ids are below ``vocabulary_size``."""

    @property
    def name(self) -> str:
        """Its name in [`nestree.tasks.TASKS`][], and the folder of its cached files."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """How many token ids there are, padding (0, which no example contains) among them."""
        ...

    @property
    def sides(self) -> int:
        """Sequences of one example: 1, or 2 where a pair is to be classified."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """What a user reads for each label; labels are numbered from 0."""
        ...

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """What each split is, by name. "train" and "validation" are among them, the others are tests."""
        ...

    @property
    def protocol(self) -> str:
        """How the splits came about, written beside every result: "generated", "official", "clean", "paper", "own"."""
        ...

    def is_there(self, split: str) -> bool:
        """Tell whether the split can be loaded as far as its files go; what is generated always is."""
        ...

    def is_cached(self, split: str) -> bool:
        """Tell whether the whole split lies in the cache, for [`load`][] to find."""
        ...

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split, the same for the same options, from the cache where it is there.

        Args:
            split: One of [`splits`][].
            size: Only so many examples: a random sample, or of generated ones the first.
            progress: Told how far making the split is.

        Raises:
            ValueError: An argument is out of range; the message lists what is allowed.
            UserError: The cache folder cannot be written, or the task's files are missing or damaged.
        """
        ...

    def encode(self, *texts: str) -> tuple[NDArray[np.unsignedinteger], ...]:
        """Turn a user's text (two for a task of pairs) into token ids, each of shape (tokens,).

        Raises:
            ValueError: The text is not an input of this task; the message says where and why.
        """
        ...

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return what a reader sees for each of a sequence's token ids: the leaves' words of its tree."""
        ...

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> GoldTree | None:
        """Return the right tree of a sequence of token ids; None where the task knows none."""
        ...

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[Any]]:
        """Return, by name, what accuracy is to be broken down by, one value an example; "length" is among them."""
        ...

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Return the accuracy on ``test`` of the trivial answer that ``baseline_about`` describes."""
        ...

    @property
    def baseline_about(self) -> str:
        """What the baseline always answers, to follow "The baseline always answers"."""
        ...

    @property
    def first_tests(self) -> tuple[str, ...]:
        """The tests that a first look evaluates, shortest first."""
        ...

    def pretrained(self) -> Vectors | None:
        """Return vectors for the embedding to begin with, if there are any."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what was found in the data and a model depends on (words, labels), as JSON can hold it.

        A run keeps it, and [`DataOptions.open`][] takes it back; empty where all is fixed.
        """
        ...


@dataclass(frozen=True)
class DataOptions(ABC):
    """What every task can be told: what is learnt from, and in what batches."""

    task: str = ""
    """Task, by name."""
    seed: int = 0
    """Seed that the data is generated, or held-out examples are chosen, with."""
    train_size: int | None = None
    """Training examples to use, a random sample of so many; null: all."""
    validation_size: int | None = None
    """Validation examples to use, a random sample of so many; null: all."""
    validation_longest: int | None = None
    """Longest validation example to use, tokens; null: no limit."""
    batch: int = 128
    """Examples of one optimizer step, over all devices together."""
    micro_batch: int | None = None
    """Examples that one device runs at once, to save memory; the step stays the same; null: its whole share."""
    window: int = 5
    """Batches within which examples are sorted by length, so that a batch has little padding."""
    evaluation_tokens: int = 16384
    """Tokens, padding included, that a batch holds at most when validating."""
    curriculum: tuple[dict[str, Any], ...] | dict[str, Any] | str = NONE
    """What is drawn before the training split, and for how long: none, a name that the task knows (listops: sums-first;
    logic: by-operators), or in YAML a list of stages. The run's config.yaml has them all."""

    stage_kind: ClassVar[type[Stage]] = Stage
    """Class of the stages."""
    curricula: ClassVar[Mapping[str, tuple[Stage, ...]]] = {}
    """Those that the task knows, by name."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_at_least("seed", self.seed, 0)
        for name in ("batch", "window", "evaluation_tokens"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("train_size", "validation_size", "validation_longest", "micro_batch"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        self.stages  # noqa: B018 (reads the curriculum, and finds what is wrong with it)

    @cached_property
    def plan(self) -> Plan | None:
        """The curriculum; None without one."""
        return read_plan(self.curriculum, kind=self.stage_kind, known=self.curricula)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the curriculum; none without one."""
        return () if self.plan is None else self.plan.stages

    def settled(self) -> Self:
        """Return the options with a curriculum's name spelt out, so that a run keeps to it whatever becomes of it."""
        return self if self.plan is None else replace(self, curriculum=self.plan.as_dict())

    @abstractmethod
    def open(self, state: Mapping[str, Any] | None = None) -> Task:
        """Return the task.

        Args:
            state: what [`Task.state`][] gave when a model was trained; None finds it in the data when first needed.

        Raises:
            UserError: files that the task needs are missing; says which, and where they come from.
        """


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a file, as text."""

    texts: tuple[str, ...]
    """One text, or two for a pair."""
    label: str
    """One of the dataset's label names."""
    where: str
    """File and line, or the member of an archive, for messages."""


@dataclass(frozen=True)
class OfficialSplit:
    """A split as the official files have it."""

    size: int | None
    """Rows of the official files that the reader yields; None where it is not known."""
    description: str
    """One line."""
    family: Family = TESTS
    """The tests it belongs on one chart with."""
    place: float | None = None
    """Where it stands on its family's axis, if that has numbers."""


@dataclass(frozen=True)
class Dataset:
    """A text classification dataset in its official files: what it is, how to find them, how to read them."""

    name: str
    """Name of the task, too."""
    about: str
    """What it is, in a line."""
    origin: str
    """Where the official files come from, and what they are called."""
    label_names: tuple[str, ...]
    """In the order of their numbers."""
    splits: Mapping[str, OfficialSplit]
    """The official ones, by name: "train", perhaps "validation", and tests."""
    find: Callable[[Path], Path | None]
    """Return the file or folder of the dataset that is ``path`` itself or lies somewhere under it; None: not there."""
    files: Callable[[Path, str], Sequence[Path]]
    """Return the files (or folders full of them) that hold a split, of what ``find`` returned; where one is not there,
    its path all the same, or nothing if it could be anywhere."""
    read: Callable[[Path, str], Iterator[Row]]
    """Yield the rows of a split of what ``find`` returned. UserError names file and line of what is damaged."""
    sides: int = 1
    """Texts of a row."""
    level: str = "word"
    """What a token is unless the user says otherwise: byte, char or word."""
    max_tokens: int | None = None
    """Tokens of a text that are kept, the first so many, unless the user says otherwise; None: all."""
    held_out: int | None = None
    """Training rows that protocol "clean" holds out for validation, where there is no official validation split."""
