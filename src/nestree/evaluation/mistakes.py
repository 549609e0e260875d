"""The inputs of the most confident mistakes, which a result refers to by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result
from nestree.evaluation.measures import Mistake
from nestree.evaluation.predictions import TokenIds
from nestree.runs import Run
from nestree.tasks import Task


@dataclass(frozen=True)
class MistakenInput:
    """A wrong answer, and the input that it was given to."""

    mistake: Mistake
    sequences: TokenIds
    """Token ids of the input, or of both sides of a pair."""
    texts: tuple[str, ...]
    """The tokens of each side as the model reads them, in one line."""


def mistaken_inputs(run: Run, result: Result) -> list[MistakenInput]:
    """Return the inputs of a result's most confident mistakes, leaving out rows that have changed since.

    Raises:
        UserError: the test's files are missing or damaged.
    """
    measures = result.class_measures
    if measures is None or not measures.mistakes:
        return []
    if result.test not in run.task.splits:
        raise UserError(f"task {run.config.data.task} has no test {result.test}")
    examples = run.task.load(result.test, size=result.total.examples)
    return [
        MistakenInput(mistake, sequences, tuple(text_of(run.task, sequence) for sequence in sequences))
        for mistake in measures.mistakes
        if (sequences := _sequences(run.task, examples, mistake)) is not None
    ]


def text_of(task: Task, tokens: NDArray[np.unsignedinteger]) -> str:
    """Return token ids as text: words with spaces between them, characters and bytes without."""
    level = getattr(task, "level", "word")
    if level == "byte":
        return bytes((tokens - 1).astype(np.uint8)).decode("utf-8", "replace")
    return (" " if level == "word" else "").join(task.words(tokens))


def _sequences(task: Task, examples: RaggedExamples, mistake: Mistake) -> TokenIds | None:
    """Return the input of a mistake; None if another example is in its row."""
    if mistake.row >= len(examples) or task.label_names[int(examples.labels[mistake.row])] != mistake.label:
        return None
    return tuple(examples.sequences(mistake.row))


def as_json(run: Run, result: Result) -> dict[str, Any]:
    """Return a result as JSON values to read, with the texts of the mistakes as far as the test's files are there."""
    values = {key: value for key, value in result.as_dict().items() if key != "right"}
    if result.class_measures is not None:
        try:
            inputs = {one.mistake.row: list(one.texts) for one in mistaken_inputs(run, result)}
        except (UserError, ValueError):
            inputs = {}
        for mistake in values["measures"]["mistakes"]:
            mistake["texts"] = inputs.get(mistake["row"])
    if result.bag_of_words is not None and result.right is not None:
        bag = result.bag_of_words
        difference, low, high = bag.behind(result.right)
        about = {"accuracy": bag.accuracy, "difference": difference, "low": low, "high": high}
        kept = {key: value for key, value in bag.as_dict().items() if key not in ("right", "source")}
        values["bag_of_words"] = kept | {key: round(value, 6) for key, value in about.items()}
    return values
