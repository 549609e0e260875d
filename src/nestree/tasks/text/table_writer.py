"""Writing a table again, with further columns."""

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
    """Writes a table again, every row as it stands in the file, with further columns."""

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        """Write the header.

        Args:
            table: the table, read with the same columns.
            file: to write to, in the table's encoding.
            names: of the further columns.
        """
        self.table = table
        self.names = names
        self._file = file
        self._encoder = codecs.getincrementalencoder(table.style.encoding)()
        self._end = "\r\n" if table.header.endswith("\r\n") else "\n"
        if table.marked and codecs.lookup(table.style.encoding).name == "utf-8":
            self._write("\ufeff", "the header")
        if table.format != "jsonl":
            self._write(self._widened(table.header, names), "the header")

    def row(self, record: Record, values: Sequence[str | float]) -> None:
        """Write a row.

        Raises:
            UserError: a value cannot be written in the table's encoding, or the row has a key of the same name.
        """
        if self.table.format != "jsonl":
            self._write(self._widened(record.raw, values), record.where)
            return
        for name in self.names:
            if name in record.values:
                raise UserError(f"{record.where}: has a key {name!r}, which the first row has not; rename it")
        content = record.raw.strip()[:-1].rstrip()
        new = json.dumps(dict(zip(self.names, values, strict=True)))
        self._write(f"{content}, {new[1:]}{_line_end(record.raw, self._end)}", record.where)

    def _widened(self, raw: str, values: Sequence[str | float]) -> str:
        """Return a row of CSV or TSV with more fields."""
        delimiter = self.table.delimiter
        if self.table.quotes:
            buffer = io.StringIO()
            csv.writer(buffer, delimiter=delimiter, lineterminator="").writerow(values)
            added = buffer.getvalue()
        else:
            added = delimiter.join(re.sub(rf"[\r\n{re.escape(delimiter)}]", " ", str(value)) for value in values)
        return raw.rstrip("\r\n") + delimiter + added + _line_end(raw, self._end)

    def _write(self, text: str, where: str) -> None:
        try:
            self._file.write(self._encoder.encode(text))
        except UnicodeEncodeError as error:
            wrong = error.object[error.start : error.end]
            raise UserError(f"{where}: {wrong!r} of a label cannot be written in {self.table.style.encoding}") from None


def _line_end(raw: str, usual: str) -> str:
    return "\r\n" if raw.endswith("\r\n") else "\n" if raw.endswith("\n") else usual
