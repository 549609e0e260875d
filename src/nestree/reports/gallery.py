"""Trees of example inputs, some that a model answers correctly and some that it answers wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestree.evaluation.readings import Reading, read
from nestree.runs import Run, load
from nestree.tasks.target import target_of
from nestree.trees.scores import bracket_f1

SEARCHED = 256
"""Maximal number of examples read to find wrong answers."""

AT_ONCE = 32
FITTING = range(8, 61)
"""Preferred number of tokens, for trees of a size that fits a page."""


@dataclass(frozen=True)
class Specimen:
    """A test example with the model's reading."""

    words: tuple[tuple[str, ...], ...]
    """Words of the input, or of both sides of a pair."""
    gold: str
    """The correct label, labels or number."""
    reading: Reading
    """The model's answer, and the most probable tree of each side."""
    f1: float | None
    """Bracket F1 of the first side's tree against the gold tree; None if the task has no gold trees."""
    judged: bool = True
    """Whether the answer is right or wrong; numbers are neither."""

    @property
    def right(self) -> bool:
        """Whether the answer is correct, or neither right nor wrong."""
        return not self.judged or self.reading.label == self.gold

    @property
    def tokens(self) -> int:
        """Number of tokens of all sides."""
        return sum(map(len, self.words))


def gallery(run: Run, test: str, *, each: int) -> tuple[list[Specimen], int]:
    """Read the first examples of a test, and choose short and long ones that are answered correctly and wrong.

    Args:
        run: a run with weights.
        test: a split of its task.
        each: maximal number of correct answers, and of wrong answers.

    Returns:
        The chosen examples, wrong answers last, and the number of examples that were read.

    Raises:
        UserError: the run has no weights, or the task's files are missing.
    """
    model, task = load(run), run.task
    target = target_of(task)
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
                    gold=target.written(examples, row),
                    judged=target.kind != "number",
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
    """Choose ``count`` specimens evenly by length, of preferred lengths if there are enough of these."""
    fitting = [one for one in specimens if one.tokens in FITTING]
    ordered = sorted(fitting if len(fitting) >= count else specimens, key=lambda one: one.tokens)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / max(1, count - 1))] for place in range(count)]
