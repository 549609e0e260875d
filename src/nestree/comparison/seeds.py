"""``nestree train RECIPE --seed 1 2 3``: several training runs one after the other, and a table of all of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nestree.config.selection import measured
from nestree.consoles import say
from nestree.runs import Run

if TYPE_CHECKING:
    from nestree.evaluation.evaluate import Result


def train_seeds(recipe: str, seeds: Sequence[int], options: Sequence[str], folder: Path, console: Console) -> int:
    """Train a recipe with each seed in a child process, and return the exit code.

    Args:
        recipe: name, or path of a YAML file.
        seeds: at least one.
        options: options of ``nestree train``, without ``--seed`` and ``--run``.
        folder: folder of the runs.
        console: for messages.

    Raises:
        UserError: a run's folder is not empty.
    """
    # Imported only after the options have been checked, as these imports are slow.
    from nestree.errors import INTERRUPTED
    from nestree.reports.markdown import current_results
    from nestree.training.child_process import attended

    runs = [Run.new(recipe, folder / f"seed-{seed}") for seed in seeds]
    failed = []
    for number, (seed, run) in enumerate(zip(seeds, runs, strict=True), start=1):
        console.print(f"{'' if number == 1 else chr(10)}{number} of {len(seeds)}: seed {seed}")
        command = ["train", recipe, *options, "--seed", str(seed), "--run", str(run.path)]
        code, signalled = attended([sys.executable, "-m", "nestree", *command])
        if signalled or code == INTERRUPTED:
            left = [one for one in seeds if one != seed and not (folder / f"seed-{one}").exists()]
            console.print(f"stopped before seed {', '.join(map(str, left))}" if left else "stopped")
            return INTERRUPTED
        if code == 2 and not run.config_file.is_file():
            return code  # the child process has printed the error, which the other seeds would repeat
        if code:
            failed.append(seed)
    done = [run for seed, run in zip(seeds, runs, strict=True) if seed not in failed]
    if done:
        console.print(seeds_table(done, [current_results(run) for run in done]))
    if failed:
        console.print(f"failed: seed {', '.join(map(str, failed))}")
    say(folder)
    return 1 if failed else 0


def seeds_table(runs: Sequence[Run], results: Sequence[Sequence[Result]]) -> Table:
    """Return a table of a recipe's accuracy (or micro F1, or correlation) with each seed, and the mean.

    Args:
        runs: one run per seed.
        results: results of each run.
    """
    from nestree.reports.tables import decimals, percent

    measure, _ = measured(runs[0].about())
    shown = percent if measure.share else decimals
    title = f"{runs[0].config.recipe}: {measure.name}{' %' * measure.share}, {runs[0].protocol}"
    table = Table(title=title, title_justify="left")
    table.add_column("test")
    for run in runs:
        table.add_column(f"seed {run.config.seed}", justify="right")
    table.add_column("mean", justify="right")
    for name, shares in _by_test(runs, results).items():
        known = [share for share in shares if share is not None]
        mean = shown(sum(known) / len(known)) if len(known) == len(shares) else ""
        table.add_row(name, *map(shown, shares), mean)
    return table


def _by_test(runs: Sequence[Run], results: Sequence[Sequence[Result]]) -> Mapping[str, list[float | None]]:
    """Return the measure of each run by test, validation first; None where a run was not evaluated."""
    found = [{_name(result): result.main for result in part} for part in results]
    rows: dict[str, list[float | None]] = {"validation": [measured(run.about())[1] for run in runs]}
    return rows | {name: [part.get(name) for part in found] for part in found for name in part}


def _name(result: Result) -> str:
    return result.test + (f", {result.inference}" if result.inference else "")
