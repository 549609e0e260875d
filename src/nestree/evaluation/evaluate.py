"""Accuracy, probabilities and trees of a model on a test."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.data.batches import budget_batches, collate
from nestree.data.ragged import RaggedExamples
from nestree.data.shapes import ANSWERED, HEX, INTEGER, NUMBER, SHARE, TEXT, Ruled
from nestree.errors import UserError
from nestree.evaluation.bag_of_words import BAG, BagOfWords
from nestree.evaluation.intervals import wilson
from nestree.evaluation.label_measures import KIND as LABELS
from nestree.evaluation.label_measures import LabelMeasures, measure_labels
from nestree.evaluation.measures import MEASURES, ClassMeasures, measure_classes
from nestree.evaluation.node_accuracy import NODES, NodeScore
from nestree.evaluation.number_measures import KIND as NUMBERS
from nestree.evaluation.number_measures import NumberMeasures, measure_numbers
from nestree.models import Classifier
from nestree.tasks.base import DataOptions
from nestree.tasks.target import LIMIT, Target
from nestree.trees import ParsedTree
from nestree.trees.scores import GoldTree, TreeScore, tree_scores

EDGES = {
    "length": [0, 11, 21, 31, 51, 76, 101, 151, *range(201, 1002, 100), 2001, 5001, 9001, 10001],
    "depth": [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 21],
}
"""First values of the groups of numeric strata; the last group is open-ended."""


ENTRY = Ruled(
    {
        "test": TEXT,
        "inference?": TEXT,
        **ANSWERED.shape,
        "baseline?": SHARE,
        "protocol?": TEXT,
        "mean_length": NUMBER,
        "seconds": NUMBER,
        "strata": {str: [Ruled({"group": TEXT, **ANSWERED.shape}, ANSWERED.rule)]},
        "right?": HEX,
        "trees?": {str: {"f1?": SHARE, "recall?": SHARE}},
        "measures?": MEASURES,
        "bag_of_words?": BAG,
        "nodes?": NODES,
        "seed?": INTEGER,
        "encoder_options?": {},
        "weights?": TEXT,
        "time?": TEXT,
        "version?": TEXT,
    },
    ANSWERED.rule,
)
"""Shape of a result in ``evaluation.json``, see ``nestree.data.shapes``."""


@dataclass(frozen=True)
class Share:
    """Number of correct answers in a group of examples.

    An answer of several labels is correct if all of them are. Where the answers are numbers there are no correct ones.
    """

    group: str
    correct: int
    examples: int

    @property
    def accuracy(self) -> float:
        """Share of correct answers; NaN without examples."""
        return self.correct / self.examples if self.examples else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson(self.correct, self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return counts, accuracy and interval as JSON values."""
        low, high = self.interval
        counts = {"group": self.group, "correct": self.correct, "examples": self.examples}
        return {**counts, "accuracy": round(self.accuracy, 6), "low": round(low, 6), "high": round(high, 6)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Share:
        """Return the share of values that [`as_dict`][] returned."""
        return cls(values["group"], values["correct"], values["examples"])


@dataclass(frozen=True)
class Uncounted(Share):
    """Examples whose answers are numbers, of which none is simply right or wrong."""

    correct: int = field(default=0, init=False)

    @property
    def accuracy(self) -> float:
        """Raise a UserError, as there is none."""
        raise UserError(f"{self.group}: its answers are numbers, which have no accuracy")

    @property
    def interval(self) -> tuple[float, float]:
        """Raise a UserError, as there is none."""
        raise UserError(f"{self.group}: its answers are numbers, which have no accuracy")

    def as_dict(self) -> dict[str, Any]:
        """Return the number of examples as JSON values."""
        return {"group": self.group, "correct": None, "examples": self.examples}


Measures = ClassMeasures | LabelMeasures | NumberMeasures


def read_measures(values: Mapping[str, Any] | None) -> Measures | None:
    """Return the measures of an entry of ``evaluation.json``; None if it has none, or of a kind of a later version."""
    kinds = {"classes": ClassMeasures, LABELS: LabelMeasures, NUMBERS: NumberMeasures}
    kind = kinds.get(values.get("kind", "")) if values else None
    return None if kind is None or values is None else kind.from_dict(values)


@dataclass(frozen=True)
class Result:
    """Result of a model on a test."""

    test: str
    inference: str | None
    """Inference of RIR, grouped or flat; None for other encoders."""
    total: Share
    """Correct answers; [`Uncounted`][] where the answers are numbers."""
    strata: dict[str, list[Share]]
    """Shares of each stratum's groups, in order, by name of the stratum."""
    mean_length: float
    """Mean length of the examples, tokens."""
    seconds: float
    """Time of the evaluation."""
    baseline: float | None = None
    """Accuracy of the task's baseline."""
    protocol: str | None = None
    """Origin of the task's splits, see [`nestree.tasks.base.Task`][]."""
    right: str | None = None
    """One bit per example, whether its answer was correct, in hexadecimal digits, to compare runs by example."""
    trees: dict[str, TreeScore] | None = None
    """Scores of the model's most probable trees, and of trees that need no training, if they were requested; see
    [`nestree.trees.scores.tree_scores`][]."""
    measures: Measures | None = None
    """What else is measured of the answers, by their kind; None in results of earlier versions."""
    bag_of_words: BagOfWords | None = None
    """Answers of a bag of words on the same examples, if they were requested and the task is one of words."""
    nodes: NodeScore | None = None
    """Accuracy at the labelled nodes of gold trees, if it was requested."""

    @property
    def has_accuracy(self) -> bool:
        """Whether answers are right or wrong."""
        return not isinstance(self.total, Uncounted)

    @property
    def main(self) -> float | None:
        """What a model is chosen by: accuracy, micro F1 of several labels, or Pearson correlation of numbers."""
        if isinstance(self.measures, NumberMeasures):
            return self.measures.pearson
        return self.measures.micro_f1 if isinstance(self.measures, LabelMeasures) else self.total.accuracy

    @property
    def class_measures(self) -> ClassMeasures | None:
        """What is measured of answers that are single labels; None for others, and in results of earlier versions."""
        return self.measures if isinstance(self.measures, ClassMeasures) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
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
            **({"measures": self.measures.as_dict()} if self.measures is not None else {}),
            **({"bag_of_words": self.bag_of_words.as_dict()} if self.bag_of_words is not None else {}),
            **({"nodes": self.nodes.as_dict()} if self.nodes is not None else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Return the result of values that [`as_dict`][] returned; other keys are ignored."""
        test, correct, examples = values["test"], values.get("correct"), values["examples"]
        return cls(
            test=test,
            inference=values.get("inference"),
            total=Uncounted(test, examples=examples) if correct is None else Share(test, correct, examples),
            strata={name: [Share.from_dict(share) for share in shares] for name, shares in values["strata"].items()},
            mean_length=values["mean_length"],
            seconds=values["seconds"],
            baseline=values.get("baseline"),
            protocol=values.get("protocol"),
            right=values.get("right"),
            trees={name: TreeScore.from_dict(score) for name, score in values["trees"].items()}
            if values.get("trees")
            else None,
            measures=read_measures(values.get("measures")),
            bag_of_words=BagOfWords.from_dict(values["bag_of_words"]) if values.get("bag_of_words") else None,
            nodes=NodeScore.from_dict(values["nodes"]) if values.get("nodes") else None,
        )


def probabilities(
    model: Classifier,
    examples: RaggedExamples,
    *,
    target: Target | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return the probability of each label, (examples, classes); where the answers are numbers, these, (examples, 1).

    Args:
        model: a model, on any device; it is switched to evaluation mode.
        examples: examples, none of length 0.
        target: what the answers are; None for single labels.
        tokens: maximal number of tokens per batch, padding included; a longer example is a batch by itself.
        advance: called with the number of examples after each batch.
    """
    return answers(model, examples, beams=0, target=target, tokens=tokens, advance=advance)[0]


@torch.inference_mode()
def answers(
    model: Classifier,
    examples: RaggedExamples,
    *,
    beams: int | None,
    target: Target | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], list[list[ParsedTree]] | None]:
    """Return the probability of each label (or the number), (examples, classes), and the trees of each sequence.

    The arguments are those of [`probabilities`][] and ``beams``, the number of trees per sequence (None: all, 0: none).
    There is a list of trees per sequence, most probable first, with the sides of a pair next to each other; None if
    ``beams`` is 0 or the encoder has no trees.
    """
    model.eval()
    read = (target or Target()).read
    device = next(model.parameters()).device
    found: NDArray[np.float32] | None = None
    parsed: dict[int, list[ParsedTree]] = {}
    for indices in budget_batches(examples.lengths, tokens=tokens, sides=examples.sides):
        batch = collate(examples, indices)
        encoding = model.encode(batch.tokens.to(device), batch.lengths.to(device), trees=beams != 0)
        part = read(model.classify(encoding.root).float()).cpu().numpy()
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
    labels: Sequence[str] | None = None,
    target: Target | None = None,
    train: RaggedExamples | None = None,
    strata: Mapping[str, NDArray[Any]] | None = None,
    baseline: float | None = None,
    protocol: str | None = None,
    gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None] | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> Result:
    """Return the accuracy on ``examples``, in total and by each of ``strata`` (one value per example), and by class.

    ``labels`` are the names of the labels; None for their numbers. Where the answers are not single labels, ``target``
    says what they are, and ``train`` are the training examples, for a baseline.
    With ``gold`` ([`nestree.tasks.base.Task.gold`][]), the most probable tree of each sequence is scored too.

    Raises:
        ValueError: there are no examples; or, with ``gold``, the encoder has no trees or the task no gold trees.
    """
    if len(examples) == 0:
        raise ValueError(f"test {test} has no examples")
    began = time.perf_counter()
    target = target or Target(names=tuple(labels or ()))
    beams = 0 if gold is None else 1
    found, parsed = answers(model, examples, beams=beams, target=target, tokens=tokens, advance=advance)
    seconds = time.perf_counter() - began
    right = _right(found, examples, target)
    return Result(
        test=test,
        inference=getattr(model.encoder, "inference", None),
        total=Uncounted(test, examples=len(examples)) if right is None else Share(test, int(right.sum()), len(right)),
        strata={}
        if right is None
        else {name: by_group(right, groups(name, values)) for name, values in (strata or {}).items()},
        mean_length=float(examples.lengths.mean()),
        seconds=seconds,
        baseline=baseline,
        protocol=protocol,
        right=None if right is None else np.packbits(right).tobytes().hex(),
        trees=None if gold is None else _score(parsed, examples, gold),
        measures=_measured(found, examples, target, train, labels),
    )


def _right(found: NDArray[np.float32], examples: RaggedExamples, target: Target) -> NDArray[np.bool_] | None:
    """Return which answers are correct; None if they are numbers."""
    if target.kind == "class":
        return found.argmax(axis=1) == examples.labels
    return None if target.kind == "number" else ((found > LIMIT) == examples.answers).all(axis=1)


def _measured(
    found: NDArray[np.float32],
    examples: RaggedExamples,
    target: Target,
    train: RaggedExamples | None,
    labels: Sequence[str] | None,
) -> Measures:
    """Measure the answers by their kind."""
    if examples.answers is None:
        return measure_classes(found, examples.labels, names=labels)
    if target.kind == "number":
        return measure_numbers(found[:, 0], examples.answers[:, 0], mean=target.mean)
    of_train = None if train is None else train.answers
    return measure_labels(found, examples.answers, names=target.names, train=of_train)


def _score(
    parsed: list[list[ParsedTree]] | None,
    examples: RaggedExamples,
    gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None],
) -> dict[str, TreeScore]:
    if parsed is None:
        raise ValueError("the encoder has no trees")
    sequences = (sequence for row in range(len(examples)) for sequence in examples.sequences(row))
    golds = [tree for sequence in sequences if (tree := gold(sequence)) is not None]
    if len(golds) != len(parsed):
        raise ValueError("the task has no gold trees")
    return tree_scores((found[0] for found in parsed), golds)


def by_group(right: NDArray[np.bool_], names: list[str]) -> list[Share]:
    """Count correct answers by group; groups are sorted by their first number, or by name."""
    order = sorted(set(names), key=group_order)
    chosen = np.array(names)
    return [Share(name, int(right[chosen == name].sum()), int((chosen == name).sum())) for name in order]


def groups(stratum: str, values: NDArray[Any]) -> list[str]:
    """Return the name of each value's group: the value itself, or its range between two of [`EDGES`][]."""
    edges = EDGES.get(stratum)
    if edges is None or not np.issubdtype(values.dtype, np.number):
        return [str(value) for value in values.tolist()]
    spans = [str(first) if first == end - 1 else f"{first}-{end - 1}" for first, end in pairwise(edges)]
    spans.append(f"{edges[-1]}-")
    return [spans[bisect_right(edges, value) - 1] for value in values.tolist()]


def group_order(name: str) -> tuple[int, str]:
    """Sort key: ranges by their first number, names alphabetically."""
    start = name.split("-")[0]
    return (int(start), "") if start.isdigit() else (-1, name)
