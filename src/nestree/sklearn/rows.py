"""What scikit-learn's users pass as X, as rows of texts."""

from __future__ import annotations

from typing import Any

import numpy as np

Rows = list[tuple[str, ...]]
"""One text per row, or two for pairs."""


def rows_of(X: Any, sides: int | None = None) -> Rows:
    """Return the rows of ``X``.

    Args:
        X: a list, array or Series of texts; or of pairs of texts, also as an array or DataFrame with two columns.
        sides: texts per row, where that is known.

    Raises:
        ValueError: a row is no text and no pair of texts; says which.
        TypeError: ``X`` is a sparse matrix.
    """
    if isinstance(X, str | bytes):
        raise ValueError("X must be a list of texts, not one text: put it into brackets")
    if hasattr(X, "tocsr"):
        raise TypeError("X must be texts, not a sparse matrix of numbers")
    given = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(given, np.ndarray) and given.ndim not in (1, 2):
        raise ValueError(f"X must have a text or a pair of texts per row, not {given.ndim} dimensions")
    rows = [_row(one, number) for number, one in enumerate(given)]
    if not rows:
        raise ValueError("X has 0 sample(s), and at least 1 is required")
    wanted = sides or len(rows[0])
    for number, row in enumerate(rows):
        if len(row) != wanted:
            raise ValueError(f"X must have {_texts(wanted)} in every row; row {number} has {_texts(len(row))}")
    return rows


def _row(one: Any, number: int) -> tuple[str, ...]:
    parts = (one,) if isinstance(one, str) else tuple(one) if isinstance(one, list | tuple | np.ndarray) else (one,)
    for part in parts:
        if not isinstance(part, str):
            raise ValueError(f"X must contain texts; row {number} has {type(part).__name__} {part!r}")
    if len(parts) not in (1, 2):
        raise ValueError(f"X must have a text or a pair of texts per row; row {number} has {len(parts)} texts")
    return tuple(str(part) for part in parts)


def _texts(count: int) -> str:
    return "one text" if count == 1 else f"{count} texts"
