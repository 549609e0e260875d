"""ListOps expressions: their tokens, their value, their depth and their gold tree.

An expression is a digit, or an operator, its arguments and ``]``. Here it is a flat uint8 array of token ids, as
[`encode`][] returns it; nothing in this module recurses, so an expression may be of any length and depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nestree.trees import Tree

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
"""Minimum, maximum, median (truncated to an integer) and sum modulo 10."""
VOCABULARY = ("<pad>", *OPERATORS, "]", *"0123456789")
"""Every token by its id; id 0 fills up short sequences and never stands in an expression."""

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
    """Turn an expression into token ids, shape (tokens,), and make sure that it is one whole expression.

    The official files' binary parentheses are checked against the gold tree and removed; a text has all of them or
    none. Operators may have any number of arguments from 1 up.

    Raises:
        ValueError: In one line, the position (from 1, in words) of the first token that is wrong, and what is allowed.

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
        # Positions are those in the text, parentheses counted.
        places = [place for place, word in enumerate(words, start=1) if word not in _PARENTHESES]
        where = f"token {places[index]} {symbols[index]!r} " if index < len(symbols) else ""
        raise ValueError(where + message)
    if len(symbols) != len(words):
        _check_parentheses(words, tokens)
    return np.frombuffer(bytearray(tokens), dtype=np.uint8)


def decode(tokens: Sequence[int] | Tokens, *, parentheses: bool = False) -> str:
    """Spell token ids as text, padding at the end left out; the inverse of [`encode`][].

    Args:
        tokens: Shape (tokens,).
        parentheses: Spell the gold tree with the binary parentheses of the official files.

    Raises:
        ValueError: The ids are not an expression.
    """
    expression = _checked(tokens)
    return " ".join(_spell(expression) if parentheses else [VOCABULARY[token] for token in expression])


def evaluate(tokens: Sequence[int] | Tokens) -> int:
    """Compute the value of an expression, a digit.

    The median of an even count is the mean of the two middle ones, truncated.

    Raises:
        ValueError: The ids are not an expression.
    """
    return evaluate_checked(_checked(tokens))


def evaluate_checked(expression: bytes) -> int:
    """Compute the value of token ids that are known to be an expression, as those from [`encode`][] are."""
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
    """Name the outermost operator, as a token of [`OPERATORS`][]; "digit" for an expression that is only a digit."""
    return VOCABULARY[tokens[0]] if tokens[0] < CLOSE else "digit"


def depth(tokens: Sequence[int] | Tokens) -> int:
    """Count the operators that are open at the deepest point: 0 for a digit, 1 for ``[MAX 2 9 ]``."""
    tokens = np.asarray(tokens)
    return int(np.cumsum(nesting_steps(tokens)).max())


def nesting_steps(tokens: Tokens) -> NDArray[np.int8]:
    """Return +1 at every operator, -1 at every ``]``, 0 elsewhere; their running sum is how many operators are open."""
    opens = (tokens >= FIRST_OPERATOR) & (tokens < CLOSE)
    return opens.astype(np.int8) - (tokens == CLOSE).astype(np.int8)


def operator_spans(tokens: Sequence[int] | Tokens) -> list[tuple[int, int]]:
    """Return (position of the operator, one past its ``]``) of every operator, in the order in which they close.

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
    """Build the binary tree that the official files' parentheses spell; every token is a leaf.

    An operator takes its arguments one after another from the left, then its ``]``.

    Raises:
        ValueError: The ids are not an expression.
    """
    expression = _checked(tokens)
    merges: list[tuple[int, int]] = []
    lists: list[int] = []  # for each open operator, the node of all it has taken so far

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
    """Apply an operator to the values of its arguments."""
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
    """Return the ids as bytes, without the padding at the end, or raise if they are not one whole expression."""
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
    """Find the first place where token ids stop being one whole expression: its index and what is wrong, or None."""
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
                return index, f"closes {VOCABULARY[previous]}, which has no argument: at least one must stand between"
            opened.pop()
        if not opened and index < last:
            return index + 1, "stands after the end of the expression: one expression a line"
        previous = token
    if opened:
        return len(tokens), f"cut short: {len(opened)} ] missing at the end, for {VOCABULARY[tokens[opened[-1]]]}"
    return None


def _unknown_token(words: list[str]) -> str:
    """Say which word is not a token."""
    place, word = next(
        (place, word) for place, word in enumerate(words, 1) if word not in _IDS and word not in _PARENTHESES
    )
    shown = word if len(word) <= 20 else word[:20] + "..."
    if "(" in word or ")" in word:
        return f"token {place} {shown!r} has a parenthesis stuck to it: separate all tokens by spaces"
    return f"token {place} {shown!r} is unknown: {_ALLOWED}"


def _check_parentheses(words: list[str], tokens: bytes) -> None:
    """Make sure that the parentheses in ``words`` spell the gold tree of ``tokens``."""
    right = _spell(tokens)
    if words == right:
        return
    differing = (i for i, (word, want) in enumerate(zip(words, right, strict=False)) if word != want)
    place = next(differing, min(len(words), len(right)))
    found = f"token {place + 1} {words[place]!r}" if place < len(words) else "the end of the expression"
    want = f"{right[place]!r}" if place < len(right) else "the end of the expression"
    raise ValueError(
        f"{found} stands where the binary parentheses want {want}: "
        "spell the whole tree, as in ( ( ( [MAX 2 ) 9 ) ] ), or leave all parentheses out"
    )


def _spell(expression: bytes) -> list[str]:
    """Spell an expression with binary parentheses, as a list of words."""
    words: list[str] = []
    opened: list[tuple[int, int]] = []  # for each open operator, its place in `words` and its arguments so far
    for token in expression:
        if token < CLOSE:
            opened.append((len(words), 0))
            words.append(VOCABULARY[token])
            continue
        words.append(VOCABULARY[token])
        if token == CLOSE:
            place, arguments = opened.pop()
            # One word that spells several: an insertion would move all the words behind it.
            words[place] = "( " * (arguments + 1) + words[place]
            words.append(")")
        if opened:
            place, arguments = opened[-1]
            opened[-1] = (place, arguments + 1)
            words.append(")")
    return " ".join(words).split()
