"""Loss and validation measure by the kind of a task's answers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, PearsonCorrCoef
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy

from nestree.config.selection import MEASURES
from nestree.tasks.target import LIMIT, Target


class Objective:
    """What is minimised in training, and measured in validation.

    - One label: cross-entropy; accuracy.
    - Several labels: binary cross-entropy, the mean over the labels; micro F1.
    - A number: squared error in standard deviations of the training split; Pearson correlation.

    Args:
        target: what the answers are.
        outputs: number of a model's outputs.
    """

    def __init__(self, target: Target, outputs: int) -> None:
        self.target = target
        self.measure = MEASURES[target.kind]
        self.metric = self._metric(outputs)

    def losses(self, logits: Float[Tensor, "b outputs"], answers: Tensor) -> Float[Tensor, " b"]:
        """Return the loss of each example; ``answers`` are those of a [`nestree.data.batches.Batch`][]."""
        if self.target.kind == "class":
            return functional.cross_entropy(logits, answers, reduction="none")
        if self.target.kind == "labels":
            return functional.binary_cross_entropy_with_logits(logits, answers, reduction="none").mean(dim=-1)
        wanted = (answers - self.target.mean) / self.target.deviation
        return (logits - wanted).square().sum(dim=-1)

    def correct(self, logits: Float[Tensor, "b outputs"], answers: Tensor) -> Tensor:
        """Return the number of correct answers: of several labels all must be right; a number is never counted."""
        if self.target.kind == "class":
            return (logits.argmax(dim=-1) == answers).sum()
        if self.target.kind == "labels":
            return ((logits.sigmoid() > LIMIT) == answers.bool()).all(dim=-1).sum()
        return torch.zeros((), device=logits.device)

    def update(self, logits: Float[Tensor, "b outputs"], answers: Tensor) -> None:
        """Add a batch to the measure."""
        if self.target.kind == "class":
            self.metric.update(logits, answers)
        elif self.target.kind == "labels":
            # Micro F1 counts all decisions together, so that they are one binary classification.
            self.metric.update(logits.float().sigmoid().flatten(), answers.int().flatten())
        else:
            self.metric.update(self.target.read(logits.float())[:, 0], answers[:, 0])

    def compute(self) -> Tensor:
        """Return the measure over all processes; 0 where a correlation is not defined, as all numbers are equal."""
        return self.metric.compute().nan_to_num(0.0)

    def _metric(self, outputs: int) -> Metric:
        if self.target.kind == "class":
            return MulticlassAccuracy(num_classes=outputs, average="micro", validate_args=False)
        return (
            BinaryF1Score(threshold=LIMIT, validate_args=False) if self.target.kind == "labels" else PearsonCorrCoef()
        )
