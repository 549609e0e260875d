"""What decides which weights are best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ACCURACY = "validation_accuracy"
"""Name of the validation accuracy in logs and callbacks."""
LOSS = "validation_loss"
"""Name of the validation loss, the mean cross-entropy, in logs and callbacks."""


@dataclass(frozen=True)
class Selection:
    """A figure of a validation, and which way it is better."""

    name: str
    monitor: str
    """Its name in logs and callbacks."""
    mode: Literal["min", "max"]
    worst: float
    """What every validation is better than."""
    always: bool = False
    """Whether the weights of every validation take the place of those before."""

    def better(self, value: float, best: float) -> bool:
        """Tell whether ``value`` is better than ``best``; a NaN is not."""
        return self.always or (value > best if self.mode == "max" else value < best)

    @property
    def comparative(self) -> str:
        """What a better figure is called."""
        return "better accuracy" if self.mode == "max" else "lower loss"


SELECTIONS = {
    "accuracy": Selection("accuracy", ACCURACY, "max", -1.0),
    "loss": Selection("loss", LOSS, "min", float("inf")),
    "last": Selection("last", ACCURACY, "max", -1.0, always=True),
}
"""By name, as ``--trainer.select`` takes it."""
