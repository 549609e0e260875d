"""Readings: a model's answers and trees for inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestree.data.ragged import RaggedExamples
from nestree.evaluation.evaluate import answers
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions
from nestree.trees import ParsedTree


@dataclass(frozen=True)
class Reading:
    """A model's answer and trees for one input."""

    label: str
    """The most probable label."""
    probability: float
    """Probability of that label."""
    probabilities: tuple[float, ...]
    """Probability of each label, in the order of the task's ``label_names``."""
    sides: tuple[tuple[ParsedTree, ...], ...]
    """Trees of each side of the input (one, or two for pairs), with words, most probable first; empty if the encoder
    has no trees."""


def read(
    model: Classifier,
    task: Task,
    inputs: Sequence[tuple[NDArray[np.unsignedinteger], ...]],
    *,
    beams: int | None = None,
    tokens: int = DataOptions.evaluation_tokens,
) -> list[Reading]:
    """Return a model's readings of inputs.

    Args:
        model: a model; it is switched to evaluation mode.
        task: the task of the model.
        inputs: inputs as returned by [`nestree.tasks.base.Task.encode`][]: a sequence of token ids per side.
        beams: number of trees per sequence, most probable first; None: all, 0: none.
        tokens: maximal number of tokens per batch, padding included.

    Examples:
        >>> run = Run.open("runs/mine")
        >>> (reading,) = read(load(run), run.task, [run.task.encode("[MAX 2 9 ]")])
        >>> reading.sides[0][0].brackets()
        '((([MAX 2) 9) ])'
    """
    sequences = [sequence for one in inputs for sequence in one]
    examples = RaggedExamples.from_sequences(
        sequences, [0] * len(inputs), name="inputs", dtype=np.uint32, sides=task.sides
    )
    found, parsed = answers(model, examples, beams=beams, tokens=tokens)
    named = [()] * len(sequences)
    if parsed is not None:
        named = [
            tuple(tree.with_tokens(task.words(sequence)) for tree in trees)
            for trees, sequence in zip(parsed, sequences, strict=True)
        ]
    return [
        Reading(
            label=task.label_names[int(row.argmax())],
            probability=float(row.max()),
            probabilities=tuple(row.tolist()),
            sides=tuple(named[number * task.sides : (number + 1) * task.sides]),
        )
        for number, row in enumerate(found)
    ]
