"""What a model makes of a test."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.data.batches import budget_batches, collate
from nestree.data.ragged import RaggedExamples
from nestree.evaluation.intervals import wilson
from nestree.models import Classifier
from nestree.tasks.base import DataOptions
from nestree.trees import ParsedTree
from nestree.trees.scores import GoldTree, TreeScore, tree_scores

EDGES = {
    "length": [0, 11, 21, 31, 51, 76, 101, 151, *range(201, 1002, 100), 2001, 5001, 9001, 10001],
    "depth": [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 21],
}
"""Where the groups of a stratum with numbers begin; a last group has no end."""


@dataclass(frozen=True)
class Share:
    """How many of a group of examples were right."""

    group: str
    correct: int
    examples: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.examples if self.examples else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson(self.correct, self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, accuracy and interval among them."""
        low, high = self.interval
        counts = {"group": self.group, "correct": self.correct, "examples": self.examples}
        return {**counts, "accuracy": round(self.accuracy, 6), "low": round(low, 6), "high": round(high, 6)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Share:
        """Return what [`as_dict`][] made plain."""
        return cls(values["group"], values["correct"], values["examples"])


@dataclass(frozen=True)
class Result:
    """How a model did on a test."""

    test: str
    inference: str | None
    """How RIR read its inputs, grouped or flat; None for other encoders."""
    total: Share
    strata: dict[str, list[Share]]
    """By name of the stratum, its groups in order."""
    mean_length: float
    """Tokens."""
    seconds: float
    baseline: float | None = None
    """Accuracy of the task's trivial answer."""
    protocol: str | None = None
    """How the task's splits came about."""
    right: str | None = None
    """Which examples were right, a bit each, in hexadecimal digits: a repetition can be compared one by one."""
    trees: dict[str, TreeScore] | None = None
    """When asked for: how near the model's most probable trees come to the gold ones, and trees that take no learning;
    see [`nestree.trees.scores.tree_scores`][]."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "test": self.test,
            "inference": self.inference,
            **{key: value for key, value in self.total.as_dict().items() if key != "group"},
            "baseline": self.baseline,
            "protocol": self.protocol,
            "mean_length": round(self.mean_length, 2),
            "seconds": round(self.seconds, 3),
            "strata": {name: [share.as_dict() for share in shares] for name, shares in self.strata.items()},
            **({"right": self.right} if self.right is not None else {}),
            **({"trees": {name: score.as_dict() for name, score in self.trees.items()}} if self.trees else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Return what [`as_dict`][] made plain; further keys are left alone."""
        return cls(
            test=values["test"],
            inference=values["inference"],
            total=Share(values["test"], values["correct"], values["examples"]),
            strata={name: [Share.from_dict(share) for share in shares] for name, shares in values["strata"].items()},
            mean_length=values["mean_length"],
            seconds=values["seconds"],
            baseline=values["baseline"],
            protocol=values.get("protocol"),
            right=values.get("right"),
            trees={name: TreeScore.from_dict(score) for name, score in values["trees"].items()}
            if values.get("trees")
            else None,
        )


def probabilities(
    model: Classifier,
    examples: RaggedExamples,
    *,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return the probability of each label, (examples, classes).

    Args:
        model: put into evaluation mode; its device is used.
        examples: none of length 0.
        tokens: tokens, padding included, that a batch holds at most; one longer example is a batch.
        advance: called with the number of examples just done.
    """
    return answers(model, examples, beams=0, tokens=tokens, advance=advance)[0]


@torch.inference_mode()
def answers(
    model: Classifier,
    examples: RaggedExamples,
    *,
    beams: int | None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], list[list[ParsedTree]] | None]:
    """Return the probability of each label, and of every sequence the trees, most probable first.

    The arguments are those of [`probabilities`][], and ``beams``: how many trees of a sequence are kept; None keeps
    all, 0 looks for none. There are as many lists of trees as sequences, the two sides of a pair behind one another;
    None when they are not asked for, or the encoder has none.
    """
    model.eval()
    device = next(model.parameters()).device
    found: NDArray[np.float32] | None = None
    parsed: dict[int, list[ParsedTree]] = {}
    for indices in budget_batches(examples.lengths, tokens=tokens, sides=examples.sides):
        batch = collate(examples, indices)
        encoding = model.encode(batch.tokens.to(device), batch.lengths.to(device), trees=beams != 0)
        part = model.classify(encoding.root).float().softmax(dim=-1).cpu().numpy()
        found = np.empty((len(examples), part.shape[1]), np.float32) if found is None else found
        found[indices] = part
        rows = [row * examples.sides + side for row in indices for side in range(examples.sides)]
        parsed.update(zip(rows, (trees[:beams] for trees in encoding.trees or ()), strict=False))
        if advance:
            advance(len(indices))
    all_parsed = [parsed[row] for row in range(len(examples) * examples.sides)] if parsed else None
    return np.empty((0, 0), np.float32) if found is None else found, all_parsed


def evaluate(
    model: Classifier,
    examples: RaggedExamples,
    *,
    test: str,
    strata: Mapping[str, NDArray[Any]] | None = None,
    baseline: float | None = None,
    protocol: str | None = None,
    gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None] | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> Result:
    """Return accuracy on ``examples``, also by each of ``strata`` (one value an example).

    With ``gold`` ([`nestree.tasks.base.Task.gold`][]) the most probable tree of every sequence is scored, too.

    Raises:
        ValueError: there are no examples; or with ``gold`` the encoder has no trees, or the task no gold trees.
    """
    if len(examples) == 0:
        raise ValueError(f"test {test} has no examples")
    began = time.perf_counter()
    found, parsed = answers(model, examples, beams=0 if gold is None else 1, tokens=tokens, advance=advance)
    seconds = time.perf_counter() - began
    right = found.argmax(axis=1) == examples.labels
    return Result(
        test=test,
        inference=getattr(model.encoder, "inference", None),
        total=Share(test, int(right.sum()), len(right)),
        strata={name: by_group(right, groups(name, values)) for name, values in (strata or {}).items()},
        mean_length=float(examples.lengths.mean()),
        seconds=seconds,
        baseline=baseline,
        protocol=protocol,
        right=np.packbits(right).tobytes().hex(),
        trees=None if gold is None else _score(parsed, examples, gold),
    )


def _score(
    parsed: list[list[ParsedTree]] | None,
    examples: RaggedExamples,
    gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None],
) -> dict[str, TreeScore]:
    """Score the most probable trees."""
    if parsed is None:
        raise ValueError("the encoder has no trees")
    sequences = (sequence for row in range(len(examples)) for sequence in examples.sequences(row))
    golds = [tree for sequence in sequences if (tree := gold(sequence)) is not None]
    if len(golds) != len(parsed):
        raise ValueError("the task has no gold trees")
    return tree_scores((found[0] for found in parsed), golds)


def by_group(right: NDArray[np.bool_], names: list[str]) -> list[Share]:
    """Count right answers by group, in order of first number or name."""
    order = sorted(set(names), key=group_order)
    chosen = np.array(names)
    return [Share(name, int(right[chosen == name].sum()), int((chosen == name).sum())) for name in order]


def groups(stratum: str, values: NDArray[Any]) -> list[str]:
    """Name the group of each value: the value itself, or the range between two of [`EDGES`][] that holds it."""
    edges = EDGES.get(stratum)
    if edges is None or not np.issubdtype(values.dtype, np.number):
        return [str(value) for value in values.tolist()]
    spans = [str(first) if first == end - 1 else f"{first}-{end - 1}" for first, end in pairwise(edges)]
    spans.append(f"{edges[-1]}-")
    return [spans[bisect_right(edges, value) - 1] for value in values.tolist()]


def group_order(name: str) -> tuple[int, str]:
    """Sort ranges by where they begin, and names by the alphabet."""
    start = name.split("-")[0]
    return (int(start), "") if start.isdigit() else (-1, name)
