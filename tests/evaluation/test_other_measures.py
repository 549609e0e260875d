"""Measures of several labels, and of numbers, compared with scikit-learn's, SciPy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Uncounted, read_measures
from nestree.evaluation.intervals import fisher
from nestree.evaluation.label_measures import LabelMeasures, best_constant, measure_labels
from nestree.evaluation.number_measures import POINTS, NumberMeasures, measure_numbers


def some_labels(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    answers = (rng.random((rows, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.uint8)
    probabilities = np.clip(answers * 0.5 + rng.random((rows, 4)) * 0.6, 0, 1)
    probabilities[:, 3] = 0.1
    return probabilities, answers


def test_labels_are_measured_as_by_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, answers = some_labels()
    given = probabilities > 0.5
    found = measure_labels(probabilities, answers, names=list("abcd"))
    assert found.micro_f1 == pytest.approx(metrics.f1_score(answers, given, average="micro"))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(answers[:, :3], given[:, :3], average="macro"))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(answers[:, :3], given[:, :3])
    for number, one in enumerate(found.labels[:3]):
        assert (one.precision, one.recall, one.f1) == pytest.approx((precision[number], recall[number], f1[number]))
        assert one.support == support[number]
    assert found.labels[3].f1 is None  # nobody has it, and nobody was given it
    assert found.mean_labels == pytest.approx(answers.sum() / len(answers))


def test_the_best_constant_answer_is_the_best_of_all_sets() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    _, answers = some_labels()
    every = [[n for n in range(4) if number >> n & 1] for number in range(1, 16)]

    def f1(labels: list[int]) -> float:
        given = np.zeros_like(answers)
        given[:, labels] = 1
        return metrics.f1_score(answers, given, average="micro")

    best = best_constant(answers)
    assert f1(best) == pytest.approx(max(map(f1, every)))
    found = measure_labels(*some_labels(), names=list("abcd"), train=answers)
    assert found.constant == tuple("abcd"[number] for number in best)
    assert found.constant_micro_f1 == pytest.approx(f1(best))


def test_numbers_are_measured_as_by_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    true = rng.normal(3, 2, 200)
    predicted = 0.5 * true + rng.normal(0, 1, 200)
    found = measure_numbers(predicted, true, mean=2.5)
    pearson = stats.pearsonr(predicted, true)
    assert found.pearson == pytest.approx(pearson.statistic)
    assert found.interval == pytest.approx(tuple(pearson.confidence_interval()))
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, true).statistic)
    assert found.mse == pytest.approx(((predicted - true) ** 2).mean())
    assert found.mae == pytest.approx(np.abs(predicted - true).mean())
    assert found.baseline_mse == pytest.approx(((2.5 - true) ** 2).mean())
    assert found.baseline_mae == pytest.approx(np.abs(2.5 - true).mean())
    assert found.points[7] == (true[7], predicted[7])


def test_a_correlation_that_is_not_defined_is_none() -> None:
    found = measure_numbers(np.full(9, 1.0), np.arange(9.0), mean=4.0)
    assert (found.pearson, found.spearman, found.interval) == (None, None, None)
    assert found.mse == pytest.approx(((1 - np.arange(9)) ** 2).mean())
    assert measure_numbers(np.array([1.0]), np.array([2.0]), mean=0.0).pearson is None
    assert fisher(1.0, 4) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least 4 examples"):
        fisher(0.5, 3)


def test_points_are_spread_over_a_large_test() -> None:
    numbers = np.arange(10.0 * POINTS)
    found = measure_numbers(numbers, numbers, mean=0.0)
    assert len(found.points) == POINTS
    assert found.points[-1][0] > 9 * POINTS


@pytest.mark.parametrize("kind", [LabelMeasures, NumberMeasures])
def test_measures_are_written_and_read(kind: type[LabelMeasures | NumberMeasures]) -> None:
    probabilities, answers = some_labels()
    found: LabelMeasures | NumberMeasures = measure_labels(probabilities, answers, names=list("abcd"), train=answers)
    if kind is NumberMeasures:
        found = measure_numbers(probabilities[:, 0], answers[:, 0], mean=0.5)
    again = read_measures(found.as_dict())
    assert isinstance(again, kind)
    ends = {"pearson_low", "pearson_high"}  # computed from the rounded correlation
    before, after = ({k: v for k, v in one.as_dict().items() if k not in ends} for one in (found, again))
    assert after == before


def test_a_result_of_numbers_has_no_accuracy() -> None:
    measures = measure_numbers(np.arange(5.0), np.arange(5.0) ** 2, mean=1.0)
    result = Result("test", None, Uncounted("test", examples=5), {}, 3.0, 1.0, measures=measures)
    again = Result.from_dict(result.as_dict())
    assert not again.has_accuracy
    assert again.total.examples == 5
    assert again.main == pytest.approx(measures.pearson, abs=1e-6)
    for read in (lambda: again.total.accuracy, lambda: again.total.interval):
        with pytest.raises(UserError, match="have no accuracy"):
            read()
