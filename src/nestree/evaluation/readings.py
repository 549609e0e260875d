"""How a model reads inputs: its answer, and the trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestree.evaluation.evaluate import answers
from nestree.evaluation.predictions import TokenIds, as_examples
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions
from nestree.trees import ParsedTree


@dataclass(frozen=True)
class Reading:
    """How a model reads one input."""

    label: str
    """The most probable label."""
    probability: float
    """Its probability."""
    probabilities: tuple[float, ...]
    """Of every label, in the order of the task's ``label_names``."""
    sides: tuple[tuple[ParsedTree, ...], ...]
    """For the input, or for each of a pair: its trees with their words, most probable first; empty where the
    encoder has no trees."""


def read(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds],
    *,
    beams: int | None = None,
    tokens: int = DataOptions.evaluation_tokens,
) -> list[Reading]:
    """Return how a model reads inputs, as [`nestree.tasks.base.Task.encode`][] returns them.

    Args:
        model: put into evaluation mode.
        task: the model's.
        inputs: a sequence of token ids each, or two for a task of pairs; see
            [`nestree.evaluation.predictions.encode_all`][].
        beams: trees of each sequence, the most probable so many; None: all, 0: none.
        tokens: tokens, padding included, that a batch holds at most.

    Examples:
        >>> run = Run.open("listops-rir")
        >>> (reading,) = read(load(run), run.task, [run.task.encode("[MAX 2 9 ]")])
        >>> reading.sides[0][0].brackets()
        '((([MAX 2) 9) ])'
    """
    sequences = [sequence for one in inputs for sequence in one]
    found, parsed = answers(model, as_examples(task, inputs), beams=beams, tokens=tokens)
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
