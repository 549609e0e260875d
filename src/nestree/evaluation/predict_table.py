"""Predictions for a table of texts, as additional columns."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console

from nestree.consoles import one_line
from nestree.data import replacing
from nestree.errors import OptionError, UserError
from nestree.evaluation.predictions import Prediction, Threshold, TokenIds, each_prediction, encode_all
from nestree.evaluation.shown import Shown
from nestree.evaluation.tally import Tally
from nestree.models import Classifier
from nestree.runs import Run
from nestree.tasks import Task
from nestree.tasks.target import target_of
from nestree.tasks.text import OwnOptions
from nestree.tasks.text.answers import Answer, AnswerColumns
from nestree.tasks.text.table import Record, Table, cell_text, table_format
from nestree.tasks.text.table_style import TEXT_FORMATS
from nestree.tasks.text.table_writer import TableWriter

ROWS = 4096
"""Maximal number of rows that are predicted together."""

BATCHES = 8
"""Number of batches that are predicted together; more rows have more of similar length."""


@dataclass(frozen=True)
class TableOptions:
    """Format of a table, where it differs from training, and where to write the predictions."""

    output: str | None = None
    """The file to write; None: standard output."""
    overwrite: bool = False
    """Replace the file if it exists."""
    json: bool = False
    """Write JSON lines of row number and prediction, without the table's columns."""
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
    answers: AnswerColumns | None
    """Column or columns of the correct answers; None if the table has none."""

    @property
    def about(self) -> str:
        """Names of the columns of the correct answers."""
        return "" if self.answers is None else ",".join(self.answers.columns)


def predict_table(
    run: Run,
    model: Classifier,
    path: str,
    options: TableOptions,
    *,
    shown: Shown | None = None,
    threshold: Threshold | None = None,
    console: Console,
) -> None:
    """Write a table with additional columns, or its predictions alone, to standard output or to a file.

    There is one answer per row, in their order; without a label (an empty text, or below the threshold) it is empty.

    Args:
        run: a run; if it was trained on a table, that table's columns and style are the defaults.
        model: the run's model.
        path: the table.
        options: columns and style that differ from training, and where and how to write.
        shown: what to write besides label and probability.
        threshold: when to give no label; None: never.
        console: for messages.

    Raises:
        UserError: a column is missing, a row cannot be read, or the output exists or cannot be written.
    """
    target = target_of(run.task)
    shown, threshold = (shown or Shown()).of(target), threshold or Threshold()
    threshold.check(target)
    data = run.config.data
    own = data if isinstance(data, OwnOptions) else OwnOptions()
    table = _opened(path, own, options)
    columns = _columns(run.task, table, own, options)
    labels = run.task.label_names
    with _output(table, options) as file, _writer(table, file, shown, labels, options, console) as write:
        tally = _predict(run, model, table, columns, threshold, write)
    where = f", written to {options.output}" if options.output else ""
    console.print(f"{table.shown}: {tally.rows:,} rows{where}")
    for message in tally.unanswered("row", threshold):
        console.print(message)
    for number, message in enumerate(tally.accuracy(columns.about, threshold)):
        trained = number == 0 and own.train == os.path.abspath(path)
        console.print(message + "; the model was trained on this table" * trained)


Write = Callable[[Record, Prediction], None]
"""Writes a row with its prediction."""


@contextmanager
def _writer(
    table: Table, file: IO[bytes], shown: Shown, labels: Sequence[str], options: TableOptions, console: Console
) -> Iterator[Write]:
    """Open what writes a row: the table with further columns, or JSON lines of the predictions alone."""
    if options.json:
        numbers = count(1)

        def write(_: Record, found: Prediction) -> None:
            file.write(json.dumps({"row": next(numbers), **shown.json(found)}).encode() + b"\n")

        yield write
        return
    names: list[str] = []
    for wanted in shown.columns(labels):
        names.append(_free(wanted, [*table.columns, *names]))
        if names[-1] != wanted:
            console.print(f"{table.shown} has a column {wanted} already; the new one is {names[-1]}")
    with TableWriter(table, file, names, _written(table, options.output)) as writer:
        yield lambda record, found: writer.row(record, shown.cells(found, labels))


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
    texts = tuple(table.column(name) for _, name in named[: task.sides] if name is not None)
    return _Columns(texts, _answer_columns(table, own, texts))


def _answer_columns(table: Table, own: OwnOptions, texts: Sequence[str]) -> AnswerColumns | None:
    """Return the columns of the correct answers; None if not all of them are there, once."""
    names = own.label_columns(table.columns)
    try:
        columns = tuple(table.column(name) for name in names)
    except KeyError:
        return None
    if any(table.columns.count(column) != 1 or column in texts for column in columns):
        return None
    return AnswerColumns(own.target, columns, columns if len(names) > 1 else (), own.separator)


def _free(name: str, taken: Sequence[str]) -> str:
    """Return an unused name for a column."""
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _predict(run: Run, model: Classifier, table: Table, columns: _Columns, threshold: Threshold, write: Write) -> Tally:
    """Predict and write all rows."""
    tally = Tally(target_of(run.task))
    budget = run.config.data.evaluation_tokens
    for records, encoded in _parts(run.task, table, columns.texts, BATCHES * budget):
        predictions = each_prediction(model, run.task, encoded, threshold=threshold, tokens=budget)
        for record, found in zip(records, predictions, strict=True):
            write(record, found)
            tally.add(found, _right_answer(record, columns.answers))
    return tally


def _right_answer(record: Record, columns: AnswerColumns | None) -> Answer | None:
    """Return the answer in a row; None if there is none that can be compared with."""
    if columns is None or all(record.values.get(column) is None for column in columns.columns):
        return None
    try:
        return columns.read(record)
    except UserError:
        return None


def _parts(
    task: Task, table: Table, columns: Sequence[str], tokens: int
) -> Iterator[tuple[list[Record], list[TokenIds | None]]]:
    """Yield rows and their token ids, in parts of bounded size."""
    records: list[Record] = []
    encoded: list[TokenIds | None] = []
    held = 0
    for record in table.records():
        texts = tuple(cell_text(record, column) for column in columns)
        (ids,) = encode_all(task, [texts], where=[record.where])
        records.append(record)
        encoded.append(ids)
        held += sum(map(len, ids or ())) + len(record.raw) // 100
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
def _output(table: Table, options: TableOptions) -> Iterator[IO[bytes]]:
    """Open the output: standard output, or a file that is written atomically.

    Raises:
        UserError: the file exists, is the input, has another format, or cannot be written.
    """
    path = options.output
    if path is None:
        with cast(IO[bytes], _Screen()) if sys.stdout.isatty() else nullcontext(sys.stdout.buffer) as file:
            yield file
            file.flush()
        return
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise OptionError("output", f"must be a file in a folder that exists, not {path}")
    if target.exists() and target.samefile(table.path):
        raise OptionError("output", f"must be another file than the table itself, not {path}")
    if target.exists() and not options.overwrite:
        raise OptionError("overwrite", "replaces it", problem=f"{path} exists already: name another file")
    kind = "jsonl" if options.json else _written(table, path)
    if table_format(target) not in (None, kind):
        wanted = "jsonl, as with --json" if options.json else f"{table.written}, the format of {table.shown}"
        raise OptionError("output", f"must end in .{wanted}, not {path}")
    try:
        with replacing(target) as temporary:
            packed = target.suffix.lower() == ".gz"
            with cast(IO[bytes], gzip.open(temporary, "wb")) if packed else temporary.open("wb") as file:
                yield file
    except OSError as error:
        raise OptionError("output", f"{path} cannot be written ({error.strerror or error})") from None


class _Screen(io.RawIOBase):
    """Writes a table to the terminal, without its control characters; a pipe gets the table's own bytes."""

    def write(self, content: Any) -> int:
        """Write lines."""
        lines = bytes(content).decode("utf-8", "replace").split("\n")
        shown = ("\t".join(one_line(cell) for cell in line.rstrip("\r").split("\t")) for line in lines)
        sys.stdout.write("\n".join(shown))
        return len(content)

    def flush(self) -> None:
        """Show what was written."""
        sys.stdout.flush()
