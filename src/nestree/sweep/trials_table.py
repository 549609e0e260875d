"""The table of a sweep's trials, best first."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from nestree.data.files import replacing
from nestree.reports.tables import decimals, markdown_table, percent
from nestree.sweep.sweep import Sweep
from nestree.tasks.stages import LABEL

STATES = {TrialState.COMPLETE: "", TrialState.PRUNED: "pruned", TrialState.RUNNING: "in training"}


def best(sweep: Sweep) -> FrozenTrial | None:
    """Return the finished trial with the highest accuracy (or measure in its place); None if none has finished."""
    found = _ordered(sweep)
    return found[0] if found and found[0].state == TrialState.COMPLETE else None


def header(sweep: Sweep) -> list[str]:
    """Return the names of the columns."""
    return [
        "trial",
        f"validation {sweep.measure.name}{' %' * sweep.measure.share}",
        *sweep.space,
        "parameters",
        "steps",
        "minutes",
        "",
    ]


def table_rows(sweep: Sweep) -> list[list[str]]:
    """Return the cells of all trials; a pruned trial has the last accuracy that it reported."""
    found = []
    for trial in _ordered(sweep):
        about = sweep.run(trial.number).about()
        failed = trial.state == TrialState.FAIL
        state = f"failed: {about.get('error') or 'unknown'}" if failed else STATES.get(trial.state, "")
        facts = (about.get("parameters"), about.get("steps"), about.get("minutes"))
        shown = ("" if fact is None else f"{fact:,.1f}" if isinstance(fact, float) else f"{fact:,}" for fact in facts)
        chosen = (_shown(trial.params.get(name)) for name in sweep.space)
        value = percent(_value(trial)) if sweep.measure.share else decimals(_value(trial))
        found.append([str(trial.number), value, *chosen, *shown, state])
    return found


def screen_table(sweep: Sweep) -> Table:
    """Return the table for the terminal."""
    table = Table(title=f"{_recipe(sweep)}, {len(sweep.trials())} trials", title_justify="left")
    for name in header(sweep):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for row in table_rows(sweep):
        table.add_row(*row)
    return table


def write(sweep: Sweep) -> None:
    """Write ``sweep.md`` into the sweep's folder."""
    names, winner = header(sweep), best(sweep)
    parts = [
        f"# {_recipe(sweep)}: {len(sweep.trials())} trials",
        markdown_table(names, table_rows(sweep), right=range(len(names) - 1)),
        *(["To train the best one again:", f"```sh\n{sweep.command(winner.params)}\n```"] if winner else []),
    ]
    with replacing(sweep.folder / "sweep.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")


def _recipe(sweep: Sweep) -> str:
    """Return the recipe's name, with its curriculum unless that is an option of the search space."""
    plan = None if "data.curriculum" in sweep.space else sweep.base.data.plan
    return sweep.recipe if plan is None else LABEL.join([sweep.recipe, plan.name])


def _ordered(sweep: Sweep) -> list[FrozenTrial]:
    """Return the trials: finished ones, best first, then the others by last accuracy."""

    def order(trial: FrozenTrial) -> tuple[bool, float, int]:
        value = _value(trial)
        return trial.state != TrialState.COMPLETE, -(value if value is not None else -2.0), trial.number

    return sorted(sweep.trials(), key=order)


def _value(trial: FrozenTrial) -> float | None:
    """Return a trial's accuracy, or the last one it reported if it has not finished."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    reported = trial.intermediate_values
    return reported[max(reported)] if reported else None


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
