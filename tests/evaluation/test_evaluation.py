from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.data import RaggedExamples
from nestree.evaluation import Result, Share, evaluate, probabilities, read, wilson
from nestree.evaluation.evaluate import groups
from nestree.evaluation.record import entries, record
from nestree.reports.markdown import current_results, write_report
from nestree.reports.plots import smooth
from nestree.reports.tables import stratum_rows, tree_rows
from nestree.runs import Run, build_model
from nestree.runs.history import read_history, series
from nestree.tasks.listops import ListOps, encode
from nestree.trees.scores import TreeScore
from support.training import config, digits, fresh_model, training


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.27753),  # Newcombe 1998 and R's prop.test(correct = FALSE)
        (10, 10, 0.72247, 1.0),
        (81, 263, 0.25529, 0.36621),
        (15, 148, 0.06239, 0.16055),
        (1, 29, 0.00611, 0.17177),
    ],
)
def test_wilson_intervals_are_the_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_an_interval_holds_its_share_and_is_mirrored(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low <= right / (right + wrong) <= high
    assert wilson(wrong, right + wrong) == pytest.approx((1 - high, 1 - low))


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="successes must be from 0 to trials"):
        wilson(3, 2)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("encoder", ["grc", "bbt-grc", "rir-ebt-grc"])
def test_the_size_of_batches_changes_nothing(encoder: str) -> None:
    examples = digits(40, longest=14)
    model = fresh_model(encoder)
    whole = probabilities(model, examples)
    assert whole.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    for tokens in (1, 30, 100):
        np.testing.assert_allclose(probabilities(model, examples, tokens=tokens), whole, atol=1e-5)


def test_examples_are_answered_in_their_order_and_counted() -> None:
    examples = digits(30)
    model = fresh_model()
    done: list[int] = []
    answers = probabilities(model, examples, tokens=40, advance=done.append).argmax(axis=1)
    assert sum(done) == 30
    one_by_one = [probabilities(model, examples.select([row])).argmax() for row in range(30)]
    assert answers.tolist() == one_by_one
    assert probabilities(model, examples.head(0)).shape[0] == 0


def test_a_result_adds_up() -> None:
    examples = digits(60, longest=30)
    first = np.array(["odd" if label % 2 else "even" for label in examples.labels])
    result = evaluate(fresh_model(), examples, test="t", strata={"length": examples.lengths, "parity": first})
    assert result.total.examples == 60
    for shares in result.strata.values():
        assert sum(share.examples for share in shares) == 60
        assert sum(share.correct for share in shares) == result.total.correct
    assert [share.group for share in result.strata["length"]] == ["0-10", "11-20", "21-30"]
    assert [share.group for share in result.strata["parity"]] == ["even", "odd"]
    assert result.inference is None
    assert evaluate(fresh_model("rir-grc"), examples, test="t").inference == "grouped"
    with pytest.raises(ValueError, match="test t has no examples"):
        evaluate(fresh_model(), examples.head(0), test="t")


def expressions(*texts: str) -> RaggedExamples:
    return RaggedExamples.from_sequences([encode(text) for text in texts], [0] * len(texts), name="x")


def test_trees_are_scored_with_any_batches_and_kept() -> None:
    examples = expressions("[MAX 2 9 [MIN 4 7 ] 0 ]", "3", "[SM 1 [MED 1 2 ] [MAX 3 ] ]")
    result = evaluate(fresh_model(), examples, test="t", gold=ListOps().gold)
    assert result.trees is not None
    assert result.trees["model"] == result.trees["left"]  # what a recurrent network's trees are
    assert result.trees["model"].recall == 0
    assert evaluate(fresh_model(), examples, test="t", gold=ListOps().gold, tokens=1).trees == result.trees
    again = Result.from_dict(json.loads(json.dumps(result.as_dict())))
    assert again.as_dict() == result.as_dict()
    assert evaluate(fresh_model(), examples, test="t").trees is None
    header, rows = tree_rows([result, evaluate(fresh_model(), examples, test="t")])
    assert [row[2] for row in rows] == ["bracket F1", "operator recall"]
    assert all(len(row) == len(header) for row in rows)
    with pytest.raises(ValueError, match="the task has no gold trees"):
        evaluate(fresh_model(), examples, test="t", gold=lambda tokens: None)


def test_trees_are_read_side_by_side() -> None:
    model, task = fresh_model("rir-ebt-grc"), ListOps()
    inputs = [task.encode("[MAX 2 9 ]"), task.encode("3"), task.encode("[MIN 2 9 9 9 9 ]")]
    readings = read(model, task, inputs)
    assert [r.sides[0][0].tokens for r in readings] == [tuple(task.words(one[0])) for one in inputs]
    for one, reading in zip(inputs, readings, strict=True):
        (alone,) = read(model, task, [one])
        assert alone.sides[0][0].tree == reading.sides[0][0].tree
        assert sum(reading.probabilities) == pytest.approx(1)
        assert reading.probability == max(reading.probabilities)
        assert sum(tree.probability for tree in reading.sides[0]) == pytest.approx(1)


def test_a_pair_has_trees_on_both_sides() -> None:
    configuration = config("ebt-grc", data={"task": "logic"})
    task = configuration.data.open()
    model = build_model(configuration, task)
    (reading,) = read(model, task, [task.encode("( a ( or b ) )", "( not a )")])
    assert [side[0].tree.leaves for side in reading.sides] == [7, 4]
    assert reading.label in task.label_names
    assert all(task.gold(sequence) is None for sequence in task.encode("a", "b"))


def test_an_encoder_without_trees_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = fresh_model(), ListOps()
    real = model.encoder.encode
    monkeypatch.setattr(model.encoder, "encode", lambda *a, **more: real(*a, **more)._replace(trees=None))
    (reading,) = read(model, task, [task.encode("[MAX 2 9 ]")])
    assert reading.sides == ((),)
    with pytest.raises(ValueError, match="the encoder has no trees"):
        evaluate(model, expressions("3"), test="t", gold=task.gold)


@given(st.integers(0, 20_000))
def test_every_length_is_in_one_group(length: int) -> None:
    (name,) = groups("length", np.array([length]))
    first, _, last = name.partition("-")
    assert int(first) <= length <= (int(last) if last else length)


def test_depths_have_groups_too() -> None:
    assert groups("depth", np.array([0, 3, 8, 30])) == ["0", "3", "8-9", "21-"]
    assert groups("root operator", np.array(["[MIN"])) == ["[MIN"]


def made_up(test: str, correct: int, examples: int, *, length: float, inference: str | None = None) -> Result:
    shares = {"length": [Share("0-10", correct, examples)], "depth": [Share("2", correct, examples)]}
    return Result(test, inference, Share(test, correct, examples), shares, length, 1.0, 0.25)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    made = training(tmp_path_factory.mktemp("runs") / "run", config(trainer={"max_steps": 12}))
    made.fit()
    return made.run


def test_results_are_merged_by_test(run: Run) -> None:
    record(run, made_up("a", 5, 10, length=20), seed=0)
    record(run, made_up("b", 6, 10, length=200), seed=0)
    record(run, made_up("a", 7, 10, length=20), seed=0)
    record(run, made_up("a", 70, 100, length=20), seed=0)
    record(run, made_up("a", 8, 10, length=20, inference="flat"), seed=0)
    assert [(entry["test"], entry["inference"], entry["correct"]) for entry in entries(run)] == [
        ("b", None, 6),
        ("a", None, 7),
        ("a", None, 70),
        ("a", "flat", 8),
    ]
    assert entries(run)[0].keys() >= {"low", "high", "protocol", "seed", "weights", "time", "commit", "baseline"}
    assert [(result.test, result.inference, result.total.examples) for result in current_results(run)] == [
        ("a", None, 100),
        ("b", None, 10),
        ("a", "flat", 10),
    ]
    for entry in entries(run):
        assert Result.from_dict(entry).as_dict().items() <= entry.items()


def test_a_report_has_figures_pictures_and_the_command(run: Run) -> None:
    record(run, made_up("near-iid", 150, 200, length=22), seed=0)
    record(run, made_up("900-1000", 50, 200, length=950), seed=0)
    path = write_report(run)
    text = path.read_text()
    for part in ("75.0", "68.6 to 80.5", "By length", "By depth", "accuracy.png", "training.png", "```sh\ntest\n```"):
        assert part in text
    assert "dim: 8" in text
    for name in ("accuracy.png", "training.png"):
        assert (run.path / name).read_bytes().startswith(b"\x89PNG")
    assert not list(run.path.glob(".*"))


def test_results_of_other_weights_do_not_count(run: Run) -> None:
    record(run, made_up("near-iid", 150, 200, length=22), seed=0)
    weights = run.weights.read_bytes()
    try:
        run.weights.write_bytes(weights + b" ")
        assert current_results(run) == []
        with pytest.raises(ValueError, match="has no results of its current weights: run `nestree evaluate"):
            write_report(run)
    finally:
        run.weights.write_bytes(weights)


def test_scores_of_trees_outlive_an_evaluation_without(run: Run) -> None:
    scored = replace(made_up("trees", 5, 10, length=20), trees={"model": TreeScore(0.5, 0.25)})
    record(run, scored, seed=0)
    record(run, made_up("trees", 5, 10, length=20), seed=0)
    (entry,) = [entry for entry in entries(run) if entry["test"] == "trees"]
    assert entry["trees"] == {"model": {"f1": 0.5, "recall": 0.25}}


def test_a_stratum_of_few_groups_has_them_side_by_side() -> None:
    results = [made_up("a", 5, 10, length=20), made_up("b", 0, 4, length=20, inference="flat")]
    header, rows = stratum_rows(results, "depth")
    assert header == ["test", "inference", "2"]
    assert rows == [["a", "", "50.0 [24, 76] n=10"], ["b", "flat", "0.0 [0, 49] n=4"]]
    assert stratum_rows(results[:1], "depth") == (["test", "2"], [["a", "50.0 [24, 76] n=10"]])


def test_a_stratum_of_many_groups_has_a_row_for_each() -> None:
    shares = [Share(str(depth), depth, 10) for depth in range(1, 10)]
    many = replace(made_up("a", 5, 10, length=20), strata={"depth": shares})
    header, rows = stratum_rows([made_up("b", 5, 10, length=20), many], "depth")
    assert header == ["test", "depth", "accuracy %", "95 % interval", "examples"]
    assert rows[0] == ["b", "2", "50.0", "23.7 to 76.3", "10"]
    assert [row[:3] for row in rows[1:]] == [["a", str(depth), f"{10 * depth:.1f}"] for depth in range(1, 10)]


def test_sessions_of_logs_join_where_the_later_one_begins(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number, lines in enumerate((["0,1.0,", "1,2.0,", "1,,0.5", "2,3.0,"], ["2,4.0,", "3,5.0,"])):
        folder = run.logs / "csv" / f"{number:03d}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(
            "\n".join(["step,loss,validation_accuracy", *lines, "4,6.0"])
        )  # being written
    history = read_history(run)
    assert series(history, "loss") == ([0, 1, 2, 3], [1.0, 2.0, 4.0, 5.0])
    assert series(history, "validation_accuracy") == ([1], [0.5])


def test_smoothing_keeps_a_constant() -> None:
    assert smooth([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smooth([0.0, 1.0])[1] == pytest.approx(1 / 1.9)
