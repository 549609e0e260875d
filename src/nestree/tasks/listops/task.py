"""ListOps as a task."""

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
from nestree.tasks.listops.curriculum import CURRICULA, MOST_DEPTH, ListOpsStage
from nestree.tasks.listops.expression import VOCABULARY, encode, gold_tree, operator_spans
from nestree.tasks.listops.reader import depths, root_operators
from nestree.tasks.listops.sampler import Grammar
from nestree.tasks.listops.splits import PUBLISHED, SPLITS, load_split, split_of, split_path
from nestree.tasks.stages import of_stage
from nestree.trees.scores import GoldTree

SHALLOWEST = 3
"""Minimal depth; with less there are not enough distinct expressions (101,000)."""
MOST_NODES = 300
"""Maximal mean number of nodes; with more, hardly any expression is short enough for train."""


@dataclass(frozen=True)
class ListOpsOptions(DataOptions):
    """ListOps, generated.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    task: str = "listops"
    """Name of the task."""
    depth: int = PUBLISHED.depth
    """Maximal depth of train, validation and near-iid: nodes at this depth are digits. The root has depth 1, so 3
    allows two nested operators."""
    max_args: int = PUBLISHED.max_args
    """Maximal number of arguments per operator in train, validation and near-iid."""

    stage_kind = ListOpsStage
    curricula = CURRICULA

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("depth", self.depth, SHALLOWEST)
        check_at_least("max_args", self.max_args, 2)
        for name in ("depth", "max_args"):
            check_at_least(name, getattr(self, name), 2, MOST_DEPTH)
        children = PUBLISHED.operator_probability * (2 + self.max_args) / 2
        nodes = sum(children ** min(level, 100) for level in range(self.depth))  # enough to exceed any limit
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
    """A [`nestree.tasks.Task`][]: the value of an expression, one of ten digits.

    All splits are drawn from ``seed``; train, validation and near-iid are drawn from ``grammar``.
    """

    name: str = "listops"
    vocabulary_size: int = len(VOCABULARY)
    sides: int = 1
    label_names: tuple[str, ...] = tuple("0123456789")
    protocol: str = "generated"
    first_tests: tuple[str, ...] = ("near-iid", "200-300", "500-600", "900-1000")
    baseline_about: str = "the most common training label for the root operator"

    def __init__(self, seed: int = 0, grammar: Grammar = PUBLISHED) -> None:
        self.seed = seed
        self.grammar = grammar

    @property
    def splits(self) -> Mapping[str, SplitAbout]:
        """The splits by name."""
        return {name: split_of(name, self.grammar) for name in SPLITS}

    def is_there(self, split: str) -> bool:
        """Whether there is such a split; all are generated."""
        return split in self.splits

    def is_cached(self, split: str) -> bool:
        """Whether the whole split is in the cache."""
        return split_path(split_of(split, self.grammar), SPLITS[split].size, self.seed).is_file()

    def load(self, split: str, *, size: int | None = None, progress: Progress | None = None) -> RaggedExamples:
        """Return a split; see [`nestree.tasks.listops.load_split`][]."""
        return load_split(split, seed=self.seed, grammar=self.grammar, size=size, progress=progress)

    def encode(self, *texts: str) -> tuple[NDArray[np.uint8], ...]:
        """Return the token ids of an expression; see [`nestree.tasks.listops.encode`][]."""
        return tuple(encode(text) for text in texts)

    def words(self, tokens: NDArray[np.unsignedinteger]) -> list[str]:
        """Return the tokens of these ids."""
        return [VOCABULARY[token] for token in tokens.tolist()]

    def gold(self, tokens: NDArray[np.unsignedinteger]) -> GoldTree:
        """Return the tree of the official files' parentheses, and the spans of the operators."""
        return GoldTree(gold_tree(tokens), tuple(operator_spans(tokens)))

    def pretrained(self) -> None:
        """Return None: there are no pretrained embeddings."""

    def state(self) -> dict[str, Any]:
        """Return an empty state: vocabulary and labels are fixed."""
        return {}

    def strata(self, examples: RaggedExamples) -> dict[str, NDArray[np.generic]]:
        """Return properties to break accuracy down by, each of shape (examples,).

        These are "length" (tokens), "root operator" (such as "[MIN", or "digit") and "depth" (nested operators).
        """
        return {
            "length": examples.lengths,
            "root operator": root_operators(examples),
            "depth": depths(examples),
        }

    def baseline(self, train: RaggedExamples, test: RaggedExamples) -> float:
        """Return the accuracy of always giving the most common training label for the root operator.

        For root operators without training examples, it is the most common label of all training examples.

        Raises:
            ValueError: ``train`` or ``test`` has no examples.
        """
        if len(train) == 0 or len(test) == 0:
            raise ValueError("train and test must each have at least one example")
        train_roots, test_roots = root_operators(train), root_operators(test)
        answers = np.full(len(test), _most_common(train.labels))
        for root in np.unique(train_roots):
            answers[test_roots == root] = _most_common(train.labels[train_roots == root])
        return float((answers == test.labels).mean())


def _most_common(labels: NDArray[np.integer]) -> int:
    """Return the most common label, the lowest one in case of a tie."""
    return int(np.bincount(labels).argmax())
