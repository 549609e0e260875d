"""Tables with a header in text files: CSV, TSV and JSON lines, plain or gzipped, read row by row."""

from __future__ import annotations

import codecs
import csv
import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nestree.errors import OptionError, UserError
from nestree.suggest import unknown
from nestree.tasks.text.lines import LONGEST, opened, reading, shown, text_lines

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Format by suffix of a file's name; .gz may follow."""

LONGEST_ROW = 2**24
"""Maximal length of a row with several lines, characters."""

MERE_QUOTES = "false treats quotes as ordinary characters"
"""Hint for a quote in an unexpected place."""

_CLOSED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class TableStyle:
    """Encoding and format of a file.

    Raises:
        ValueError: an option is invalid; names the option.
    """

    encoding: str = "utf-8"
    """Any encoding that Python knows."""
    delimiter: str | None = None
    """Character between columns; None: a tab in TSV files, else a comma."""
    quotes: bool | None = None
    """Whether fields may be in double quotes; None: yes, unless a TSV file cannot be read that way."""

    def __post_init__(self) -> None:
        try:
            "text".encode(self.encoding)
        except (LookupError, ValueError):
            raise OptionError(
                "encoding",
                f"must be one that Python knows, such as utf-8, latin-1, cp1252 or utf-16, not {self.encoding!r}",
            ) from None
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise OptionError(
                "delimiter",
                f"must be one character, neither a quote nor a line break, not {self.delimiter!r} "
                "(for tabs: null and a .tsv file)",
            )


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table."""

    values: Mapping[str, Any]
    """Values by column; JSON numbers are strings as written, null is None."""
    where: str
    """File, and line where the row begins."""
    raw: str = ""
    """The row as written in the file, with its line end."""


class Table:
    """A table in a file; [`records`][] can be read several times, and only one row is in memory at a time.

    Raises:
        UserError: the file does not exist, or its name has no known suffix.
    """

    def __init__(self, path: str | Path, style: TableStyle | None = None) -> None:
        self.path = Path(path)
        self.style = style or TableStyle()
        self.shown = shown(self.path)
        kind = table_format(self.path)
        if self.path.is_dir():
            raise UserError(f"{self.shown}: is a folder; name a file")
        if not self.path.exists():
            raise UserError(f"{self.shown}: there is no such file{_near(self.path)}")
        if kind is None:
            raise UserError(f"{self.shown}: the name must end in {', '.join(FORMATS)}, optionally followed by .gz")
        self.format = kind
        self.delimiter = self.style.delimiter or ("\t" if kind == "tsv" else ",")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; for JSON lines, the keys of the first object."""
        return self._header[0]

    @property
    def header(self) -> str:
        """The header as written in the file, with its line end; empty for JSON lines."""
        return self._header[1]

    @cached_property
    def marked(self) -> bool:
        """Whether the file begins with UTF-8's byte order mark."""
        with reading(self.path), opened(self.path) as file:
            return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

    @cached_property
    def quotes(self) -> bool:
        """Whether fields may be in double quotes.

        If the style does not say so, a TSV file has no quoted fields if all of its lines have the same number of
        columns, and some field begins with a quote that is not closed.
        """
        if self.style.quotes is not None or self.format != "tsv":
            return self.style.quotes is not False
        width, open_quote = None, False
        for _, line in self._lines():
            fields = line.rstrip("\r\n").split(self.delimiter)
            width = width or len(fields)
            if len(fields) != width and line.strip():
                return True
            open_quote |= any(field[:1] == '"' and not _CLOSED.fullmatch(field) for field in fields)
        return not open_quote

    def check_column(self, name: str, option: str) -> None:
        """Check that there is exactly one column of this name.

        Raises:
            UserError: there is none, or more than one; names ``option`` and lists the columns.
        """
        if name not in self.columns:
            sign = next((sign for sign in ";\t|" if len(self.columns) == 1 and sign in self.columns[0]), None)
            if sign is not None:
                problem = f"{self.shown}: there is no column {name!r}, only {self.columns[0]!r}"
                raise OptionError("delimiter", f"{sign!r} may separate the columns", problem=problem)
            hint = unknown("column", name, self.columns)
            there = f" (there are {', '.join(self.columns)})" if "did you mean" in hint else ""
            raise OptionError(option, f"must name a column of {self.shown}: {hint}{there}")
        if (count := self.columns.count(name)) > 1:
            raise OptionError(option, f"must name one column: {self.shown} has {count} columns {name!r}")

    def records(self) -> Iterator[Record]:
        """Yield the rows; blank lines are skipped.

        Raises:
            UserError: a row cannot be read; names file and line.
        """
        if self.format == "jsonl":
            yield from self._objects()
            return
        columns = self.columns
        rows = self._rows()
        next(rows)
        for where, cells, raw in rows:
            if len(cells) < len(columns) and not raw.strip(" \r\n"):
                continue
            if len(cells) != len(columns):
                raise UserError(
                    f"{where}: {len(cells)} column{'s' * (len(cells) != 1)}, the header has {len(columns)}; "
                    "a field that contains a delimiter or a line break must be in double quotes"
                )
            yield Record(dict(zip(columns, cells, strict=True)), where, raw)

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        with reading(self.path), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def _header(self) -> tuple[tuple[str, ...], str]:
        if self.format == "jsonl":
            for record in self._objects():
                return tuple(record.values), ""
            raise UserError(f"{self.shown}: is empty")
        for _, cells, raw in self._rows():
            return tuple(cell.strip() for cell in cells), raw
        raise UserError(f"{self.shown}: is empty")

    def _rows(self) -> Iterator[tuple[str, list[str], str]]:
        """Yield (file and line, fields, raw text) of each row, including the header."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
        taken: list[str] = []
        size = 0

        def lines() -> Iterator[str]:
            nonlocal size
            for _, line in self._lines():
                taken.append(line)
                size += len(line)
                if len(taken) > 1 and size > LONGEST_ROW:
                    problem = f"{where}: the row spans {len(taken):,} lines; is a quote left open?"
                    raise OptionError("quotes", MERE_QUOTES, problem=problem)
                yield line

        quoting = {} if self.quotes else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        reader = csv.reader(lines(), delimiter=self.delimiter, strict=True, **quoting)
        while True:
            taken.clear()
            size = 0
            where = f"{self.shown}:{reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _unreadable(where, str(error), self.format) from None
            if cells:
                yield where, cells, "".join(taken)

    def _objects(self) -> Iterator[Record]:
        """Yield the objects of JSON lines."""
        for number, line in self._lines():
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
            yield Record(value, where, line)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield (number, line with its end)."""
        return text_lines(self.path, self.style.encoding)


def table_format(path: str | Path) -> str | None:
    """Return the format of a file by its name: csv, tsv or jsonl; None if it is none of these."""
    name = str(path).lower().removesuffix(".gz")
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


def text_of(value: Any, where: str, column: str) -> str | None:
    """Return a value as text; None stays None.

    Raises:
        UserError: the value is a JSON list or object.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        raise UserError(f"{where}: {column!r} is {'a list' if isinstance(value, list) else 'an object'}, not a text")
    return str(value)


def cell_text(record: Record, column: str) -> str:
    """Return a text of a row; null becomes an empty string.

    Raises:
        UserError: a JSON object does not have this key, or its value is not a text.
    """
    if column not in record.values:
        raise UserError(f"{record.where}: has no {column!r}, only {', '.join(record.values) or 'nothing'}")
    return text_of(record.values[column], record.where, column) or ""


def _near(path: Path) -> str:
    """Return a hint if the folder has a file with a similar name."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {shown(path.with_name(close[0]))}?" if close else ""


def _unreadable(where: str, error: str, kind: str) -> UserError:
    """Return an error with a clearer message than the csv module's."""
    if "unexpected end" in error:
        return OptionError("quotes", MERE_QUOTES, problem=f"{where}: a quote is opened and never closed")
    if "expected after" in error:
        problem = f"{where}: text follows a closing quote; a quote within quotes is written twice"
        return OptionError("quotes", MERE_QUOTES, problem=problem)
    if "new-line character" in error:
        return UserError(f"{where}: a carriage return within the row; lines end with a line feed, or with both")
    return UserError(f"{where}: not {kind.upper()} ({error})")
