"""ListOps as the trainer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least
from nestree.data import RaggedExamples
from nestree.errors import OptionError
from nestree.tasks.base import DataOptions, Progress, SplitAbout
from nestree.tasks.listops.curriculum import CURRICULA, ListOpsStage
from nestree.tasks.listops.expression import VOCABULARY, encode, gold_tree, operator_spans
from nestree.tasks.listops.reader import depths, root_operators
from nestree.tasks.listops.sampler import Grammar
from nestree.tasks.listops.splits import PUBLISHED, SPLITS, load_split, split_of, split_path
from nestree.tasks.stages import of_stage
from nestree.trees.scores import GoldTree

SHALLOWEST = 3
"""Below it there are too few expressions for 101,000 distinct ones."""
MOST_NODES = 300
"""Nodes that an expression may have on average; with more, hardly one is short enough for train."""


@dataclass(frozen=True)
class ListOpsOptions(DataOptions):
    """ListOps, generated."""

    task: str = "listops"
    """Task, by name."""
    depth: int = PUBLISHED.depth
    """Nodes at this depth are digits in train, validation and near-iid; the root is at depth 1, so that 3 allows two
    nested operators."""
    max_args: int = PUBLISHED.max_args
    """Most arguments of an operator in train, validation and near-iid."""

    stage_kind = ListOpsStage
    curricula = CURRICULA

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_at_least("depth", self.depth, SHALLOWEST)
        check_at_least("max_args", self.max_args, 2)
        children = PUBLISHED.operator_probability * (2 + self.max_args) / 2
        nodes = sum(children**level for level in range(self.depth))
        if nodes > MOST_NODES:
            raise OptionError(
                "depth",
                f"must be lower where an operator has up to {self.max_args} arguments: at {self.depth} an "
                f"expression has {nodes:,.0f} nodes on average, and train takes at most 100 tokens",
            )
        for stage in self.stages:
            assert isinstance(stage, ListOpsStage)
            if stage is not self.stages[-1]:
                with of_stage(stage.name):
                    stage.check(Grammar(self.depth, self.max_args))

    def open(self, state: Mapping[str, Any] | None = None) -> ListOps:
        """Return the task."""
        return ListOps(self.seed, Grammar(self.depth, self.max_args))


class ListOps:
    """Classify an expression by its value, one of ten digits (a [`nestree.tasks.Task`][])."""

    name: str = "listops"
    vocabulary_size: int = len(VOCABULARY)
    sides: int = 1
    label_names: tuple[str, ...] = tuple("0123456789")
    protocol: str = "generated"
    first_tests: tuple[str, ...] = ("near-iid", "200-300", "500-600", "900-1000")
    baseline_about: str = "the commonest training label of the root operator"

    def __init__(self, seed: int = 0, grammar: Grammar = PUBLISHED) -> None:
        """Draw the splits from ``seed``; train, validation and near-iid from ``grammar``."""
        self.seed = seed
        self.grammar = grammar

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """What each split is."""
        return {name: split_of(name, self.grammar) for name in SPLITS}

    def is_there(self, split: str) -> bool:
        """Tell whether there is such a split: they are generated."""
        return split in self.splits

    def is_cached(self, split: str) -> bool:
        """Tell whether the whole split lies in the cache."""
        return split_path(split_of(split, self.grammar), SPLITS[split].size, self.seed).is_file()

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split; see [`nestree.tasks.listops.load_split`][]."""
        return load_split(split, seed=self.seed, grammar=self.grammar, size=size, progress=progress)

    def encode(self, *texts: str) -> tuple[NDArray[np.uint8], ...]:
        """Turn an expression into token ids; see [`nestree.tasks.listops.encode`][]."""
        return tuple(encode(text) for text in texts)

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the tokens of these ids."""
        return [VOCABULARY[token] for token in tokens.tolist()]

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> GoldTree:
        """Return the tree of the official parentheses, and the spans of the operators."""
        return GoldTree(gold_tree(tokens), tuple(operator_spans(tokens)))

    def pretrained(self) -> None:
        """Return nothing: the embedding of sixteen tokens begins at random."""

    def state(self) -> dict[str, Any]:
        """Return nothing: vocabulary and labels are fixed."""
        return {}

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[np.generic]]:
        """Return what accuracy is broken down by, each of shape (examples,).

        "length" in tokens; "root operator", as "[MIN" or "digit"; "depth", the operators open at the deepest point.
        """
        return {
            "length": examples.lengths,
            "root operator": root_operators(examples),
            "depth": depths(examples),
        }

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
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
