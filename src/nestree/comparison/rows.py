"""Results of each contender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestree.comparison.contender import Contender, inferences
from nestree.comparison.plan import Comparison
from nestree.evaluation.evaluate import Result
from nestree.evaluation.record import as_configured
from nestree.runs import Run


@dataclass(frozen=True)
class Row:
    """One contender with one kind of inference."""

    contender: Contender
    inference: str | None
    """Inference of RIR; None for other encoders."""
    run: Run
    about: dict[str, Any]
    """Content of ``run.json``."""
    results: dict[str, Result]
    """Results by test."""
    several: bool
    """Whether the contender has rows with another inference too."""

    @property
    def name(self) -> str:
        """Label, with the curriculum if there is one, and the inference if there are several."""
        label = self.run.labelled(self.contender.label)
        return f"{label}, {self.inference}" if self.several else label

    @property
    def failed(self) -> str | None:
        """Why training or evaluation failed; None if it did not, or has not ended."""
        state = self.about.get("state")
        if state in ("failed", "not finite"):
            return str(self.about.get("error") or state)
        return self.about.get("evaluation_error")

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "label": self.contender.label,
            "recipe": self.contender.recipe,
            "options": list(self.contender.options),
            "inference": self.inference,
            "curricula": self.run.curricula(),
            "run": self.run.path.name,
            "encoder": self.run.config.encoder_name,
            "error": self.failed,
            **{name: self.about.get(name) for name in FACTS},
            "results": [result.as_dict() for result in self.results.values()],
        }


FACTS = (
    "state",
    "parameters",
    "steps",
    "sequences",
    "epochs",
    "minutes",
    "sequences_per_second",
    "peak_memory_bytes",
    "select",
    "validation_accuracy",
    "validation_loss",
    "best_step",
    "train_examples",
    "threads",
)


def rows(comparison: Comparison) -> list[Row]:
    """Return one row per contender and inference, in the plan's order, with the results so far."""
    found = []
    for contender in comparison.plan.contenders:
        run = comparison.run(contender)
        about = run.about()
        wanted = inferences(run.config, comparison.plan.inference)
        for inference in wanted:
            results = {test: known(comparison, run, test, inference) for test in comparison.tests}
            there = {test: result for test, result in results.items() if result is not None}
            over = about.get("state") == "finished"
            found.append(Row(contender, inference, run, about, there if over else {}, len(wanted) > 1))
    return found


def known(comparison: Comparison, run: Run, test: str, inference: str | None) -> Result | None:
    """Return the result of a run's current weights on the plan's number of examples; None if not evaluated."""
    if not run.weights.is_file():
        return None
    count = len(comparison.task.load(test, size=comparison.plan.limit))
    for entry in reversed(as_configured(run)):
        is_it = entry["test"] == test and entry["inference"] == inference and entry["examples"] == count
        if is_it and entry["seed"] == run.config.data.seed:
            return Result.from_dict(entry)
    return None
