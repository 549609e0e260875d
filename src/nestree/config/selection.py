"""Criteria for the best weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ACCURACY = "validation_accuracy"
"""Name of the validation accuracy in logs and callbacks."""
LOSS = "validation_loss"
"""Name of the validation loss, the mean cross-entropy, in logs and callbacks."""


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

    def better(self, value: float, best: float) -> bool:
        """Return whether ``value`` is better than ``best``; a NaN is not."""
        return self.always or (value > best if self.mode == "max" else value < best)

    @property
    def comparative(self) -> str:
        """An improvement, in words."""
        return "better accuracy" if self.mode == "max" else "lower loss"


SELECTIONS = {
    "accuracy": Selection("accuracy", ACCURACY, "max", -1.0),
    "loss": Selection("loss", LOSS, "min", float("inf")),
    "last": Selection("last", ACCURACY, "max", -1.0, always=True),
}
"""The criteria by name, the value of ``--trainer.select``."""
