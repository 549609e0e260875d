"""Predictions for a table of texts, as additional columns."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import numpy as np
from rich.console import Console

from nestree.data import RaggedExamples, replacing
from nestree.errors import OptionError, UserError
from nestree.evaluation.evaluate import probabilities
from nestree.evaluation.intervals import wilson
from nestree.models import Classifier
from nestree.runs import Run
from nestree.tasks import Task
from nestree.tasks.text import OwnOptions, TextTask
from nestree.tasks.text.table import Record, Table, cell_text, table_format, text_of
from nestree.tasks.text.table_style import TEXT_FORMATS
from nestree.tasks.text.table_writer import TableWriter

ROWS = 4096
"""Maximal number of rows that are predicted together."""

BATCHES = 8
"""Number of batches that are predicted together; more rows have more of similar length."""

COLUMNS = ("prediction", "probability")


@dataclass(frozen=True)
class TableOptions:
    """Format of a table, where it differs from training, and where to write the predictions."""

    output: str | None = None
    """The file to write; None: standard output."""
    overwrite: bool = False
    """Replace the file if it exists."""
    text_column: str | None = None
    """Column of texts; None, here and below: as in training."""
    text2_column: str | None = None
    """Column of second texts, for pairs."""
    encoding: str | None = None
    delimiter: str | None = None
    quotes: bool | None = None
    """Whether fields may be in double quotes."""


@dataclass(frozen=True)
class _Columns:
    """The columns that are read."""

    texts: tuple[str, ...]
    label: str | None
    """Column of the correct labels; None if the table has none."""


def table_among(task: Task, inputs: Sequence[str]) -> str | None:
    """Return the table among inputs of a task on texts, if it is one; what is named like one must be there.

    Raises:
        UserError: there are further inputs.
    """
    if not isinstance(task, TextTask):
        return None
    tables = [text for text in inputs if table_format(text) and (Path(text).exists() or len(text.split()) == 1)]
    if tables and len(inputs) > 1:
        raise UserError(f"{tables[0]}: give one table, and no other inputs")
    return tables[0] if tables else None


def predict_table(run: Run, model: Classifier, path: str, options: TableOptions, *, console: Console) -> None:
    """Write a table with two additional columns, to standard output or to a file.

    Args:
        run: a run; if it was trained on a table, that table's columns and style are the defaults.
        model: the run's model.
        path: the table.
        options: columns and style that differ from training, and where to write.
        console: for messages.

    Raises:
        UserError: a column is missing, a row cannot be read, or the output exists or cannot be written.
    """
    data = run.config.data
    own = data if isinstance(data, OwnOptions) else OwnOptions()
    table = _opened(path, own, options)
    columns = _columns(run.task, table, own, options)
    names = [_free(name, table.columns) for name in COLUMNS]
    for name, wanted in zip(names, COLUMNS, strict=True):
        if name != wanted:
            console.print(f"{table.shown} has a column {wanted} already; the new one is {name}")
    with (
        _output(table, options.output, overwrite=options.overwrite) as file,
        TableWriter(table, file, names, _written(table, options.output)) as writer,
    ):
        rows, known, right = _predict(run, model, table, columns, writer)
    where = f", written to {options.output}" if options.output else ""
    console.print(f"{table.shown}: {rows:,} rows{where}")
    if known:
        low, high = wilson(right, known)
        seen = "; the model was trained on this table" if own.train == os.path.abspath(path) else ""
        console.print(
            f"accuracy {right / known:.4f} on the {known:,} rows with a label in {columns.label!r} "
            f"(95 % interval {low:.4f} to {high:.4f}){seen}"
        )


def _opened(path: str, own: OwnOptions, options: TableOptions) -> Table:
    asked = {"encoding": options.encoding, "delimiter": options.delimiter, "quotes": options.quotes}
    given = {name: value for name, value in asked.items() if value is not None}
    style = own.style()
    if table_format(own.train or path) != table_format(path):
        style = replace(style, delimiter=None)  # it was of another format
    return Table(path, replace(style, **given))


def _columns(task: Task, table: Table, own: OwnOptions, options: TableOptions) -> _Columns:
    """Choose and check the columns."""
    named = [("text", options.text_column or own.text), ("text2", options.text2_column or own.text2)]
    if task.sides == 1 and options.text2_column is not None:
        raise OptionError("text2", f"must be left out: inputs of {task.name} are single texts")
    for option, name in named[: task.sides]:
        if name is None:
            raise OptionError(option, f"must name a column of {table.shown}: inputs of {task.name} are two texts")
        table.check_column(name, option)
    try:
        label = table.column(own.label)
    except KeyError:
        label = None
    texts = tuple(table.column(name) for _, name in named[: task.sides] if name is not None)
    return _Columns(texts, label if table.columns.count(label or "") == 1 and label not in texts else None)


def _free(name: str, taken: Sequence[str]) -> str:
    """Return an unused name for a column."""
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _predict(run: Run, model: Classifier, table: Table, columns: _Columns, writer: TableWriter) -> tuple[int, int, int]:
    """Predict all rows; return the numbers of rows, of rows with a known label, and of correct ones among these."""
    rows = known = right = 0
    budget = run.config.data.evaluation_tokens
    names = run.task.label_names
    places = {name: number for number, name in enumerate(names)}
    for records, encoded in _parts(run.task, table, columns.texts, BATCHES * budget):
        examples = RaggedExamples.from_sequences(
            encoded, [0] * len(records), name="rows", dtype=np.uint32, sides=run.task.sides
        )
        found = probabilities(model, examples, tokens=budget)
        answers = found.argmax(axis=1)
        for record, answer, row in zip(records, answers.tolist(), found, strict=True):
            writer.row(record, [names[answer], round(float(row[answer]), 6)])
            place = places.get(_right_answer(record, columns.label))
            known += place is not None
            right += place == answer
        rows += len(records)
    return rows, known, right


def _right_answer(record: Record, column: str | None) -> str:
    """Return the label in a row; an empty string if there is none."""
    value = None if column is None else record.values.get(column)
    return (
        "" if column is None or isinstance(value, list | dict) else (text_of(value, record.where, column) or "").strip()
    )


def _parts(
    task: Task, table: Table, columns: Sequence[str], tokens: int
) -> Iterator[tuple[list[Record], list[np.ndarray]]]:
    """Yield rows and their token ids, one sequence per side, in parts of bounded size."""
    records: list[Record] = []
    encoded: list[np.ndarray] = []
    held = 0
    for record in table.records():
        ids = task.encode(*(cell_text(record, column) for column in columns))
        records.append(record)
        encoded.extend(ids)
        held += sum(map(len, ids)) + len(record.raw) // 100
        if held >= tokens or len(records) == ROWS:
            yield records, encoded
            records, encoded, held = [], [], 0
    if records:
        yield records, encoded


def _written(table: Table, output: str | None) -> str:
    """Return the format to write: CSV instead of a binary one if that is asked for, or for standard output."""
    is_text = table.format in TEXT_FORMATS
    return "csv" if not is_text and (output is None or table_format(output) == "csv") else table.written


@contextmanager
def _output(table: Table, path: str | None, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open the output: standard output, or a file that is written atomically.

    Raises:
        UserError: the file exists, is the input, has another format, or cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise OptionError("output", f"must be a file in a folder that exists, not {path}")
    if target.exists() and target.samefile(table.path):
        raise OptionError("output", f"must be another file than the table itself, not {path}")
    if target.exists() and not overwrite:
        raise OptionError("overwrite", "replaces it", problem=f"{path} exists already: name another file")
    if table_format(target) not in (None, _written(table, path)):
        raise OptionError("output", f"must end in .{table.written}, the format of {table.shown}, not {path}")
    try:
        with replacing(target) as temporary:
            packed = target.suffix.lower() == ".gz"
            with cast(IO[bytes], gzip.open(temporary, "wb")) if packed else temporary.open("wb") as file:
                yield file
    except OSError as error:
        raise OptionError("output", f"{path} cannot be written ({error.strerror or error})") from None
