"""Measures of answers of several labels: F1, precision and recall of each label, and exact matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.evaluation.measures import ClassScore, rounded, score_values
from nestree.tasks.target import LIMIT

KIND = "labels"
"""``kind`` of these measures in ``evaluation.json``."""


@dataclass(frozen=True)
class LabelMeasures:
    """What is measured of answers of several labels on a test; the exact matches are the result's ``total``."""

    labels: tuple[ClassScore, ...]
    """By number of the label."""
    micro_f1: float
    """F1 of all decisions, one per example and label, together."""
    macro_f1: float
    """Mean F1 over the labels that any example has or was given."""
    mean_labels: float
    """Mean number of labels of an example."""
    mean_predicted: float
    """Mean number of labels that an example was given."""
    constant: tuple[str, ...] = ()
    """The labels that have the best micro F1 on the training examples if they are always given."""
    constant_micro_f1: float | None = None
    """Micro F1 of always giving these labels; None without training examples."""

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values."""
        return {
            "kind": KIND,
            "micro_f1": rounded(self.micro_f1),
            "macro_f1": rounded(self.macro_f1),
            "mean_labels": rounded(self.mean_labels),
            "mean_predicted": rounded(self.mean_predicted),
            "constant": list(self.constant),
            "constant_micro_f1": rounded(self.constant_micro_f1),
            "labels": [score_values(one) for one in self.labels],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelMeasures:
        """Return the measures of values that [`as_dict`][] returned."""
        own = {name: value for name, value in values.items() if name not in ("kind", "labels", "constant")}
        labels = tuple(ClassScore(**one) for one in values["labels"])
        return cls(labels=labels, constant=tuple(values["constant"]), **own)


def measure_labels(
    probabilities: NDArray[np.floating],
    answers: NDArray[np.number],
    *,
    names: Sequence[str],
    train: NDArray[np.number] | None = None,
    limit: float = LIMIT,
) -> LabelMeasures:
    """Measure answers of several labels.

    Args:
        probabilities: probability of each label, (examples, labels); labels above ``limit`` are given.
        answers: 1 for each label that an example has, (examples, labels).
        names: names of the labels.
        train: ``answers`` of the training examples, for a baseline; None for none.
        limit: the probability above which a label is given.
    """
    # Imported here, as it takes a second, which a program that only predicts should not wait for.
    from torchmetrics.functional import classification

    given = probabilities > limit
    predicted, target = torch.from_numpy(given.astype(np.int64)), torch.from_numpy(answers.astype(np.int64))
    options = {"num_labels": len(names), "average": None}
    stats = classification.multilabel_stat_scores(predicted, target, **options).tolist()
    scores = [
        score(predicted, target, **options).tolist()
        for score in (
            classification.multilabel_precision,
            classification.multilabel_recall,
            classification.multilabel_f1_score,
        )
    ]
    labels = tuple(
        ClassScore(
            label=name,
            support=support,
            predicted=right + false,
            correct=right,
            precision=precision if right + false else None,
            recall=recall if support else None,
            f1=f1 if support or right + false else None,
        )
        for name, (right, false, _, _, support), precision, recall, f1 in zip(names, stats, *scores, strict=True)
    )
    known = [one.f1 for one in labels if one.f1 is not None]
    constant = None if train is None else best_constant(train)
    return LabelMeasures(
        labels=labels,
        micro_f1=float(classification.binary_f1_score(predicted.flatten(), target.flatten())),
        macro_f1=float(np.mean(known)) if known else 0.0,
        mean_labels=float(answers.sum(axis=1).mean()),
        mean_predicted=float(given.sum(axis=1).mean()),
        constant=() if constant is None else tuple(names[number] for number in constant),
        constant_micro_f1=None if constant is None else _micro_f1_of(constant, answers),
    )


def best_constant(answers: NDArray[np.number]) -> list[int]:
    """Return the numbers of the labels that have the best micro F1 if they are always given, most frequent first.

    These are the k most frequent labels, for some k.
    """
    counts = answers.sum(axis=0, dtype=np.int64)
    order = np.argsort(-counts, kind="stable")
    sizes = np.arange(1, len(order) + 1)
    f1 = 2 * counts[order].cumsum() / (sizes * len(answers) + max(int(counts.sum()), 1))
    return order[: int(f1.argmax()) + 1].tolist()


def _micro_f1_of(constant: Sequence[int], answers: NDArray[np.number]) -> float:
    right = int(answers[:, list(constant)].sum(dtype=np.int64))
    return 2 * right / max(1, len(constant) * len(answers) + int(answers.sum(dtype=np.int64)))
