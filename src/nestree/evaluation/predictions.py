"""What a model answers to texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestree.checks import check_at_least
from nestree.data.ragged import RaggedExamples
from nestree.errors import OptionError, UserError
from nestree.evaluation.evaluate import probabilities
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions
from nestree.tasks.target import LIMIT, Target, target_of

TokenIds = tuple[NDArray[np.unsignedinteger], ...]
"""The token ids of an input: of one sequence, or of the two of a pair."""

Text = str | Sequence[str] | float | None
"""An input: a text, or the two of a pair; None, and NaN in pandas, is an empty one."""

EMPTY = "empty text"
"""Reason for no label: a text is empty or only white space; of a pair, one of the two."""

UNSURE = "below the threshold"
"""Reason for no label: the most probable one is less probable than the threshold."""


@dataclass(frozen=True)
class Threshold:
    """When a model gives no label; where there may be several labels, which ones it gives.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    threshold: float | None = None
    """The label is given only if it is at least this probable; None: always. Of several, the labels that are more
    probable are given; None: more than 0.5."""
    abstain: str | None = None
    """What stands in place of the label otherwise."""

    def __post_init__(self) -> None:
        value = self.threshold
        if value is None:
            if self.abstain is not None:
                raise OptionError("abstain", "is the label below a threshold, and none is given")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise OptionError("threshold", f"must be a probability above 0 and at most 1, not {value!r}")

    def check(self, target: Target) -> None:
        """Check that the options fit the answers.

        Raises:
            ValueError: they do not; names the option.
        """
        if target.kind == "number" and self.threshold is not None:
            raise OptionError("threshold", "must be left out: the model's answers are numbers, without probabilities")
        if target.kind == "labels" and self.abstain is not None:
            raise OptionError("abstain", "must be left out: below the threshold, none of several labels is given")


@dataclass(frozen=True)
class Prediction:
    """What a model answers to one input."""

    label: str | None
    """The most probable label; if there is a ``reason``, None or the label for abstentions. Several labels, or a
    number, as text."""
    probability: float
    """Probability of the most probable label; NaN for an empty text, several labels and numbers."""
    probabilities: dict[str, float]
    """Of every label, in the order of the task's ``label_names``; empty for an empty text, and for numbers."""
    reason: str | None = None
    """Why there is no label: [`EMPTY`][] or [`UNSURE`][]; None if there is one."""
    labels: tuple[str, ...] | None = None
    """The labels, where there may be several; else, and for an empty text, None."""
    number: float | None = None
    """The number, where answers are numbers; else, and for an empty text, None."""

    def top(self, k: int) -> list[tuple[str, float]]:
        """Return the ``k`` most probable labels with their probabilities, the most probable first.

        Without probabilities, for an empty text, the list is empty.

        Raises:
            ValueError: ``k`` is below 1, or there are fewer labels.

        Examples:
            >>> Prediction("good", 0.6, {"bad": 0.1, "good": 0.6, "mixed": 0.3}).top(2)
            [('good', 0.6), ('mixed', 0.3)]
        """
        if not self.probabilities:
            check_at_least("k", k, 1)
            return []
        check_top("k", k, len(self.probabilities))
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:k]


def check_top(name: str, value: int, labels: int) -> int:
    """Return ``value``, or raise a ValueError that names the argument if a model of so many labels has no top so long.

    Examples:
        >>> check_top("k", 3, 2)
        Traceback (most recent call last):
        nestree.errors.OptionError: k must be at most 2, the number of labels, not 3
    """
    check_at_least(name, value, 1)
    if value > labels:
        raise OptionError(name, f"must be at most {labels}, the number of labels, not {value}")
    return value


def predict(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds | None],
    *,
    threshold: Threshold | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Return what a model answers to inputs: one prediction per input, in their order.

    Args:
        model: put into evaluation mode.
        task: the model's.
        inputs: as [`encode_all`][] returns them.
        threshold: when to give no label; None: never.
        tokens: tokens, padding included, that a batch holds at most.
        advance: called with the number of inputs just done.
    """
    return list(each_prediction(model, task, inputs, threshold=threshold, tokens=tokens, advance=advance))


def each_prediction(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds | None],
    *,
    threshold: Threshold | None = None,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Prediction]:
    """Yield the predictions of [`predict`][]; those of many labels take much memory if all are kept."""
    texts, target = [one for one in inputs if one is not None], target_of(task)
    threshold = threshold or Threshold()
    threshold.check(target)
    found = iter(probabilities(model, as_examples(task, texts), target=target, tokens=tokens, advance=advance))
    if advance:
        advance(len(inputs) - len(texts))
    for one in inputs:
        yield prediction(target, [] if one is None else next(found).tolist(), threshold)


def prediction(target: Target, values: Sequence[float], threshold: Threshold) -> Prediction:
    """Return the prediction that follows from a probability per label, or a number; without any, for an empty text."""
    if not values:
        return Prediction(None, math.nan, {}, EMPTY)
    if target.kind == "number":
        return Prediction(f"{values[0]:.6g}", math.nan, {}, number=values[0])
    named = dict(zip(target.names, values, strict=True))
    if target.kind == "labels":
        labels = target.chosen(values, LIMIT if threshold.threshold is None else threshold.threshold)
        return Prediction(target.joined(labels), math.nan, named, labels=labels)
    best = max(named, key=named.__getitem__)
    if threshold.threshold is not None and named[best] < threshold.threshold:
        return Prediction(threshold.abstain, named[best], named, UNSURE)
    return Prediction(best, named[best], named)


def encode_all(task: Task, texts: Sequence[Text], *, where: Sequence[str] | None = None) -> list[TokenIds | None]:
    """Return the token ids of texts; None for an empty one, and for a pair of which one is empty.

    Args:
        task: it says what a text is.
        texts: each a text; for a task of pairs two of them, or one in which a tab separates the two.
        where: what errors call each; None: "input 1" and so on.

    Raises:
        UserError: a text is not a valid input of the task; says which and why.
    """
    if isinstance(texts, str):
        raise OptionError("texts", "must be a list of texts, not one text: put it into brackets")
    names = where or [f"input {number}" for number in range(1, len(texts) + 1)]
    return [_encoded(task, text, name) for text, name in zip(texts, names, strict=True)]


def is_empty(task: Task, text: Text) -> bool:
    """Return whether a text has no label: see [`EMPTY`][]."""
    if text is None or text != text:  # only NaN is not itself
        return True
    if isinstance(text, float | int):
        return False
    parts = _parts(task, text)
    blank = [not part.strip() for part in parts]
    return bool(parts) and (all(blank) or (len(parts) == task.sides and any(blank)))  # one blank line can be a pair


def _parts(task: Task, text: str | Sequence[str]) -> list[str]:
    if isinstance(text, str):
        return text.split("\t") if task.sides > 1 else [text]
    return list(text)


def _encoded(task: Task, text: Text, where: str) -> TokenIds | None:
    if is_empty(task, text):
        return None
    if text is None or isinstance(text, float | int):
        raise UserError(f"{where}: must be a text, not {text}")
    parts = _parts(task, text)
    try:
        if task.sides == 1 and len(parts) != 1:
            raise ValueError(f"an input of {task.name} is one text, not {len(parts)}")
        ids = task.encode(*parts)
        if any(len(part) and int(part.max()) >= task.vocabulary_size for part in ids):
            raise ValueError(f"has a token number beyond the vocabulary of {task.vocabulary_size:,}")
        return ids
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def as_examples(task: Task, inputs: Sequence[TokenIds]) -> RaggedExamples:
    """Return inputs as examples; their labels mean nothing."""
    sequences = [sequence for one in inputs for sequence in one]
    return RaggedExamples.from_sequences(sequences, [0] * len(inputs), name="inputs", dtype=np.uint32, sides=task.sides)
