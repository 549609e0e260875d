"""ListOps as the trainer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestree.data import RaggedExamples
from nestree.tasks.listops.expression import PADDING, VOCABULARY, encode
from nestree.tasks.listops.reader import depths, root_operators
from nestree.tasks.listops.splits import SPLITS, Progress, Split, load_split, split_path


class ListOps:
    """Classify an expression by its value, one of ten digits (a :class:`nestree.tasks.Task`)."""

    name: str = "listops"
    vocabulary_size: int = len(VOCABULARY)
    padding_id: int = PADDING
    label_names: tuple[str, ...] = tuple("0123456789")
    classes: int = len(label_names)

    splits: Mapping[str, Split] = SPLITS

    def is_cached(self, split: str, *, seed: int, cache_dir: str | Path | None = None) -> bool:
        """Tell whether the whole split lies in the cache."""
        return split_path(SPLITS[split], SPLITS[split].size, seed, cache_dir).is_file()

    def load(
        self,
        split: str,
        *,
        seed: int,
        cache_dir: str | Path | None = None,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> RaggedExamples:
        """Return a split; see :func:`nestree.tasks.listops.load_split`."""
        return load_split(split, seed=seed, cache_dir=cache_dir, size=size, progress=progress)

    def encode(self, text: str) -> NDArray[np.uint8]:
        """Turn an expression into token ids; see :func:`nestree.tasks.listops.encode`."""
        return encode(text)

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[np.generic]]:
        """Return what accuracy is broken down by, each of shape (examples,).

        "length" in tokens; "root operator", as "[MIN" or "digit"; "depth", the operators open at the deepest point.
        """
        return {
            "length": examples.lengths,
            "root operator": root_operators(examples),
            "depth": depths(examples),
        }

    def majority_by_root(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Compute the accuracy of always answering the commonest training label of the root operator.

        A root that is not in the training examples gets their commonest label of all.

        Raises:
            ValueError: One of the two has no examples.
        """
        if len(train) == 0 or len(test) == 0:
            raise ValueError("train and test must each have at least one example")
        train_roots, test_roots = root_operators(train), root_operators(test)
        answers = np.full(len(test), _commonest(train.labels))
        for root in np.unique(train_roots):
            answers[test_roots == root] = _commonest(train.labels[train_roots == root])
        return float((answers == test.labels).mean())


def _commonest(labels: NDArray[np.integer]) -> int:
    """Return the label that is there most often, the lowest of those."""
    return int(np.bincount(labels).argmax())
