"""Propositional formulas: tokens, truth tables, and the seven relations between two formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VARIABLES = ("a", "b", "c", "d", "e", "f")
OPERATORS = ("and", "or", "not")
VOCABULARY = ("<padding>", "(", ")", *VARIABLES, *OPERATORS)
"""Tokens by id."""

IDS = {token: number for number, token in enumerate(VOCABULARY)}

RELATIONS = ("#", "<", ">", "|", "v", "=", "^")
"""Independence, forward and reverse entailment, alternation, cover, equivalence, negation (MacCartney 2009)."""

ROWS = 2 ** len(VARIABLES)
EVERYWHERE = 2**ROWS - 1
"""Truth table of a tautology, one bit per row."""

TABLES = {name: sum(1 << row for row in range(ROWS) if row >> place & 1) for place, name in enumerate(VARIABLES)}
"""Truth table of each variable."""


def encode(text: str) -> NDArray[np.uint8]:
    """Return the token ids of a formula, shape (tokens,).

    Raises:
        ValueError: The text is not a formula; says at which token and why.
    """
    truth_table(text)
    return np.array([IDS[token] for token in text.split()], np.uint8)


def operators(text: str) -> int:
    """Return the number of operators in a formula."""
    return sum(token in OPERATORS for token in text.split())


def truth_table(text: str) -> int:
    """Return the truth table of a formula: ``x``, ``( not F )`` or ``( F ( op F ) )``, as 64 bits.

    Raises:
        ValueError: The text is not a formula; says at which token and why.
    """
    stack: list[str | int | tuple[str, int]] = []
    tokens = text.split()
    if not tokens:
        raise ValueError("a formula must have at least one token")
    for number, token in enumerate(tokens, start=1):
        if token in TABLES:
            stack.append(TABLES[token])
        elif token == ")":
            _close(stack, number)
        elif token == "(" or token in OPERATORS:
            stack.append(token)
        else:
            raise ValueError(f"token {number}: {token[:20]!r} is not one of {' '.join(VOCABULARY[1:])}")
        if stack[0] in OPERATORS:
            raise ValueError(f"token {number}: a formula cannot begin with {token!r}")
        if len(stack) > 1 and stack[0] != "(":
            raise ValueError(f"token {number}: {token!r} is after the end of the formula")
    (whole,) = stack[:1]
    if isinstance(whole, tuple):
        raise ValueError(
            f"token {len(tokens)}: ( {whole[0]} F ) is the right half of a formula; ( F ( {whole[0]} F ) ) is one"
        )
    if len(stack) != 1 or not isinstance(whole, int):
        raise ValueError(f"token {len(tokens)}: the formula does not end here")
    return whole


def _close(stack: list[str | int | tuple[str, int]], number: int) -> None:
    """Replace the content of the last open parenthesis by its truth table, or by (operator, table) for ``( op F )``."""
    match stack[-3:]:
        case ["(", "not", int(table)]:
            made: int | tuple[str, int] = EVERYWHERE & ~table
        case ["(", "and" | "or" as operator, int(table)]:
            made = (operator, table)
        case ["(", int(left), (operator, int(right))]:
            made = left & right if operator == "and" else left | right
        case _:
            raise ValueError(f"token {number}: ')' closes none of ( not F ), ( F ( and F ) ), ( F ( or F ) )")
    stack[-3:] = [made]


def relation(left: int, right: int) -> str:
    """Return the relation between two truth tables, neither of them always true or always false."""
    disjoint, exhaustive = left & right == 0, left | right == EVERYWHERE
    if left == right:
        return "="
    if disjoint or exhaustive:
        return "^" if disjoint and exhaustive else "|" if disjoint else "v"
    if left & ~right == 0:
        return "<"
    return ">" if right & ~left == 0 else "#"
