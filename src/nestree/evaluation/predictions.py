"""What a model answers to texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestree.data.ragged import RaggedExamples
from nestree.errors import OptionError, UserError
from nestree.evaluation.evaluate import probabilities
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions

TokenIds = tuple[NDArray[np.unsignedinteger], ...]
"""The token ids of an input: of one sequence, or of the two of a pair."""


@dataclass(frozen=True)
class Prediction:
    """What a model answers to one input."""

    label: str
    """The most probable label."""
    probability: float
    """Its probability."""
    probabilities: dict[str, float]
    """Of every label, in the order of the task's ``label_names``."""


def predict(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds],
    *,
    tokens: int = DataOptions.evaluation_tokens,
    advance: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Return what a model answers to inputs, in their order.

    Args:
        model: put into evaluation mode.
        task: the model's.
        inputs: as [`encode_all`][] returns them.
        tokens: tokens, padding included, that a batch holds at most.
        advance: called with the number of inputs just done.
    """
    found = probabilities(model, as_examples(task, inputs), tokens=tokens, advance=advance)
    return [_prediction(task.label_names, row) for row in found]


def _prediction(labels: Sequence[str], row: NDArray[np.float32]) -> Prediction:
    named = dict(zip(labels, row.tolist(), strict=True))
    best = labels[int(row.argmax())]
    return Prediction(best, named[best], named)


def encode_all(
    task: Task, texts: Sequence[str | Sequence[str]], *, where: Sequence[str] | None = None
) -> list[TokenIds]:
    """Return the token ids of texts.

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


def _encoded(task: Task, text: str | Sequence[str], where: str) -> TokenIds:
    parts = (text.split("\t") if task.sides > 1 else [text]) if isinstance(text, str) else list(text)
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
