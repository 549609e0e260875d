"""Measures of classes: compared with scikit-learn, in their corner cases, and in the files of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from nestree.evaluation import Result, Share, evaluate
from nestree.evaluation.evaluate import read_measures
from nestree.evaluation.intervals import paired_difference
from nestree.evaluation.measures import MISTAKES, ClassMeasures, measure_classes
from nestree.evaluation.mistakes import as_json, mistaken_inputs, text_of
from nestree.evaluation.record import entries, record
from nestree.tasks.listops import ListOps
from support.training import digits, fresh_model, saved_run


def answers(classes: int, examples: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Random probabilities that are right more often than not, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = rng.normal(size=(examples, classes))
    logits[np.arange(examples), labels] += 1.5
    found = np.exp(2 * logits)
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize(("classes", "examples"), [(2, 200), (7, 300), (10, 1), (50, 400)])
def test_scores_are_those_of_scikit_learn(classes: int, examples: int) -> None:
    found, labels = answers(classes, examples)
    predicted = found.argmax(axis=1)
    measures = measure_classes(found, labels)
    names = list(range(classes))
    *scores, support = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    for name, wanted in zip(("precision", "recall", "f1"), scores, strict=True):
        assert [getattr(one, name) or 0.0 for one in measures.classes] == pytest.approx(wanted.tolist(), abs=1e-6)
    assert [one.support for one in measures.classes] == np.asarray(support).tolist()
    assert [one.predicted for one in measures.classes] == np.bincount(predicted, minlength=classes).tolist()
    assert np.array(measures.confusion).tolist() == confusion_matrix(labels, predicted, labels=names).tolist()
    assert measures.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0), abs=1e-6)


def test_the_bins_add_up_to_the_calibration_error() -> None:
    found, labels = answers(4, 500)
    found[:50] = np.eye(4, dtype=np.float32)[labels[:50]]  # probabilities of exactly 1
    measures = measure_classes(found, labels)
    assert sum(one.examples for one in measures.bins) == 500
    assert sum(one.correct for one in measures.bins) == int((found.argmax(axis=1) == labels).sum())
    assert all(one.low - 1e-6 <= one.confidence <= one.high + 1e-6 for one in measures.bins)
    parts = (one.examples / 500 * abs(one.correct / one.examples - one.confidence) for one in measures.bins)
    assert measures.ece == pytest.approx(sum(parts), abs=1e-6)
    assert len(measures.bins) <= 15


def test_certain_answers_that_are_all_right_are_calibrated() -> None:
    measures = measure_classes(np.eye(3, dtype=np.float32), np.arange(3))
    assert (measures.macro_f1, measures.ece, measures.mistakes, measures.pairs) == (1.0, pytest.approx(0), (), ())


def test_a_class_that_is_missing_has_no_scores() -> None:
    found = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], np.float32)
    measures = measure_classes(found, np.array([0, 0]), names=["a", "b", "c"])
    a, b, c = measures.classes
    assert (a.precision, a.recall) == (1.0, 0.5)
    assert (b.precision, b.recall, b.f1) == (0.0, None, 0.0)
    assert (c.precision, c.recall, c.f1) == (None, None, None)
    assert measures.macro_f1 == pytest.approx((2 / 3 + 0) / 2)  # of the classes that occur


def test_mistakes_are_the_most_confident_ones_first() -> None:
    found, labels = answers(5, 300)
    measures = measure_classes(found, labels, names="vwxyz")
    wrong = sorted((float(row.max()) for row, label in zip(found, labels, strict=True) if row.argmax() != label))
    assert [one.probability for one in measures.mistakes] == pytest.approx(wrong[::-1][:MISTAKES])
    for one in measures.mistakes:
        assert "vwxyz"[labels[one.row]] == one.label != one.predicted == "vwxyz"[found[one.row].argmax()]
    assert measures.pairs[0][2] == max(np.array(measures.confusion)[~np.eye(5, dtype=bool)])


def test_a_large_matrix_is_left_out() -> None:
    measures = measure_classes(*answers(101, 300))
    assert measures.confusion is None
    assert measures.pairs
    assert "confusion" not in measures.as_dict()
    assert ClassMeasures.from_dict(measures.as_dict()).as_dict() == measures.as_dict()


def test_measures_survive_their_file() -> None:
    result = evaluate(fresh_model(), digits(30), test="t", labels=[f"digit {n}" for n in range(10)])
    assert result.measures is not None
    assert result.measures.labels[3] == "digit 3"
    assert sum(one.correct for one in result.measures.classes) == result.total.correct
    again = Result.from_dict(json.loads(json.dumps(result.as_dict())))
    assert again.as_dict() == result.as_dict()
    assert again.measures is not None
    assert again.measures.confusion == result.measures.confusion


def test_results_of_other_versions_are_read() -> None:
    old = Result("t", None, Share("t", 1, 2), {}, 3.0, 1.0)
    assert Result.from_dict(old.as_dict()).measures is None
    assert read_measures({"kind": "of a later version"}) is None


def test_the_file_has_a_row_of_the_matrix_per_line(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run")
    names = ["[\n odd", "two  spaces", *"345678", "[1, 2]", '"']
    result = evaluate(fresh_model(), digits(30), test="t", labels=names)
    assert result.measures is not None
    record(run, result, seed=0)
    written = run.evaluation_file.read_text()
    assert json.dumps(result.measures.as_dict()["confusion"][0]) in written
    (entry,) = entries(run)
    assert [one["label"] for one in entry["measures"]["classes"]] == names
    assert entry == json.loads(written)["results"][0]


def test_mistakes_are_found_again_in_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    load = ListOps.load
    monkeypatch.setattr(ListOps, "load", lambda task, split, size=None: load(task, split, size=min(size or 24, 24)))
    run = saved_run(tmp_path / "run")
    examples = run.task.load("near-iid", size=20)
    result = evaluate(run.model(), examples, test="near-iid", labels=run.task.label_names)
    found = mistaken_inputs(run, result)
    assert result.measures is not None
    assert [one.mistake for one in found] == list(result.measures.mistakes)
    for one in found:
        assert one.texts == (" ".join(run.task.words(examples.sequences(one.mistake.row)[0])),)
    values = as_json(run, result)
    assert "right" not in values
    assert [one["texts"] for one in values["measures"]["mistakes"]] == [list(one.texts) for one in found]
    moved = [replace(one, row=1000) for one in result.measures.mistakes]
    assert mistaken_inputs(run, replace(result, measures=replace(result.measures, mistakes=tuple(moved)))) == []


def test_text_is_written_as_its_level_reads_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "né vu,a\nhm,b\n" * 4, encoding="utf-8")
    for level, shown in (("word", "né vu"), ("char", "né vu"), ("byte", "né vu")):
        options = {"task": "own", "train": str(table), "text": "text", "label": "label", "level": level}
        run = saved_run(tmp_path / level, data=options)
        assert text_of(run.task, run.task.encode("né vu")[0]) == shown


def test_a_paired_interval_follows_its_formula_and_is_mirrored() -> None:
    # Bonett and Price 2012: Wald's interval with one success more in both discordant cells and two more trials.
    difference, low, high = paired_difference(18, 7, 100)
    assert difference == pytest.approx(0.11)
    centre, half = 11 / 102, 1.95996 * ((19 + 8) / 102 - (11 / 102) ** 2) ** 0.5 / 102**0.5
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-4)
    assert paired_difference(7, 18, 100) == pytest.approx((-difference, -high, -low))
    assert paired_difference(0, 0, 1) == pytest.approx((0, -0.924, 0.924), abs=1e-3)
    with pytest.raises(ValueError, match="must add up to at most trials"):
        paired_difference(3, 3, 5)
