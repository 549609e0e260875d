"""The history of a training run, from its logs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from nestree.config.selection import LOSS, MEASURES, Measure
from nestree.runs import Run

Row = dict[str, float]

THIN_ROWS = 200
"""Maximal number of rows of a thinned log."""

THIN_COLUMNS = ("step", "epoch", "loss", LOSS)
"""Columns of a thinned log, before the validation measure."""


def read_history(run: Run) -> list[Row]:
    """Return what was logged at each step, in order; empty if nothing was.

    A resumed run has one file per session. What a session logged at or after the first step of the next one is left
    out, as training was resumed from an earlier checkpoint. A packed model has one thinned log instead.
    """
    steps: dict[int, Row] = _read(run.thin_log) if run.thin_log.is_file() else {}
    for path in sorted((run.logs / "csv").glob("*/metrics.csv")):
        session = _read(path)
        if session:
            first = min(session)
            steps = {step: row for step, row in steps.items() if step < first} | session
    return [steps[step] for step in sorted(steps)]


def series(history: list[Row], name: str) -> tuple[list[float], list[float]]:
    """Return the steps at which ``name`` was logged, and its values."""
    rows = [row for row in history if name in row]
    return [row["step"] for row in rows], [row[name] for row in rows]


def measure_of(history: list[Row]) -> Measure:
    """Return what was measured in validation."""
    return next((one for one in MEASURES.values() if any(one.key in row for row in history)), MEASURES["class"])


def thinned(history: list[Row], *, rows: int = THIN_ROWS) -> str:
    """Return a history as a small CSV.

    Each of its rows stands for equally many rows of the history, with their last step, mean training loss and last
    validation.

    Args:
        history: as ``read_history`` returns it.
        rows: maximal number of rows of the CSV.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [*THIN_COLUMNS, measure_of(history).key]
    writer.writerow(columns)
    for part in np.array_split(np.arange(len(history)), min(rows, len(history))) if history else ():
        stretch = [history[place] for place in part]
        last = {name: value for row in stretch for name, value in row.items()}
        losses = [row["loss"] for row in stretch if "loss" in row]
        merged = last | ({"loss": float(np.mean(losses))} if losses else {})
        cells = (f"{merged[name]:.5g}" if name in merged else "" for name in columns[1:])
        writer.writerow([int(last["step"]), *cells])
    return text.getvalue()


def _read(path: Path) -> dict[int, Row]:
    """Return one session's rows by step; a step's training and validation lines become one row.

    An unfinished last line is left out, as a training run may still be writing it.
    """
    steps: dict[int, Row] = {}
    whole = path.read_text().rpartition("\n")[0]
    for line in csv.DictReader(whole.splitlines()):
        row = {name: float(value) for name, value in line.items() if name and value}
        if "step" in row:
            steps.setdefault(int(row["step"]), {}).update(row)
    return steps
