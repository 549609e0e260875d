"""The course of a training, from a run's logs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from nestree.runs import Run

Row = dict[str, float]

THIN_ROWS = 200
"""Rows of a thinned log, at most."""

THIN_COLUMNS = ("step", "epoch", "loss", "validation_loss", "validation_accuracy")


def read_history(run: Run) -> list[Row]:
    """Return what was logged at each step, in order; empty if nothing was.

    A resumed run has a file a session. What a session logged from the step where the next one begins is not part of
    the training that counts. A model that was packed has the thinned log in place of the sessions'.
    """
    steps: dict[int, Row] = _read(run.thin_log) if run.thin_log.is_file() else {}
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


def thinned(history: list[Row], *, rows: int = THIN_ROWS) -> str:
    """Return a training's course as a small CSV.

    Its rows are stretches of equally many rows of the history, each with the stretch's last step, mean training loss
    and last validation.

    Args:
        history: as ``read_history`` returns it.
        rows: of the CSV, at most.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(THIN_COLUMNS)
    for part in np.array_split(np.arange(len(history)), min(rows, len(history))) if history else ():
        stretch = [history[place] for place in part]
        last = {name: value for row in stretch for name, value in row.items()}
        losses = [row["loss"] for row in stretch if "loss" in row]
        merged = last | ({"loss": float(np.mean(losses))} if losses else {})
        cells = (f"{merged[name]:.5g}" if name in merged else "" for name in THIN_COLUMNS[1:])
        writer.writerow([int(last["step"]), *cells])
    return text.getvalue()


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
