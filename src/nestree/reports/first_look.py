"""What follows a training with ``--report``: a first look at accuracy and trees, and the report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from nestree.evaluation.evaluate_run import evaluate_run, present_tests
from nestree.reports import markdown
from nestree.reports.glance import show_glance
from nestree.runs import Run


def first_look(run: Run, shown: Console, console: Console) -> Path:
    """Evaluate a run on some examples of the report's tests, show the results, and write the report.

    Args:
        run: the run.
        shown: for the results.
        console: for progress and messages.

    Returns:
        The report's path.
    """
    tests = present_tests(run.task, run.task.first_tests, console)
    console.print(f"evaluating on {', '.join(tests)}: the first {markdown.EXAMPLES} examples of each")
    results = evaluate_run(run, tests, limit=markdown.EXAMPLES, compare_bag=True, console=console)
    show_glance(shown, run, results)
    return markdown.write_report(run)
