"""The training budget of each recipe in a comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from nestree.config.config import Config
from nestree.config.options import ENDLESS
from nestree.errors import OptionError

UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}
"""Minutes of each unit of time."""
LIMITS = ("max_epochs", "max_steps", "max_minutes", "max_sequences", "patience")
"""Trainer options that end training; a budget sets all of them."""


@dataclass(frozen=True)
class Budget:
    """Training time, validation included, or number of training sequences: one of the two is set."""

    minutes: float | None = None
    sequences: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``90s``, ``10m``, ``1.5h`` or ``50000seq``.

        Raises:
            UserError: the text is none of these, or zero.
        """
        if (found := re.fullmatch(r"(\d+(?:_\d+)*)\s*seq", text)) and int(found[1]) > 0:
            return cls(sequences=int(found[1]))
        if (found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text)) and float(found[1]) > 0:
            return cls(minutes=float(found[1]) * UNITS[found[2]])
        raise OptionError("budget", f"must be a time (90s, 10m, 2h) or a number of sequences (50000seq), not {text!r}")

    def __str__(self) -> str:
        if self.sequences is not None:
            return f"{self.sequences:,} sequences"
        minutes = self.minutes or 0.0
        return f"{60 * minutes:g} seconds" if minutes < 2 else f"{minutes:g} minutes"

    def arguments(self) -> list[str]:
        """Return the options of ``nestree train`` that set this budget and remove all other limits."""
        values = self._limits()
        return [word for name in LIMITS for word in (f"--trainer.{name}", _shown(values[name]))]

    def of(self, config: Config) -> Config:
        """Return the configuration with this budget as its only limit."""
        return replace(config, trainer=replace(config.trainer, **self._limits()))

    def _limits(self) -> dict[str, Any]:
        return {
            "max_epochs": ENDLESS,
            "max_steps": None,
            "max_minutes": self.minutes,
            "max_sequences": self.sequences,
            "patience": ENDLESS,
        }


def _shown(value: float | None) -> str:
    return "null" if value is None else str(value)
