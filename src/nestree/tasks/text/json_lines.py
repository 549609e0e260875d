"""JSON lines: an object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.text.lines import shown, text_lines
from nestree.tasks.text.record import Record
from nestree.tasks.text.rows import check_width


class JsonLines:
    """A file of JSON lines; blank lines are skipped."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        self.shown = shown(path)

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys of the first object."""
        return self._columns

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        for record in self.records():
            return tuple(record.values)
        raise UserError(f"{self.shown}: is empty")

    def records(self) -> Iterator[Record]:
        """Yield the objects.

        Raises:
            UserError: a line is no object; names file and line.
        """
        for number, line in text_lines(self.path, self.encoding):
            where = f"{self.shown}:{number}"
            if not line.strip():
                continue
            try:
                # Keep numbers as written: 5 and 5.0 are different labels, and numbers may have any length.
                value = json.loads(line.rstrip("\r\n"), parse_int=str, parse_float=str, parse_constant=str)
            except (ValueError, RecursionError) as error:
                column = getattr(error, "colno", None)
                at = f" at character {column}: {getattr(error, 'msg', '')}" if column else ""
                raise UserError(f"{where}: not JSON{at}") from None
            if not isinstance(value, dict):
                kind = "an array" if isinstance(value, list) else "a single value"
                raise UserError(f'{where}: {kind}; every line must be a JSON object, such as {{"text": ...}}')
            check_width(tuple(value), where)
            yield Record(value, where, line)
