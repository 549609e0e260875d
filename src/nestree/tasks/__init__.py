"""The tasks, by name.

A task is a fixed vocabulary, a fixed set of labels and named splits: all that training and evaluation need to know.
To add one, write a class with the members of :class:`Task` and enter it in :data:`TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nestree.data import RaggedExamples
from nestree.tasks.listops import ListOps


class SplitAbout(Protocol):
    """What there is to say of a split before it is loaded."""

    @property
    def size(self) -> int:
        """How many examples."""
        ...

    @property
    def description(self) -> str:
        """One line."""
        ...


class Task(Protocol):
    """What a trainer asks of a task. Classification of one sequence; token ids are below ``vocabulary_size``."""

    @property
    def name(self) -> str:
        """Its name in :data:`TASKS`, and the folder of its cached files."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """How many token ids there are, padding among them."""
        ...

    @property
    def padding_id(self) -> int:
        """The id that fills up short sequences; no example contains it."""
        ...

    @property
    def classes(self) -> int:
        """How many labels there are; they are numbered from 0."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """What a user reads for each label."""
        ...

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """What each split is, by name. "train" and "validation" are among them, the others are tests."""
        ...

    def is_cached(self, split: str, *, seed: int, cache_dir: str | Path | None = None) -> bool:
        """Tell whether the whole split lies in the cache, for :meth:`load` to find."""
        ...

    def load(
        self,
        split: str,
        *,
        seed: int,
        cache_dir: str | Path | None = None,
        size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> RaggedExamples:
        """Return a split, the same for the same seed, from the cache where it is there.

        Args:
            split: One of :attr:`splits`.
            seed: Decides all that is random in it.
            cache_dir: Folder of generated files; by default :func:`nestree.data.cache_dir`.
            size: Only the first ``size`` examples.
            progress: Called with (done, total) while the split is being made.

        Raises:
            ValueError: An argument is out of range; the message lists what is allowed.
            UserError: The cache folder cannot be written, or the task's files are missing or damaged.
        """
        ...

    def encode(self, text: str) -> NDArray[np.unsignedinteger]:
        """Turn a user's text into token ids, shape (tokens,).

        Raises:
            ValueError: The text is not an input of this task; the message says where and why.
        """
        ...

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[Any]]:
        """Return, by name, what accuracy is to be broken down by, one value an example; "length" is among them."""
        ...


TASKS: dict[str, Task] = {"listops": ListOps()}
"""Every task by name."""

__all__ = ["TASKS", "Task"]
