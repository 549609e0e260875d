"""Readings: a model's answers and trees for inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nestree.evaluation.evaluate import answers
from nestree.evaluation.predictions import EMPTY, Threshold, TokenIds, as_examples, prediction
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions
from nestree.tasks.target import target_of
from nestree.trees import ParsedTree


@dataclass(frozen=True)
class Reading:
    """A model's answer and trees for one input."""

    label: str | None
    """The most probable label, several labels or a number as text; None for an empty text."""
    probability: float
    """Probability of that label; NaN for an empty text, several labels and numbers."""
    probabilities: tuple[float, ...]
    """Probability of each label, in the order of the task's ``label_names``, or the number; none for an empty text."""
    sides: tuple[tuple[ParsedTree, ...], ...]
    """Trees of each side of the input (one, or two for pairs), with words, most probable first; empty if the encoder
    has no trees, and for an empty text."""
    reason: str | None = None
    """Why there is no label, see [`nestree.evaluation.predictions.EMPTY`][]; None if there is one."""

    @property
    def certainty(self) -> str:
        """The probability in brackets, to follow the label; an empty string if the answer has none."""
        return "" if math.isnan(self.probability) else f" ({self.probability:.2f})"


def read(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds | None],
    *,
    beams: int | None = None,
    tokens: int = DataOptions.evaluation_tokens,
) -> list[Reading]:
    """Return a model's readings of inputs.

    Args:
        model: a model; it is switched to evaluation mode.
        task: the task of the model.
        inputs: a sequence of token ids per side, or None, as [`nestree.evaluation.predictions.encode_all`][] returns
            them.
        beams: number of trees per sequence, most probable first; None: all, 0: none.
        tokens: maximal number of tokens per batch, padding included.

    Examples:
        >>> run = Run.open("listops-rir")
        >>> (reading,) = read(load(run), run.task, [run.task.encode("[MAX 2 9 ]")])
        >>> reading.sides[0][0].brackets()
        '((([MAX 2) 9) ])'
    """
    texts = [one for one in inputs if one is not None]
    found = iter(_read(model, task, texts, beams=beams, tokens=tokens))
    return [_empty(task) if one is None else next(found) for one in inputs]


def _empty(task: Task) -> Reading:
    return Reading(label=None, probability=math.nan, probabilities=(), sides=((),) * task.sides, reason=EMPTY)


def _read(
    model: Classifier, task: Task, inputs: Sequence[TokenIds], *, beams: int | None, tokens: int
) -> list[Reading]:
    sequences = [sequence for one in inputs for sequence in one]
    target = target_of(task)
    found, parsed = answers(model, as_examples(task, inputs), beams=beams, target=target, tokens=tokens)
    predicted = [prediction(target, row.tolist(), Threshold()) for row in found]
    named = [()] * len(sequences)
    if parsed is not None:
        named = [
            tuple(tree.with_tokens(task.words(sequence)) for tree in trees)
            for trees, sequence in zip(parsed, sequences, strict=True)
        ]
    return [
        Reading(
            label=predicted[number].label,
            probability=predicted[number].probability,
            probabilities=tuple(row.tolist()),
            sides=tuple(named[number * task.sides : (number + 1) * task.sides]),
        )
        for number, row in enumerate(found)
    ]
