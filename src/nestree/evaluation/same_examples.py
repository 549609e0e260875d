"""Reducing results to the same examples, so that they can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share, by_group, groups
from nestree.runs import Run


def same_examples(one: Result, other: Result) -> bool:
    """Whether two results are on the same examples, judged by mean length and the sizes of all groups.

    Runs may have other data seeds and options; these change how many examples of each length, label or operator there
    are.
    """
    return (
        one.test == other.test
        and one.total.examples == other.total.examples
        and round(one.mean_length, 2) == round(other.mean_length, 2)
        and all(_sizes(one)[name] == _sizes(other)[name] for name in one.strata.keys() & other.strata)
    )


def on_same_examples(found: Sequence[tuple[Run, Result]]) -> list[Result] | None:
    """Return the results of one test, all counted on the same examples; None if that is not possible.

    These are the examples of the smallest result. The other results are recounted from their correct answers by
    example, if they include these examples. To check that, the task generates or loads the examples.

    Args:
        found: results, each with its run.
    """
    smallest = min((result for _, result in found), key=lambda result: result.total.examples)
    counted = [result if same_examples(result, smallest) else _part(run, result, smallest) for run, result in found]
    return None if None in counted else [result for result in counted if result is not None]


def _part(run: Run, result: Result, like: Result) -> Result | None:
    """Recount a result on the examples of ``like``; None unless these are known to be among its own."""
    if result.right is None or result.total.examples <= like.total.examples:
        return None
    try:
        every, part = (run.task.load(result.test, size=one.total.examples) for one in (result, like))
    except (UserError, ValueError):
        return None
    right = np.unpackbits(np.frombuffer(bytes.fromhex(result.right), np.uint8), count=result.total.examples)
    if len(every) != result.total.examples or int(right.sum()) != result.total.correct:
        return None
    known = dict(zip(_keys(every), right.tolist(), strict=True))
    found = [known.get(key) for key in _keys(part)]
    if None in found:
        return None
    now = np.array(found, np.bool_)
    strata = {name: by_group(now, groups(name, values)) for name, values in run.task.strata(part).items()}
    counted = replace(
        result,
        total=Share(result.test, int(now.sum()), len(part)),
        strata=strata,
        mean_length=float(part.lengths.mean()),
        baseline=like.baseline,
        right=np.packbits(now).tobytes().hex(),
        trees=None,
        measures=None,
        bag_of_words=None,
    )
    return counted if same_examples(counted, like) else None


def _keys(examples: RaggedExamples) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Return a key for each example: its label or labels, and its tokens."""
    answers = examples.labels.astype(np.int64) if examples.answers is None else examples.answers
    tokens = (tuple(sequence.tobytes() for sequence in examples.sequences(row)) for row in range(len(examples)))
    return [(row.tobytes(), sides) for row, sides in zip(answers, tokens, strict=True)]


def _sizes(result: Result) -> dict[str, list[tuple[str, int]]]:
    """Return the number of examples in each group of each stratum."""
    return {name: [(share.group, share.examples) for share in shares] for name, shares in result.strata.items()}
