"""Confidence intervals of shares, of their differences, and of correlations."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


def wilson(successes: int, trials: int, *, z: float = Z95) -> tuple[float, float]:
    """Return the Wilson score interval of a share (Wilson 1927), by default of 95 %; (0, 1) without trials.

    Raises:
        ValueError: ``successes`` is not between 0 and ``trials``.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be from 0 to trials ({trials}), not {successes}")
    if trials == 0:
        return 0.0, 1.0
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / trials / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(first: int, second: int, trials: int, *, z: float = Z95) -> tuple[float, float, float]:
    """Return the difference of two shares on the same examples, and its interval (Bonett and Price 2012).

    Args:
        first: number of examples with a success only in the first.
        second: number of examples with a success only in the second.
        trials: number of examples.
        z: quantile of the standard normal distribution, by default for 95 %.

    Raises:
        ValueError: there are more successes than ``trials``, or no trials.
    """
    if trials < 1 or min(first, second) < 0 or first + second > trials:
        raise ValueError(f"first and second must add up to at most trials ({trials}), not {first} and {second}")
    one, other = (first + 1) / (trials + 2), (second + 1) / (trials + 2)
    half = z * math.sqrt((one + other - (one - other) ** 2) / (trials + 2))
    return (first - second) / trials, max(-1.0, one - other - half), min(1.0, one - other + half)


def fisher(correlation: float, examples: int, *, z: float = Z95) -> tuple[float, float]:
    """Return the interval of a Pearson correlation by Fisher's transformation (Fisher 1921), by default of 95 %.

    Raises:
        ValueError: there are fewer than 4 examples, or ``correlation`` is not between -1 and 1.
    """
    if examples < 4 or not -1 <= correlation <= 1:
        raise ValueError(f"correlation must be between -1 and 1, of at least 4 examples, not {correlation}, {examples}")
    if abs(correlation) == 1:
        return correlation, correlation
    centre, half = math.atanh(correlation), z / math.sqrt(examples - 3)
    return math.tanh(centre - half), math.tanh(centre + half)
