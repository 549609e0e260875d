"""Evaluating a run on its task's tests."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, evaluate
from nestree.evaluation.record import record
from nestree.runs import Run, load
from nestree.suggest import unknown
from nestree.tasks import TASKS, Task


def evaluate_run(
    run: Run,
    tests: Sequence[str],
    *,
    limit: int | None = None,
    inference: str | None = None,
    tokens: int | None = None,
    console: Console,
) -> list[Result]:
    """Evaluate a run's best weights on tests, one after another, and record each as soon as it is done.

    Args:
        run: the run.
        tests: splits of its task.
        limit: the first so many examples of each; None takes all.
        inference: grouped or flat; None as in the run's configuration.
        tokens: tokens, padding included, that a batch holds at most; None as in the run's configuration.
        console: for progress.

    Raises:
        UserError: no such test; or see :func:`nestree.runs.load`.
    """
    task = TASKS[run.config.data.task]
    for test in tests:
        if test not in task.splits:
            raise UserError(unknown(f"test of {run.config.data.task}", test, task.splits))
    model = load(run, **({} if inference is None else {"inference": inference}))
    results = []
    with _progress(console) as progress:
        for test in tests:
            bar = progress.add_task(f"{test}, preparing", total=None)
            examples = task.load(test, seed=run.config.data.seed, size=limit)
            baseline = _baseline(task, run, examples)
            progress.update(bar, description=test, total=len(examples))
            results.append(
                evaluate(
                    model,
                    examples,
                    test=test,
                    strata=task.strata(examples),
                    baseline=baseline,
                    tokens=tokens or run.config.data.evaluation_tokens,
                    advance=lambda count, bar=bar: progress.advance(bar, count),
                )
            )
            record(run, results[-1], seed=run.config.data.seed)
            progress.remove_task(bar)
    return results


def _baseline(task: Task, run: Run, examples: RaggedExamples) -> float | None:
    """Return the accuracy of the commonest label of the root operator, where the task has root operators."""
    majority = getattr(task, "majority_by_root", None)
    return majority(task.load("train", seed=run.config.data.seed), examples) if majority else None


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
