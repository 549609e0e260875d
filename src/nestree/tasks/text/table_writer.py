"""Copying a table with additional columns."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from typing import IO, Protocol, Self

from nestree.errors import UserError
from nestree.tasks.text.delimited import Delimited
from nestree.tasks.text.record import Record, text_of
from nestree.tasks.text.table import Table
from nestree.tasks.text.typed_writers import ParquetWriter, SheetWriter

Values = Sequence[str | float | None]
"""Values of the additional columns in one row; None is an empty field, or null."""


class _Rows(Protocol):
    def row(self, record: Record, values: Values) -> None: ...

    def close(self) -> None: ...


class TableWriter:
    """Writes a copy of a table with additional columns; existing columns are copied unchanged.

    It must be closed, or used in a ``with`` statement.

    Args:
        table: the table.
        file: the file to write to, in the table's encoding.
        names: names of the additional columns.
        kind: the format to write, the table's own or csv; None: its own, or csv for a folder.
    """

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str], kind: str | None = None) -> None:
        self._rows = _writer(table, file, names, kind or table.written)

    def row(self, record: Record, values: Values) -> None:
        """Write a row.

        Raises:
            UserError: a value cannot be written in the table's encoding, or the row already has a key of this name.
        """
        self._rows.row(record, values)

    def close(self) -> None:
        """Write what is left; ``file`` remains open."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        if error is None:
            self.close()


def _writer(table: Table, file: IO[bytes], names: Sequence[str], kind: str) -> _Rows:
    if kind == table.format == "jsonl":
        return _JsonCopy(table, file, names)
    if kind == table.format and isinstance(table.rows, Delimited):
        return _DelimitedCopy(table, table.rows, file, names)
    if kind == table.format == "xlsx":
        return SheetWriter(table, file, names)
    if kind == table.format == "parquet":
        return ParquetWriter(table, file, names)
    if kind == "csv":
        return _CsvWriter(table, file, names)
    raise UserError(f"{table.shown}: can be written as {table.written} or csv, not as {kind}")


class _TextFile:
    """A text file in the table's encoding."""

    def __init__(self, table: Table, file: IO[bytes]) -> None:
        self.encoding = table.encoding
        self._file = file
        self._encoder = codecs.getincrementalencoder(table.encoding)()
        if table.marked and codecs.lookup(table.encoding).name == "utf-8":
            self.write("\ufeff", "the header")

    def write(self, text: str, where: str) -> None:
        try:
            self._file.write(self._encoder.encode(text))
        except UnicodeEncodeError as error:
            wrong = error.object[error.start : error.end]
            raise UserError(f"{where}: {wrong!r} in a label cannot be written in {self.encoding}") from None


class _DelimitedCopy:
    """Rows of CSV or TSV as they were written, with fields at the end."""

    def __init__(self, table: Table, rows: Delimited, file: IO[bytes], names: Sequence[str]) -> None:
        self._rows = rows
        self._file = _TextFile(table, file)
        first = rows.first.raw
        self._end = _line_end(first, "\n")
        self._file.write(rows.sep_line + (self._widened(first, names) if rows.header else ""), "the header")

    def row(self, record: Record, values: Values) -> None:
        self._file.write(self._widened(record.raw, values), record.where)

    def close(self) -> None:
        pass

    def _widened(self, raw: str, values: Values) -> str:
        delimiter = self._rows.delimiter
        if self._rows.quotes:
            buffer = io.StringIO()
            csv.writer(buffer, delimiter=delimiter, lineterminator="").writerow(values)
            added = buffer.getvalue()
        else:
            texts = ("" if value is None else str(value) for value in values)
            added = delimiter.join(re.sub(rf"[\r\n{re.escape(delimiter)}]", " ", text) for text in texts)
        return raw.rstrip("\r\n") + delimiter + added + _line_end(raw, self._end)


class _JsonCopy:
    """Objects of JSON lines as they were written, with keys at the end."""

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        self._names = names
        self._file = _TextFile(table, file)

    def row(self, record: Record, values: Values) -> None:
        for name in self._names:
            if name in record.values:
                raise UserError(f"{record.where}: has a key {name!r}, unlike the first row; rename it")
        content = record.raw.strip()[:-1].rstrip()
        new = json.dumps(dict(zip(self._names, values, strict=True)))
        separator = ", " if record.values else ""
        self._file.write(f"{content}{separator}{new[1:]}{_line_end(record.raw, chr(10))}", record.where)

    def close(self) -> None:
        pass


class _CsvWriter:
    """CSV in UTF-8, of a table in another format."""

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        self._columns = table.columns
        # Unlike io.TextIOWrapper, it does not close the file, which may be standard output, after an error.
        self._csv = csv.writer(codecs.getwriter("utf-8")(file, "replace"), lineterminator="\n")
        if table.style.header:
            self._csv.writerow([*self._columns, *names])

    def row(self, record: Record, values: Values) -> None:
        self._csv.writerow([*(_plain(record, name) for name in self._columns), *values])

    def close(self) -> None:
        pass


def _plain(record: Record, column: str) -> str:
    value = record.values[column]
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value) if isinstance(value, bytes) else text_of(value, record.where, column) or ""


def _line_end(raw: str, usual: str) -> str:
    return "\r\n" if raw.endswith("\r\n") else "\n" if raw.endswith("\n") else usual
