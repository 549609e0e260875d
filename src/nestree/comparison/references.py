"""Contenders that nestree does not train: fitted in this process and evaluated on the same tests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nestree.comparison.plan import Comparison
from nestree.data import RaggedExamples
from nestree.data.files import read_json, write_json
from nestree.data.shapes import NUMBER, TEXT, check_shape
from nestree.errors import UserError
from nestree.evaluation.bag_of_words import TfidfBagOfWords, check_installed
from nestree.evaluation.evaluate import ENTRY, Result, Share, by_group, groups
from nestree.tasks import Task


@dataclass(frozen=True)
class ReferenceRow:
    """A reference's row in the table."""

    name: str
    about: dict[str, Any] = field(default_factory=dict)
    """Facts of the fit, as in ``run.json``."""
    results: dict[str, Result] = field(default_factory=dict)
    """Results by test."""
    failed: str | None = None
    """Why it could not be fitted."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        results = [result.as_dict() for result in self.results.values()]
        return {"label": self.name, "error": self.failed, **self.about, "results": results}

    @property
    def note(self) -> str:
        """Sentence below the table."""
        if self.failed is not None:
            return f"{self.name}: {self.failed}"
        about = "scikit-learn's logistic regression on TF-IDF of tokens and bigrams, fitted whatever the budget"
        chosen = f" (C = {self.about['C']:g}, chosen on validation)" if "C" in self.about else ""
        return f"{self.name}: {about}{chosen}."


def reference_rows(comparison: Comparison) -> list[ReferenceRow]:
    """Return one row per reference, in the plan's order, with the results so far."""
    return [_read(comparison, name) for name in comparison.plan.references]


def fit_references(comparison: Comparison, console: Console) -> None:
    """Fit and evaluate the references that have no results yet."""
    for name in comparison.plan.references:
        if _read(comparison, name).results:
            continue
        console.print(f"\n{name}: fitting and evaluating on {', '.join(comparison.tests)}")
        try:
            check_installed(name)
            row = _fitted(comparison, name, console)
        except (UserError, ValueError, MemoryError) as error:
            row = ReferenceRow(name, failed=" ".join(str(error).split()) or type(error).__name__)
        write_json(_path(comparison, name), row.as_dict())


def _fitted(comparison: Comparison, name: str, console: Console) -> ReferenceRow:
    from nestree.training.fit import load_examples  # imports Lightning

    task, options = comparison.task, comparison.run(comparison.plan.contenders[0]).config.data
    train, validation = load_examples(task, options, console)
    model = TfidfBagOfWords.fit(train, validation, bigrams=True)
    tests = {test: task.load(test, size=comparison.plan.limit) for test in comparison.tests}
    results = {test: _evaluated(model, task, train, test, examples) for test, examples in tests.items()}
    about = {
        "state": "finished",
        "C": model.strength,
        "validation_accuracy": model.validation_accuracy,
        "parameters": model.parameters,
        "train_examples": len(train),
        "seconds": round(model.seconds, 3),
        "minutes": model.seconds / 60,
    }
    return ReferenceRow(name, about, results)


def _evaluated(
    model: TfidfBagOfWords, task: Task, train: RaggedExamples, test: str, examples: RaggedExamples
) -> Result:
    began = time.perf_counter()
    right = np.asarray(model.answers(examples) == examples.labels)
    return Result(
        test=test,
        inference=None,
        total=Share(test, int(right.sum()), len(right)),
        strata={name: by_group(right, groups(name, values)) for name, values in task.strata(examples).items()},
        mean_length=float(examples.lengths.mean()),
        seconds=time.perf_counter() - began,
        baseline=task.baseline(train, examples),
        protocol=task.protocol,
        right=np.packbits(right).tobytes().hex(),
    )


def _read(comparison: Comparison, name: str) -> ReferenceRow:
    values = dict(read_json(_path(comparison, name)))
    check_shape(values, {"error?": TEXT, "C?": NUMBER, "results?": [ENTRY]}, str(_path(comparison, name)))
    values.pop("label", None)
    failed = values.pop("error", None)
    results = [Result.from_dict(one) for one in values.pop("results", [])]
    return ReferenceRow(name, values, {result.test: result for result in results}, failed)


def _path(comparison: Comparison, name: str) -> Path:
    return comparison.path / f"{name}.json"
