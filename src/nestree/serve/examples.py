"""Example inputs, random inputs, and the correct answer where it can be computed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestree.tasks import Task
from nestree.tasks.listops import ListOps, decode, evaluate
from nestree.tasks.listops.sampler import Grammar, LengthLaw, sample_within
from nestree.tasks.logic import Logic
from nestree.tasks.logic.formula import EVERYWHERE, relation, truth_table

LISTOPS = (
    ("[MAX 2 9 [MIN 4 7 ] 0 ]",),
    ("[SM 3 8 [MED 1 6 9 ] 5 ]",),
    ("[MIN [MAX 1 2 3 ] [MAX 4 5 ] [SM 9 9 ] ]",),
    ("[MED [SM 1 2 [MAX 3 4 ] ] [MIN 8 [MED 7 6 5 ] ] 2 [SM 4 4 [MIN 9 3 ] 1 ] 0 ]",),
)
LOGIC = (
    ("( a ( and b ) )", "a"),
    ("( not ( a ( or b ) ) )", "( ( not a ) ( and ( not b ) ) )"),
    ("( a ( and ( not b ) ) )", "( b ( or c ) )"),
)
SENTENCES = (
    "a film that is never less than moving , and often very funny",
    "the plot is thin , but nobody will mind",
    "i did not like the book that everyone said i would love",
)

SHORTEST = 5
"""Minimal length of a random expression, tokens."""


def examples(task: Task) -> tuple[tuple[str, ...], ...]:
    """Return the example inputs for a task."""
    if isinstance(task, ListOps):
        return LISTOPS
    if isinstance(task, Logic):
        return LOGIC
    return tuple((text,) * task.sides for text in SENTENCES)


def right_answer(task: Task, sequences: Sequence[NDArray[np.unsignedinteger]]) -> str | None:
    """Return the correct label of an input; None if it cannot be computed."""
    if isinstance(task, ListOps):
        return str(evaluate(sequences[0]))
    if isinstance(task, Logic):
        tables = [truth_table(" ".join(task.words(sequence))) for sequence in sequences]
        # Relations are not defined for formulas that are always true or always false.
        return None if {0, EVERYWHERE}.intersection(tables) else relation(*tables)
    return None


def random_lengths(task: Task, most: int) -> list[int] | None:
    """Return the smallest and the largest length of random inputs, tokens; None if the task has none."""
    return [SHORTEST, most] if isinstance(task, ListOps) and most >= SHORTEST else None


def random_expression(length: int) -> dict[str, Any]:
    """Draw a ListOps expression of 0.9 ``length`` to ``length`` tokens; return it with its value."""
    drawn = sample_within(_law(length), 1, np.random.default_rng())
    return {"text": decode(drawn.tokens), "right": str(int(drawn.labels[0]))}


@functools.lru_cache(maxsize=8)
def _law(length: int) -> LengthLaw:
    return LengthLaw(Grammar(), max(SHORTEST, length - length // 10), length)
