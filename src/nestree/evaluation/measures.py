"""Measures of a classifier's answers beyond accuracy: per class, confusion, calibration, and confident mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.data.shapes import COUNT, NUMBER, SHARE, TEXT, Choice, Ruled, Shape

BINS = 15
"""Number of bins of probability for the expected calibration error."""
MATRIX = 100
"""Maximal number of classes for which the confusion matrix is kept."""
PAIRS = 20
"""Number of most confused pairs of labels that are kept in place of a larger matrix."""
MISTAKES = 10
"""Number of most confident mistakes that are kept."""


_CLASS = {
    "label": TEXT,
    "support": COUNT,
    "predicted": COUNT,
    "correct": COUNT,
    "precision?": SHARE,
    "recall?": SHARE,
    "f1?": SHARE,
}

_MISTAKE = {"row": COUNT, "label": TEXT, "predicted": TEXT, "probability": SHARE}

_CLASSES = {
    "macro_f1": SHARE,
    "ece": SHARE,
    "classes": [_CLASS],
    "confusion?": [[COUNT]],
    "pairs": [{"label": TEXT, "predicted": TEXT, "examples": COUNT}],
    "bins": [(NUMBER, NUMBER, COUNT, COUNT, SHARE)],
    "mistakes": [_MISTAKE],
}


def _square(values: Mapping[str, Any]) -> str | None:
    size, matrix = len(values["classes"]), values.get("confusion")
    if matrix is not None and [len(row) for row in matrix] != [size] * size:
        return f"has a confusion matrix that is not {size} by {size}"
    return None


_LABELS = {
    **dict.fromkeys(("micro_f1?", "macro_f1?", "constant_micro_f1?"), SHARE),
    **dict.fromkeys(("mean_labels?", "mean_predicted?"), NUMBER),
    "constant": [TEXT],
    "labels": [_CLASS],
}

_NUMBERS = {
    "examples": COUNT,
    **dict.fromkeys(("mse", "mae", "pearson?", "spearman?", "mean", "baseline_mse", "baseline_mae"), NUMBER),
    "points": [(NUMBER, NUMBER)],
}

_SHAPES: dict[str, Shape] = {"classes": Ruled(_CLASSES, _square), "labels": _LABELS, "number": _NUMBERS}

MEASURES = Choice(lambda values: _SHAPES.get(str(values.get("kind")), {}))
"""Shape of the measures in ``evaluation.json``; those of a kind of a later version are not read."""


@dataclass(frozen=True)
class ClassScore:
    """Counts and scores of one class; a score without examples to compute it from is None."""

    label: str
    support: int
    """Number of examples with this label."""
    predicted: int
    """Number of examples that got this answer."""
    correct: int
    """Number of examples that have this label and got this answer."""
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Bin:
    """Examples whose answer has a probability from ``low`` to ``high``."""

    low: float
    high: float
    examples: int
    correct: int
    confidence: float
    """Mean probability of the answers."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer; its text is read from the test again, as a run may be shared and a test may not."""

    row: int
    """Index among the examples of the result."""
    label: str
    """The correct label."""
    predicted: str
    probability: float


@dataclass(frozen=True)
class ClassMeasures:
    """What is measured of a classifier's answers on a test."""

    classes: tuple[ClassScore, ...]
    """By number of the label."""
    macro_f1: float
    """Mean F1 over the classes that are a label or an answer of any example."""
    ece: float
    """Expected calibration error (Guo et al. 2017): mean distance of probability and accuracy over [`BINS`][] bins,
    weighted by examples."""
    bins: tuple[Bin, ...]
    """The bins that are not empty, from low to high."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Number of examples by label and answer; None for more than [`MATRIX`][] classes."""
    pairs: tuple[tuple[str, str, int], ...]
    """The most confused pairs: label, answer, examples."""
    mistakes: tuple[Mistake, ...]
    """The most confident ones first."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in order of their numbers."""
        return tuple(one.label for one in self.classes)

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values."""
        return {
            "kind": "classes",
            "macro_f1": rounded(self.macro_f1),
            "ece": rounded(self.ece),
            "classes": [score_values(one) for one in self.classes],
            **({"confusion": [list(row) for row in self.confusion]} if self.confusion is not None else {}),
            "pairs": [{"label": label, "predicted": answer, "examples": n} for label, answer, n in self.pairs],
            "bins": [
                [rounded(b.low), rounded(b.high), b.examples, b.correct, rounded(b.confidence)] for b in self.bins
            ],
            "mistakes": [
                {
                    "row": one.row,
                    "label": one.label,
                    "predicted": one.predicted,
                    "probability": rounded(one.probability),
                }
                for one in self.mistakes
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassMeasures:
        """Return the measures of values that [`as_dict`][] returned."""
        confusion = values.get("confusion")
        return cls(
            classes=tuple(
                ClassScore(**{field.name: one.get(field.name) for field in fields(ClassScore)})
                for one in values["classes"]
            ),
            macro_f1=values["macro_f1"],
            ece=values["ece"],
            bins=tuple(Bin(*one) for one in values["bins"]),
            confusion=None if confusion is None else tuple(tuple(row) for row in confusion),
            pairs=tuple((one["label"], one["predicted"], one["examples"]) for one in values["pairs"]),
            mistakes=tuple(Mistake(**{name: one[name] for name in _MISTAKE}) for one in values["mistakes"]),
        )


def score_values(score: ClassScore) -> dict[str, Any]:
    """Return the scores of a class as JSON values."""
    scores = {name: rounded(getattr(score, name)) for name in ("precision", "recall", "f1")}
    counts = {"support": score.support, "predicted": score.predicted, "correct": score.correct}
    return {"label": score.label, **counts, **scores}


def measure_classes(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, names: Sequence[str] | None = None
) -> ClassMeasures:
    """Measure a classifier's answers.

    Args:
        probabilities: probability of each label, (examples, classes); the answer is the most probable label.
        labels: number of the correct label of each example, (examples,).
        names: names of the labels; None for their numbers.
    """
    classes = probabilities.shape[1]
    names = tuple(map(str, range(classes))) if names is None else tuple(names)
    answers = probabilities.argmax(axis=1)
    confidence = np.nan_to_num(probabilities[np.arange(len(answers)), answers].astype(np.float64))
    wrong = np.flatnonzero(answers != labels)
    confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    scores, macro_f1, confusion = _scores(answers, labels, names)
    ece, bins = _calibration(confidence, answers == labels)
    return ClassMeasures(
        classes=scores,
        macro_f1=macro_f1,
        ece=ece,
        bins=bins,
        confusion=confusion,
        pairs=_pairs(answers[wrong], labels[wrong], names),
        mistakes=tuple(
            Mistake(int(row), names[int(labels[row])], names[int(answers[row])], float(confidence[row]))
            for row in confident
        ),
    )


def _scores(
    answers: NDArray[np.integer], labels: NDArray[np.integer], names: Sequence[str]
) -> tuple[tuple[ClassScore, ...], float, tuple[tuple[int, ...], ...] | None]:
    """Return the scores of each class, macro F1, and the confusion matrix if it is small enough to keep."""
    # Imported here, as it takes a second, which a program that only predicts should not wait for.
    from torchmetrics.functional import classification

    predicted, target = torch.from_numpy(answers.astype(np.int64)), torch.from_numpy(labels.astype(np.int64))
    count = len(names)

    def of_each(score: Any) -> list[float]:
        return score(predicted, target, num_classes=count, average=None).tolist()

    stats = classification.multiclass_stat_scores(predicted, target, num_classes=count, average=None).tolist()
    values = zip(
        of_each(classification.multiclass_precision),
        of_each(classification.multiclass_recall),
        of_each(classification.multiclass_f1_score),
        strict=True,
    )
    scores = tuple(
        ClassScore(
            label=name,
            support=support,
            predicted=right + false,
            correct=right,
            precision=precision if right + false else None,
            recall=recall if support else None,
            f1=f1 if support or right + false else None,
        )
        for name, (right, false, _, _, support), (precision, recall, f1) in zip(names, stats, values, strict=True)
    )
    macro = float(classification.multiclass_f1_score(predicted, target, num_classes=count, average="macro"))
    if count > MATRIX:
        return scores, macro, None
    matrix = classification.multiclass_confusion_matrix(predicted, target, num_classes=count).tolist()
    return scores, macro, tuple(tuple(row) for row in matrix)


def _calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, tuple[Bin, ...]]:
    """Return the expected calibration error, and the bins that are not empty."""
    from torchmetrics.functional.classification import binary_calibration_error

    # torchmetrics would put a probability of exactly 1 into a bin of its own.
    probability = torch.from_numpy(np.clip(confidence, 0, np.nextafter(1, 0)))
    correct = torch.from_numpy(right.astype(np.int64))
    # The binary measure takes the probability of the answer and whether it is right, so ties need no second argmax.
    ece = float(binary_calibration_error(probability, correct, n_bins=BINS))
    edges = torch.linspace(0, 1, BINS + 1, dtype=probability.dtype)
    places = (torch.bucketize(probability, edges, right=True) - 1).numpy()
    found = []
    for place in np.unique(places).tolist():
        inside = places == place
        mean = float(confidence[inside].mean())
        found.append(Bin(place / BINS, (place + 1) / BINS, int(inside.sum()), int(right[inside].sum()), mean))
    return ece, tuple(found)


def _pairs(
    answers: NDArray[np.integer], labels: NDArray[np.integer], names: Sequence[str]
) -> tuple[tuple[str, str, int], ...]:
    """Return the most frequent pairs of label and wrong answer."""
    counts = Counter[tuple[int, int]](zip(labels.tolist(), answers.tolist(), strict=True))
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    return tuple((names[label], names[answer], count) for (label, answer), count in most)


def rounded(value: float | None) -> float | None:
    """Return a measure as it is written to files."""
    return None if value is None else round(value, 6)
