"""Measures of answers that are numbers: errors and correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.evaluation.intervals import fisher
from nestree.evaluation.measures import rounded

KIND = "number"
"""``kind`` of these measures in ``evaluation.json``."""
POINTS = 500
"""Maximal number of examples whose numbers are kept, for the plot."""


@dataclass(frozen=True)
class NumberMeasures:
    """What is measured of answers that are numbers on a test."""

    examples: int
    mse: float
    """Mean squared error."""
    mae: float
    """Mean absolute error."""
    pearson: float | None
    """Pearson correlation; None where it is not defined, as all numbers of one side are equal."""
    spearman: float | None
    """Spearman correlation, that of the ranks."""
    mean: float
    """Mean of the training numbers, the baseline's answer."""
    baseline_mse: float
    """Mean squared error of always answering this mean."""
    baseline_mae: float
    """Mean absolute error of always answering it."""
    points: tuple[tuple[float, float], ...]
    """True and predicted number of at most [`POINTS`][] examples, evenly spread over the test."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the Pearson correlation, by Fisher's transformation; None for fewer than 4 examples."""
        return None if self.pearson is None or self.examples < 4 else fisher(self.pearson, self.examples)

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values."""
        low, high = self.interval or (None, None)
        return {
            "kind": KIND,
            "examples": self.examples,
            "mse": _kept(self.mse),
            "mae": _kept(self.mae),
            "pearson": rounded(self.pearson),
            "pearson_low": rounded(low),
            "pearson_high": rounded(high),
            "spearman": rounded(self.spearman),
            "mean": _kept(self.mean),
            "baseline_mse": _kept(self.baseline_mse),
            "baseline_mae": _kept(self.baseline_mae),
            "points": [[_kept(true), _kept(predicted)] for true, predicted in self.points],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NumberMeasures:
        """Return the measures of values that [`as_dict`][] returned."""
        own = {name: values[name] for name in cls.__dataclass_fields__ if name != "points"}
        return cls(points=tuple((true, predicted) for true, predicted in values["points"]), **own)


def measure_numbers(predicted: NDArray[np.number], answers: NDArray[np.number], *, mean: float) -> NumberMeasures:
    """Measure answers that are numbers.

    Args:
        predicted: the answers, (examples,).
        answers: the correct numbers, (examples,).
        mean: mean of the training numbers.
    """
    # Imported here, as it takes a second, which a program that only predicts should not wait for.
    from torchmetrics.functional import regression

    given, wanted = (torch.from_numpy(values.astype(np.float64)) for values in (predicted, answers))
    always = torch.full_like(wanted, mean)
    # The correlations are undefined where all numbers are equal; torchmetrics warns of it, and gives NaN or 0.
    vary = len(given) > 1 and bool(given.std() > 0) and bool(wanted.std() > 0)
    step = max(1, math.ceil(len(given) / POINTS))
    return NumberMeasures(
        examples=len(given),
        mse=float(regression.mean_squared_error(given, wanted)),
        mae=float(regression.mean_absolute_error(given, wanted)),
        pearson=float(regression.pearson_corrcoef(given, wanted)) if vary else None,
        spearman=float(regression.spearman_corrcoef(given, wanted)) if vary else None,
        mean=mean,
        baseline_mse=float(regression.mean_squared_error(always, wanted)),
        baseline_mae=float(regression.mean_absolute_error(always, wanted)),
        points=tuple(zip(wanted[::step].tolist(), given[::step].tolist(), strict=True)),
    )


def _kept(value: float) -> float:
    """Round to 6 significant digits, as a number may be of any size."""
    return float(f"{value:.6g}")
