"""Token labels for ListOps: the value of the list that each token belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nestree.tasks.listops.expression import CLOSE, FIRST_DIGIT, Tokens, evaluate_checked, operator_spans


def list_values(tokens: Sequence[int] | Tokens) -> NDArray[np.uint8]:
    """Return, for every token, the value of the innermost list that contains it, shape (tokens,).

    An operator and its ``]`` get the value of the list that they delimit; an expression that is a single digit gets
    that digit.

    Raises:
        ValueError: The ids are not an expression.

    Examples:
        >>> list_values(encode("[MAX 2 [MIN 4 7 ] 3 ]")).tolist()
        [4, 4, 4, 4, 4, 4, 4, 4]
        >>> list_values(encode("[SM 2 [MIN 4 7 ] 9 ]")).tolist()
        [5, 5, 4, 4, 4, 4, 5, 5]
    """
    left = np.asarray(tokens, dtype=np.uint8).copy()
    spans = operator_spans(left)
    found = np.where(left >= FIRST_DIGIT, left - FIRST_DIGIT, 0).astype(np.uint8)
    owned = np.zeros(len(left), dtype=bool)
    for first, end in spans:  # inner lists first: each is replaced by its value, at the position of its ``]``
        kept = left[first:end]
        value = evaluate_checked(kept[kept > 0].tobytes())
        found[first:end][~owned[first:end]] = value
        owned[first:end] = True
        left[first:end] = 0
        left[end - 1] = FIRST_DIGIT + value
    return found


def closings(tokens: Sequence[int] | Tokens) -> NDArray[np.bool_]:
    """Return which tokens are a ``]``; their label depends on the whole list before them."""
    return np.asarray(tokens) == CLOSE
