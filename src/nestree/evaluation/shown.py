"""What is shown of a prediction: as columns of a table, as JSON, or as one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nestree.consoles import one_line
from nestree.errors import OptionError
from nestree.evaluation.predictions import Prediction, check_top
from nestree.tasks.target import Kind, Target


@dataclass(frozen=True)
class Shown:
    """What is shown besides label and probability."""

    probabilities: bool = False
    """The probability of every label."""
    top: int | None = None
    """Number of the most probable labels to list; None: no list."""
    kind: Kind = "class"
    """What the answers are; only single labels have a probability of their own."""

    def of(self, target: Target) -> Shown:
        """Return what is shown of answers of a model.

        Raises:
            ValueError: it has no probabilities, or fewer labels than are to be listed; names the option.
        """
        for name in ("probabilities", "top"):
            if target.kind == "number" and getattr(self, name):
                raise OptionError(name, "must be left out: the model's answers are numbers, without probabilities")
        self.check(target.names)
        return replace(self, kind=target.kind)

    def check(self, labels: Sequence[str]) -> None:
        """Check that a model has as many labels as are to be shown.

        Raises:
            ValueError: it has not; names the option.
        """
        if self.top is not None:
            check_top("top", self.top, len(labels))

    def columns(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the columns of a table."""
        ranks = range(1, (self.top or 0) + 1)
        return [
            *("prediction", "probability")[: 2 if self.kind == "class" else 1],
            *(name for rank in ranks for name in (f"top-{rank}", f"top-{rank}-probability")),
            *(f"p({label})" for label in labels if self.probabilities),
        ]

    def cells(self, found: Prediction, labels: Sequence[str]) -> list[str | float | None]:
        """Return the values of [`columns`][]; None where there is no label or probability."""
        top = [value for label, probability in self._top(found) for value in (label, _rounded(probability))]
        top += [None] * (2 * (self.top or 0) - len(top))
        every = (found.probabilities.get(label) for label in labels if self.probabilities)
        first = [found.label, _rounded(found.probability)] if self.kind == "class" else [found.label]
        return [*first, *top, *(_rounded(value) for value in every)]

    def json(self, found: Prediction) -> dict[str, Any]:
        """Return a prediction as JSON values; null where there is no label or probability."""
        if self.kind == "number":
            values: dict[str, Any] = {"number": None if found.number is None else float(f"{found.number:.6g}")}
        elif self.kind == "labels":
            values = {"labels": None if found.labels is None else list(found.labels)}
        else:
            values = {"label": found.label, "probability": _rounded(found.probability)}
        if found.reason is not None:
            values["reason"] = found.reason
        if self.top is not None:
            values["top"] = [{"label": label, "probability": _rounded(value)} for label, value in self._top(found)]
        if self.probabilities:
            values["probabilities"] = {label: _rounded(value) for label, value in found.probabilities.items()}
        return values

    def line(self, found: Prediction, text: str, *, sides: int = 1) -> str:
        """Return one line: label, probability, the text, then LABEL=PROBABILITY for what else is shown, tab-separated.

        Several labels, and numbers, have no probability.
        Line breaks and tabs are escaped in labels and texts, except the tab between the two texts of a pair.
        """
        parts = text.split("\t") if sides > 1 else [text]
        parts += [""] * (sides - len(parts))  # a blank line in place of a pair
        more = [*self._top(found), *(found.probabilities.items() if self.probabilities else ())]
        return "\t".join(
            [
                one_line(found.label or ""),
                *(["" if math.isnan(found.probability) else f"{found.probability:.4f}"] * (self.kind == "class")),
                *map(one_line, parts),
                *(f"{one_line(label)}={probability:.4f}" for label, probability in more),
            ]
        )

    def _top(self, found: Prediction) -> list[tuple[str, float]]:
        return [] if self.top is None else found.top(self.top)


def _rounded(probability: float | None) -> float | None:
    return None if probability is None or math.isnan(probability) else round(probability, 6)
