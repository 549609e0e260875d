"""The course of a training, from a run's logs."""

from __future__ import annotations

import csv
from pathlib import Path

from nestree.runs import Run

Row = dict[str, float]


def read_history(run: Run) -> list[Row]:
    """Return what was logged at each step, in order; empty if nothing was.

    A resumed run has a file a session. What a session logged from the step where the next one begins is not part of
    the training that counts.
    """
    steps: dict[int, Row] = {}
    for path in sorted((run.logs / "csv").glob("*/metrics.csv")):
        session = _read(path)
        if session:
            first = min(session)
            steps = {step: row for step, row in steps.items() if step < first} | session
    return [steps[step] for step in sorted(steps)]


def series(history: list[Row], name: str) -> tuple[list[float], list[float]]:
    """Return steps, and the values that were logged under ``name`` there."""
    rows = [row for row in history if name in row]
    return [row["step"] for row in rows], [row[name] for row in rows]


def _read(path: Path) -> dict[int, Row]:
    """Return one session's rows by step; a step's training and validation lines become one row.

    A last line without an end is left out: a training may be writing it.
    """
    steps: dict[int, Row] = {}
    whole = path.read_text().rpartition("\n")[0]
    for line in csv.DictReader(whole.splitlines()):
        row = {name: float(value) for name, value in line.items() if name and value}
        if "step" in row:
            steps.setdefault(int(row["step"]), {}).update(row)
    return steps
