"""Trees to look at: some of inputs that a model answers right, and of ones that it answers wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestree.evaluation.readings import Reading, read
from nestree.runs import Run, load
from nestree.trees.scores import bracket_f1

SEARCHED = 256
"""Examples of a test that are read at most, in search of wrong answers."""

AT_ONCE = 32
FITTING = range(8, 61)
"""Tokens of inputs whose trees are good to look at."""


@dataclass(frozen=True)
class Specimen:
    """An example of a test, as a model reads it."""

    words: tuple[tuple[str, ...], ...]
    """Of the input, or of both sides of a pair."""
    gold: str
    """The right label."""
    reading: Reading
    """The model's answer, and of each side its most probable tree."""
    f1: float | None
    """Bracket F1 of the first side's tree against the gold one; None where the task knows none."""

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.reading.label == self.gold

    @property
    def tokens(self) -> int:
        """How many there are, both sides together."""
        return sum(map(len, self.words))


def gallery(run: Run, test: str, *, each: int) -> tuple[list[Specimen], int]:
    """Read the first examples of a test and choose some that are answered right and wrong, short and long.

    Args:
        run: with weights.
        test: a split of its task.
        each: how many right ones and how many wrong ones, at most.

    Returns:
        The chosen ones, wrong ones last, and how many were read.

    Raises:
        UserError: the run has no weights; or files that the task needs are missing.
    """
    model, task = load(run), run.task
    examples = task.load(test, size=min(SEARCHED, task.splits[test].size or SEARCHED))
    found: list[Specimen] = []
    for first in range(0, len(examples), AT_ONCE):
        rows = range(first, min(first + AT_ONCE, len(examples)))
        inputs = [tuple(examples.sequences(row)) for row in rows]
        readings = read(model, task, inputs, beams=1, tokens=run.config.data.evaluation_tokens)
        for row, sequences, reading in zip(rows, inputs, readings, strict=True):
            gold = task.gold(sequences[0])
            trees = reading.sides[0]
            found.append(
                Specimen(
                    words=tuple(tuple(task.words(sequence)) for sequence in sequences),
                    gold=task.label_names[int(examples.labels[row])],
                    reading=reading,
                    f1=None if gold is None or not trees else bracket_f1(trees[0].tree, gold.tree),
                )
            )
        if not found[0].reading.sides[0] or all(
            sum(one.right is right and one.tokens in FITTING for one in found) >= 2 * each for right in (True, False)
        ):
            break
    chosen = [one for right in (True, False) for one in spread([one for one in found if one.right is right], each)]
    return chosen, len(found)


def spread(specimens: Sequence[Specimen], count: int) -> list[Specimen]:
    """Choose from the shortest to the longest, evenly; from those of a good size, if there are as many."""
    fitting = [one for one in specimens if one.tokens in FITTING]
    ordered = sorted(fitting if len(fitting) >= count else specimens, key=lambda one: one.tokens)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / max(1, count - 1))] for place in range(count)]
