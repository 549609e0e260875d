"""Carrying out a plan, from the beginning or from where it was interrupted."""

from __future__ import annotations

from rich.console import Console

from nestree.comparison.contender import inferences
from nestree.comparison.plan import Comparison
from nestree.comparison.references import fit_references, reference_rows
from nestree.comparison.rows import known, rows
from nestree.comparison.write import write
from nestree.data.files import locked
from nestree.errors import INTERRUPTED, UserError
from nestree.evaluation.evaluate_run import evaluate_run
from nestree.runs import Run
from nestree.training.child_process import OVER, Train, note_end, train_in_child_process


def carry_out(comparison: Comparison, *, console: Console, train: Train = train_in_child_process) -> bool:
    """Train and evaluate the remaining contenders one after the other, and write the results after each.

    A run that fails does not stop the others. Failed runs are tried again next time, unless the loss became infinite.

    Args:
        comparison: plan and folder.
        console: for progress.
        train: trains a run.

    Returns:
        Whether no contender has failed.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished work is kept.
        UserError: another process works on this comparison.
    """
    with locked(comparison.path) as lock:
        if lock is None:
            raise UserError(f"{comparison.path} is in use: another process trains there")
        contenders = comparison.plan.contenders
        for number, contender in enumerate(contenders, start=1):
            run = comparison.run(contender)
            state = run.about().get("state")
            if state not in OVER:
                console.print(f"\n{number} of {len(contenders)}: {contender.label}, {comparison.plan.budget}")
                code = train(run, stop=lambda: False, keep=(lock,))
                state = note_end(run, code)
                if code == INTERRUPTED:
                    raise KeyboardInterrupt
            if state == "finished":
                _evaluate(comparison, run, console)
            write(comparison)
        fit_references(comparison, console)
        write(comparison)
    return all(row.failed is None for row in [*rows(comparison), *reference_rows(comparison)])


def _evaluate(comparison: Comparison, run: Run, console: Console) -> None:
    """Evaluate a run on the tests for which its current weights have no results."""
    for inference in inferences(run.config, comparison.plan.inference):
        missing = [test for test in comparison.tests if known(comparison, run, test, inference) is None]
        if missing:
            console.print(f"evaluating on {', '.join(missing)}" + (f", {inference}" if inference else ""))
            try:
                evaluate_run(run, missing, limit=comparison.plan.limit, inference=inference, console=console)
            except (RuntimeError, MemoryError, UserError) as error:
                run.note(evaluation_error=" ".join(f"evaluation: {error}".split()))
                return
    run.note(evaluation_error=None)
