"""Loss, correct answers and validation measure by the kind of answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from nestree.config.selection import LOSS, SELECTIONS, measured
from nestree.tasks.target import Target
from nestree.training.objectives import Objective

LABELS = Target("labels", ("a", "b", "c"))
NUMBER = Target("number", ("score",), mean=3.0, deviation=2.0)


def test_single_labels_are_learnt_by_cross_entropy() -> None:
    logits, answers = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    objective = Objective(Target(names=("x", "y")), 2)
    assert torch.equal(objective.losses(logits, answers), functional.cross_entropy(logits, answers, reduction="none"))
    assert int(objective.correct(logits, answers)) == 1
    objective.update(logits, answers)
    assert float(objective.compute()) == 0.5
    assert objective.measure.key == "validation_accuracy"


def test_several_labels_are_learnt_by_binary_cross_entropy() -> None:
    logits = torch.tensor([[3.0, -1.0, 0.5], [-2.0, -2.0, -2.0]])
    answers = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    objective = Objective(LABELS, 3)
    by_hand = [sum(math.log1p(math.exp(-x)) for x in (3.0, -1.0, 0.5)) / 3, math.log1p(math.exp(-2.0))]
    assert objective.losses(logits, answers).tolist() == pytest.approx(by_hand)
    assert int(objective.correct(logits, answers)) == 1  # all labels of the second, two of three of the first
    objective.update(logits[:1], answers[:1])
    objective.update(logits[1:], answers[1:])
    assert float(objective.compute()) == pytest.approx(2 * 2 / (2 + 3))
    assert objective.measure.name == "micro F1"


def test_numbers_are_learnt_in_deviations_from_the_mean() -> None:
    logits, answers = torch.tensor([[0.5], [-1.0]]), torch.tensor([[5.0], [1.0]])
    objective = Objective(NUMBER, 1)
    assert objective.losses(logits, answers).tolist() == pytest.approx([0.25, 0.0])
    assert NUMBER.read(logits).tolist() == [[4.0], [1.0]]
    assert int(objective.correct(logits, answers)) == 0
    objective.update(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[1.0], [2.0], [2.5]]))
    assert float(objective.compute()) == pytest.approx(0.9286, abs=1e-4)


@pytest.mark.filterwarnings("ignore:The variance of predictions or target")
def test_a_correlation_that_is_not_defined_counts_as_none() -> None:
    objective = Objective(NUMBER, 1)
    objective.update(torch.zeros(4, 1), torch.arange(4.0)[:, None])
    assert float(objective.compute()) == 0.0


def test_weights_are_selected_by_the_measure_of_the_kind() -> None:
    by_f1, by_correlation = (SELECTIONS["accuracy"].by(kind) for kind in ("labels", "number"))
    assert (by_f1.monitor, by_f1.comparative) == ("validation_f1", "better micro F1")
    assert (by_correlation.monitor, by_correlation.comparative) == ("validation_pearson", "better Pearson correlation")
    assert by_correlation.better(-1.0, by_correlation.worst)
    by_loss = SELECTIONS["loss"].by("number")
    assert (by_loss.monitor, by_loss.measure.key) == (LOSS, "validation_pearson")
    assert SELECTIONS["last"].by("labels").monitor == "validation_f1"
    assert SELECTIONS["accuracy"].by("class") == SELECTIONS["accuracy"]
    assert measured({"validation_pearson": 0.5})[0].name == "Pearson correlation"
    assert measured({})[1] is None
