"""What is compared or pooled is counted on the same examples on all sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nestree.data import RaggedExamples
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share, by_group, groups
from nestree.evaluation.same_examples import on_same_examples, same_examples
from nestree.reports.markdown import accuracy_about, all_series
from nestree.reports.panels import Series, left_out, panels
from nestree.runs import Run
from support.training import config, digits

WHOLE = digits(50, longest=30)
Load = Callable[[int], RaggedExamples]


def first(size: int) -> RaggedExamples:
    return WHOLE.head(size)


def sample(size: int) -> RaggedExamples:
    return WHOLE.sample(size, seed=3)


def other(size: int) -> RaggedExamples:
    return digits(size, seed=9, longest=30)


def made(folder: Path, load: Load) -> Run:
    """A run whose task has one test."""
    run = Run(folder).begin(config(), command="test")
    run.__dict__["task"] = SimpleNamespace(
        load=lambda name, size: load(size), strata=lambda examples: {"length": examples.lengths}, splits={}
    )
    return run


def counted(examples: RaggedExamples, right: np.ndarray, *, inference: str = "grouped") -> Result:
    """What evaluating ``examples`` gives if those are right."""
    return Result(
        "t",
        inference,
        Share("t", int(right.sum()), len(right)),
        {"length": by_group(right, groups("length", examples.lengths))},
        float(examples.lengths.mean()),
        1.0,
        0.1 * (len(right) % 7),
        right=np.packbits(right).tobytes().hex(),
    )


@pytest.fixture
def right() -> np.ndarray:
    """Of every example of the whole set."""
    return np.random.default_rng(1).random(len(WHOLE)) < 0.6


def rows_of(part: RaggedExamples) -> list[int]:
    """Where in the whole set the examples of a part are."""
    whole = [(int(label), WHOLE[row][0].tobytes()) for row, label in enumerate(WHOLE.labels)]
    return [whole.index((int(label), part[row][0].tobytes())) for row, label in enumerate(part.labels)]


@pytest.mark.parametrize("load", [first, sample])
def test_a_larger_result_is_counted_on_the_smaller_ones_examples(tmp_path: Path, right: np.ndarray, load: Load) -> None:
    run = made(tmp_path, load)
    large, small = load(40), load(15)
    many = counted(large, right[rows_of(large)])
    few = counted(small, np.ones(15, np.bool_), inference="flat")
    found = on_same_examples([(run, many), (run, few)])
    assert found is not None
    assert found[1] is few
    expected = counted(small, right[rows_of(small)])
    assert found[0].total == expected.total
    assert found[0].strata == expected.strata
    assert (found[0].mean_length, found[0].right, found[0].baseline) == (
        expected.mean_length,
        expected.right,
        few.baseline,
    )


def test_equal_examples_are_left_as_they_are(tmp_path: Path, right: np.ndarray) -> None:
    run = made(tmp_path, first)
    run.__dict__["task"] = None  # nothing is loaded
    one, two = counted(WHOLE, right), counted(WHOLE, ~right, inference="flat")
    assert on_same_examples([(run, one), (run, two)]) == [one, two]
    assert on_same_examples([(run, one)]) == [one]


def test_what_cannot_be_counted_on_the_same_examples_is_not(tmp_path: Path, right: np.ndarray) -> None:
    many, few = counted(first(40), right[:40]), counted(first(15), right[:15], inference="flat")
    run = made(tmp_path / "run", first)

    def missing(size: int) -> RaggedExamples:
        raise UserError("no files")

    assert on_same_examples([(run, replace(many, right=None)), (run, few)]) is None
    assert on_same_examples([(run, replace(many, total=Share("t", 0, 40))), (run, few)]) is None
    for number, load in enumerate((other, missing, lambda size: first(min(size, 20)))):
        assert on_same_examples([(made(tmp_path / str(number), load), many), (run, few)]) is None
    foreign = counted(other(15), right[:15], inference="flat")
    assert on_same_examples([(run, many), (run, foreign)]) is None
    assert not same_examples(counted(first(15), right[:15]), foreign)


def test_a_test_on_different_examples_is_not_drawn_and_named(tmp_path: Path, right: np.ndarray) -> None:
    run = made(tmp_path, other)
    kept = replace(counted(first(15), right[:15]), test="kept")
    both = [
        Series("grouped", run, [counted(first(40), right[:40]), kept], 0),
        Series("flat", run, [counted(first(15), right[:15], inference="flat")], 1),
    ]
    (panel,) = drawn = panels(both)
    assert (panel.tests, [one.name for one in panel.series]) == (("kept",), ["grouped"])
    assert left_out(both, drawn) == ["t"]
    assert "Not shown, as the runs were not tested on the same examples: t." in accuracy_about(both, drawn)
    assert left_out(both[:1], panels(both[:1])) == []


def test_only_tests_that_all_answered_are_pooled(tmp_path: Path, right: np.ndarray) -> None:
    run = made(tmp_path, first)
    more = replace(counted(first(30), right[:30]), test="more")
    both = [
        Series("grouped", run, [counted(first(40), right[:40]), more], 0),
        Series("flat", run, [counted(first(15), ~right[:15], inference="flat")], 1),
    ]
    (panel,) = panels(both)
    assert panel.tests == ("t", "more")
    assert panel.about == "Tests: the 15 examples of t that all runs were tested on; 30 examples of more. flat: t only."
    pool = panel.pooled("length")
    assert pool.tests == ("t",)
    assert pool.about == "Tests: the 15 examples of t that all runs were tested on."
    grouped, flat = pool.shares["grouped"], pool.shares["flat"]
    assert [(share.group, share.examples) for share in grouped.values()] == [
        (share.group, share.examples) for share in flat.values()
    ]
    assert sum(share.correct for share in grouped.values()) == right[:15].sum()
    assert sum(share.correct for share in flat.values()) == (~right[:15]).sum()


def test_flat_and_grouped_of_the_shipped_model_are_compared_on_the_same_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path))
    series = all_series({"": Run.of_package("listops-rir")})
    drawn = panels(series)
    assert [panel.family.name for panel in drawn] == ["length", "arguments", "arena"]
    assert left_out(series, drawn) == []
    for panel in drawn:
        assert {one.name for one in panel.series} == {"flat inference", "grouped inference"}
        for test in panel.tests:
            flat, grouped = (next(r for r in one.results if r.test == test) for one in panel.series)
            assert same_examples(flat, grouped)
            assert flat.total.examples == panel.counted[test]
        for stratum in ("length", "root operator", "depth"):
            flat, grouped = panel.pooled(stratum).shares.values()
            assert {group: share.examples for group, share in flat.items()} == {
                group: share.examples for group, share in grouped.items()
            }
    (grouped,) = [one for one in drawn[1].series if one.name == "grouped inference"]
    correct = {result.test: result.total.correct for result in grouped.results}
    assert correct == {"args-iid": 500, "args-10": 416, "args-15": 376}  # of 500, as nestree reproduce counts them
