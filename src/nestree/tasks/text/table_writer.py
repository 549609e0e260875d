"""Copying a table with additional columns."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from typing import IO

from nestree.errors import UserError
from nestree.tasks.text.table import Record, Table


class TableWriter:
    """Writes a copy of a table with additional columns; existing columns are copied unchanged.

    Args:
        table: the table.
        file: the file to write to, in the table's encoding; the header is written immediately.
        names: names of the additional columns.
    """

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        self.table = table
        self.names = names
        self._file = file
        self._encoder = codecs.getincrementalencoder(table.style.encoding)()
        self._end = "\r\n" if table.header.endswith("\r\n") else "\n"
        if table.marked and codecs.lookup(table.style.encoding).name == "utf-8":
            self._write("\ufeff", "the header")
        if table.format != "jsonl":
            self._write(self._widened(table.header, names), "the header")

    def row(self, record: Record, values: Sequence[str | float | None]) -> None:
        """Write a row; None is an empty field, or null in JSON.

        Raises:
            UserError: a value cannot be encoded in the table's encoding, or the row already has a key of this name.
        """
        if self.table.format != "jsonl":
            self._write(self._widened(record.raw, values), record.where)
            return
        for name in self.names:
            if name in record.values:
                raise UserError(f"{record.where}: has a key {name!r}, unlike the first row; rename it")
        content = record.raw.strip()[:-1].rstrip()
        new = json.dumps(dict(zip(self.names, values, strict=True)))
        self._write(f"{content}, {new[1:]}{_line_end(record.raw, self._end)}", record.where)

    def _widened(self, raw: str, values: Sequence[str | float | None]) -> str:
        """Return a row of CSV or TSV with additional fields."""
        delimiter = self.table.delimiter
        if self.table.quotes:
            buffer = io.StringIO()
            csv.writer(buffer, delimiter=delimiter, lineterminator="").writerow(values)
            added = buffer.getvalue()
        else:
            added = delimiter.join(
                re.sub(rf"[\r\n{re.escape(delimiter)}]", " ", text)
                for text in ("" if value is None else str(value) for value in values)
            )
        return raw.rstrip("\r\n") + delimiter + added + _line_end(raw, self._end)

    def _write(self, text: str, where: str) -> None:
        try:
            self._file.write(self._encoder.encode(text))
        except UnicodeEncodeError as error:
            wrong = error.object[error.start : error.end]
            raise UserError(f"{where}: {wrong!r} in a label cannot be written in {self.table.style.encoding}") from None


def _line_end(raw: str, usual: str) -> str:
    return "\r\n" if raw.endswith("\r\n") else "\n" if raw.endswith("\n") else usual
