"""Criteria for the best weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

ACCURACY = "validation_accuracy"
"""Name of the validation accuracy in logs and callbacks."""
LOSS = "validation_loss"
"""Name of the validation loss, the mean over the examples, in logs and callbacks."""


@dataclass(frozen=True)
class Measure:
    """How good validation answers are; higher is better."""

    key: str
    """Its name in logs, callbacks and ``run.json``."""
    name: str
    """Its name in words."""
    share: bool = True
    """Whether it is a share, which is shown in per cent."""


MEASURES = {
    "class": Measure(ACCURACY, "accuracy"),
    "labels": Measure("validation_f1", "micro F1"),
    "number": Measure("validation_pearson", "Pearson correlation", share=False),
}
"""The measure of validation by the kind of a task's answers, see [`nestree.tasks.target.Target`][]."""


def measured(facts: Mapping[str, Any]) -> tuple[Measure, float | None]:
    """Return the validation measure in ``run.json`` or a line of a log, and its value; None if it has none yet."""
    for measure in MEASURES.values():
        if facts.get(measure.key) is not None:
            return measure, facts[measure.key]
    return MEASURES["class"], None


@dataclass(frozen=True)
class Selection:
    """A validation metric, and whether higher or lower is better."""

    name: str
    monitor: str
    """Its name in logs and callbacks."""
    mode: Literal["min", "max"]
    worst: float
    """Initial value, which every validation improves on."""
    always: bool = False
    """Whether every validation counts as an improvement, so that the last weights are kept."""
    measure: Measure = MEASURES["class"]
    """The measure besides the loss."""

    def better(self, value: float, best: float) -> bool:
        """Return whether ``value`` is better than ``best``; a NaN is not."""
        return self.always or (value > best if self.mode == "max" else value < best)

    @property
    def comparative(self) -> str:
        """An improvement, in words."""
        return f"better {self.measure.name}" if self.mode == "max" else "lower loss"

    def by(self, kind: str) -> Selection:
        """Return the criterion for answers of this kind: for ``accuracy``, what is measured in its place."""
        measure = MEASURES[kind]
        if self.monitor == LOSS:
            return replace(self, measure=measure)
        # A correlation may be -1, which must still be better than nothing.
        worst = self.worst if measure.share else float("-inf")
        return replace(self, monitor=measure.key, measure=measure, worst=worst)


SELECTIONS = {
    "accuracy": Selection("accuracy", ACCURACY, "max", -1.0),
    "loss": Selection("loss", LOSS, "min", float("inf")),
    "last": Selection("last", ACCURACY, "max", -1.0, always=True),
}
"""The criteria by name, the value of ``--trainer.select``."""
