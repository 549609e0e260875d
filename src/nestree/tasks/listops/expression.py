"""ListOps expressions: tokens, value, depth and gold tree.

An expression is a digit, or an operator, its arguments and ``]``. Here it is a flat uint8 array of token ids, as
returned by [`encode`][]. Nothing in this module recurses, so expressions may have any length and depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nestree.trees import Tree

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
"""Minimum, maximum, median (truncated to an integer) and sum modulo 10."""
VOCABULARY = ("<pad>", *OPERATORS, "]", *"0123456789")
"""Tokens by id; id 0 is padding and never part of an expression."""

PADDING = 0
FIRST_OPERATOR = 1
CLOSE = FIRST_OPERATOR + len(OPERATORS)
FIRST_DIGIT = CLOSE + 1
MIN, MAX, MED, SM = range(FIRST_OPERATOR, CLOSE)

Tokens = NDArray[np.unsignedinteger]

_IDS = {token: number for number, token in enumerate(VOCABULARY) if number != PADDING}
_PARENTHESES = ("(", ")")
_ALLOWED = f"allowed are {' '.join(OPERATORS)} ] and the digits 0-9, separated by spaces"


def encode(text: str) -> NDArray[np.uint8]:
    """Return the token ids of one complete expression, shape (tokens,).

    A text may have all of the official files' binary parentheses, which are checked against the gold tree and removed,
    or none. Operators may have any number of arguments, at least one.

    Raises:
        ValueError: The text is not an expression; gives the position of the first wrong token (from 1) and what is
            allowed.

    Examples:
        >>> encode("( ( ( [MAX 2 ) 9 ) ] )").tolist()
        [2, 8, 15, 5]
    """
    words = text.split()
    symbols = [word for word in words if word not in _PARENTHESES]
    try:
        tokens = bytes([_IDS[symbol] for symbol in symbols])
    except KeyError:
        raise ValueError(_unknown_token(words)) from None
    fault = _fault(tokens)
    if fault is not None:
        index, message = fault
        # Positions in the text, including parentheses.
        places = [place for place, word in enumerate(words, start=1) if word not in _PARENTHESES]
        where = f"token {places[index]} {symbols[index]!r} " if index < len(symbols) else ""
        raise ValueError(where + message)
    if len(symbols) != len(words):
        _check_parentheses(words, tokens)
    return np.frombuffer(bytearray(tokens), dtype=np.uint8)


def decode(tokens: Sequence[int] | Tokens, *, parentheses: bool = False) -> str:
    """Return token ids as text, without padding at the end; the inverse of [`encode`][].

    Args:
        tokens: Shape (tokens,).
        parentheses: Add the binary parentheses of the official files.

    Raises:
        ValueError: The ids are not an expression.
    """
    expression = _checked(tokens)
    return " ".join(_spell(expression) if parentheses else [VOCABULARY[token] for token in expression])


def evaluate(tokens: Sequence[int] | Tokens) -> int:
    """Return the value of an expression, a digit.

    The median of an even number of values is the mean of the middle two, truncated.

    Raises:
        ValueError: The ids are not an expression.
    """
    return evaluate_checked(_checked(tokens))


def evaluate_checked(expression: bytes) -> int:
    """Return the value of token ids that are known to be an expression, such as those from [`encode`][]."""
    waiting: list[tuple[int, list[int]]] = []
    operator, values = PADDING, []
    for token in expression:
        if token >= FIRST_DIGIT:
            values.append(token - FIRST_DIGIT)
        elif token == CLOSE:
            value = _apply(operator, values)
            operator, values = waiting.pop()
            values.append(value)
        else:
            waiting.append((operator, values))
            operator, values = token, []
    return values[0]


def root_operator(tokens: Sequence[int] | Tokens) -> str:
    """Return the outermost operator, one of [`OPERATORS`][]; "digit" for a single digit."""
    return VOCABULARY[tokens[0]] if tokens[0] < CLOSE else "digit"


def depth(tokens: Sequence[int] | Tokens) -> int:
    """Return the maximal number of nested operators: 0 for a digit, 1 for ``[MAX 2 9 ]``."""
    tokens = np.asarray(tokens)
    return int(np.cumsum(nesting_steps(tokens)).max())


def nesting_steps(tokens: Tokens) -> NDArray[np.int8]:
    """Return +1 for each operator, -1 for each ``]``, else 0; the cumulative sum is the number of open operators."""
    opens = (tokens >= FIRST_OPERATOR) & (tokens < CLOSE)
    return opens.astype(np.int8) - (tokens == CLOSE).astype(np.int8)


def operator_spans(tokens: Sequence[int] | Tokens) -> list[tuple[int, int]]:
    """Return (position of the operator, one past its ``]``) for each operator, in the order of the ``]``.

    Raises:
        ValueError: The ids are not an expression.
    """
    spans, waiting = [], []
    for position, token in enumerate(_checked(tokens)):
        if token < CLOSE:
            waiting.append(position)
        elif token == CLOSE:
            spans.append((waiting.pop(), position + 1))
    return spans


def gold_tree(tokens: Sequence[int] | Tokens) -> Tree:
    """Return the binary tree of the official files' parentheses; every token is a leaf.

    An operator is merged with its arguments from left to right, then with its ``]``.

    Raises:
        ValueError: The ids are not an expression.
    """
    expression = _checked(tokens)
    merges: list[tuple[int, int]] = []
    lists: list[int] = []  # for each open operator, the node of its part so far

    def merge(left: int, right: int) -> int:
        merges.append((left, right))
        return len(expression) + len(merges) - 1

    for position, token in enumerate(expression):
        if token < CLOSE:
            lists.append(position)
            continue
        node = merge(lists.pop(), position) if token == CLOSE else position
        if lists:
            lists[-1] = merge(lists[-1], node)
    return Tree(len(expression), tuple(merges))


def _apply(operator: int, values: list[int]) -> int:
    if operator == MIN:
        return min(values)
    if operator == MAX:
        return max(values)
    if operator == SM:
        return sum(values) % 10
    values.sort()
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) // 2


def _checked(tokens: Sequence[int] | Tokens) -> bytes:
    """Return the ids as bytes, without padding at the end; raise a ValueError if they are not one expression."""
    array = np.trim_zeros(np.asarray(tokens), "b")
    if array.ndim != 1 or not ((array >= 0) & (array < len(VOCABULARY))).all():
        raise ValueError(f"tokens must be a flat sequence of ids from 0 to {len(VOCABULARY) - 1}")
    expression = array.astype(np.uint8).tobytes()
    fault = _fault(expression)
    if fault is not None:
        index, message = fault
        raise ValueError(f"token {index + 1} {message}" if index < len(expression) else message)
    return expression


def _fault(tokens: bytes) -> tuple[int, str] | None:
    """Return the index of the first token that is wrong, and why; None for one complete expression."""
    if not tokens:
        return 0, "empty: an expression is a digit, or an operator, its arguments and ]"
    opened: list[int] = []
    previous = PADDING
    last = len(tokens) - 1
    for index, token in enumerate(tokens):
        if token == PADDING:
            return index, "is padding inside the expression"
        if token < CLOSE:
            opened.append(index)
        elif token == CLOSE:
            if not opened:
                return index, "closes nothing: every ] needs an operator before it"
            if previous < CLOSE:
                return index, f"closes {VOCABULARY[previous]}, which needs at least one argument"
            opened.pop()
        if not opened and index < last:
            return index + 1, "is after the end of the expression: one expression per line"
        previous = token
    if opened:
        return len(tokens), f"incomplete: {len(opened)} ] missing at the end, for {VOCABULARY[tokens[opened[-1]]]}"
    return None


def _unknown_token(words: list[str]) -> str:
    place, word = next(
        (place, word) for place, word in enumerate(words, 1) if word not in _IDS and word not in _PARENTHESES
    )
    shown = word if len(word) <= 20 else word[:20] + "..."
    if "(" in word or ")" in word:
        return f"token {place} {shown!r} has a parenthesis attached to it: separate all tokens by spaces"
    return f"token {place} {shown!r} is unknown: {_ALLOWED}"


def _check_parentheses(words: list[str], tokens: bytes) -> None:
    """Raise a ValueError if the parentheses in ``words`` are not those of the gold tree of ``tokens``."""
    right = _spell(tokens)
    if words == right:
        return
    differing = (i for i, (word, want) in enumerate(zip(words, right, strict=False)) if word != want)
    place = next(differing, min(len(words), len(right)))
    found = f"token {place + 1} {words[place]!r}" if place < len(words) else "the end of the expression"
    want = f"{right[place]!r}" if place < len(right) else "the end of the expression"
    raise ValueError(
        f"{found} is where the binary parentheses require {want}: "
        "write all parentheses, as in ( ( ( [MAX 2 ) 9 ) ] ), or none"
    )


def _spell(expression: bytes) -> list[str]:
    """Return the words of an expression with binary parentheses."""
    words: list[str] = []
    opened: list[tuple[int, int]] = []  # for each open operator, its index in `words` and its number of arguments
    for token in expression:
        if token < CLOSE:
            opened.append((len(words), 0))
            words.append(VOCABULARY[token])
            continue
        words.append(VOCABULARY[token])
        if token == CLOSE:
            place, arguments = opened.pop()
            # Several words in one string: insertions into the list would take quadratic time.
            words[place] = "( " * (arguments + 1) + words[place]
            words.append(")")
        if opened:
            place, arguments = opened[-1]
            opened[-1] = (place, arguments + 1)
            words.append(")")
    return " ".join(words).split()
