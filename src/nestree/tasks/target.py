"""What a task's answers are: one label, several labels, or a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from nestree.data import RaggedExamples
from nestree.errors import UserError

if TYPE_CHECKING:
    from nestree.tasks.base import Task

Kind = Literal["class", "labels", "number"]

KINDS: tuple[Kind, ...] = ("class", "labels", "number")
"""Kinds of answers: one of the labels, any number of them, or a number."""

SEPARATOR = "|"
"""Between the labels of an answer where the data name no separator."""

LIMIT = 0.5
"""Probability above which a label is given, if there may be several."""


@dataclass(frozen=True)
class Target:
    """What a task's answers are, and what an answer is made of a model's outputs.

    Examples:
        >>> Target("labels", ("drama", "comedy")).chosen([0.9, 0.7])
        ('drama', 'comedy')
    """

    kind: Kind = "class"
    names: tuple[str, ...] = ()
    """Names of the labels, one per output; for a number, the name of its column."""
    separator: str = SEPARATOR
    """What separates several labels where they are written as one text."""
    mean: float = 0.0
    """Mean of the numbers of the training split."""
    deviation: float = 1.0
    """Standard deviation of these numbers; a model's output is a number in this unit, from the mean."""

    def read(self, logits: Float[Tensor, "examples outputs"]) -> Float[Tensor, "examples outputs"]:
        """Return the probabilities of the labels, or the numbers, that a model's outputs stand for."""
        if self.kind == "class":
            return logits.softmax(dim=-1)
        return logits.sigmoid() if self.kind == "labels" else logits * self.deviation + self.mean

    def chosen(self, probabilities: Sequence[float], limit: float = LIMIT) -> tuple[str, ...]:
        """Return the labels, of possibly several, that are more probable than ``limit``."""
        return tuple(name for name, value in zip(self.names, probabilities, strict=True) if value > limit)

    def joined(self, labels: Sequence[str]) -> str:
        """Return several labels as one text."""
        return self.separator.join(labels)

    def answers(self, answer: Sequence[str] | float) -> NDArray[np.uint8] | NDArray[np.float64]:
        """Return an answer as [`nestree.data.ragged.RaggedExamples`][] keeps it: (outputs,).

        Raises:
            KeyError: a label is not one of ``names``.
        """
        if isinstance(answer, float | int):
            return np.array([answer], np.float64)
        numbers = {name: number for number, name in enumerate(self.names)}
        found = np.zeros(len(self.names), np.uint8)
        found[[numbers[label] for label in answer]] = 1
        return found

    def written(self, examples: RaggedExamples, row: int) -> str:
        """Return the correct answer of an example as a model's answers are written."""
        if examples.answers is None:
            return self.names[int(examples.labels[row])]
        values = examples.answers[row].tolist()
        return f"{values[0]:.6g}" if self.kind == "number" else self.joined(self.chosen(values))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "names": list(self.names)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the target of values that [`as_dict`][] returned."""
        return cls(**{**values, "names": tuple(values["names"])})


def target_of(task: Task) -> Target:
    """Return what a task's answers are: one of its labels unless it says otherwise."""
    found = getattr(task, "target", None)
    return found if isinstance(found, Target) else Target(names=tuple(task.label_names))


def need_classes(task: Task, what: str) -> None:
    """Check that every answer of a task is one label.

    Raises:
        UserError: it is not; ``what`` needs that.
    """
    kind = target_of(task).kind
    if kind != "class":
        found = "several labels" if kind == "labels" else "a number"
        raise UserError(f"{what} needs a task of single labels (data.target class): this one's answers are {found}")
