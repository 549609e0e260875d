"""CSV and TSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path

from nestree.data.files import LONGEST_LINE
from nestree.errors import OptionError, UserError
from nestree.tasks.text.lines import shown, text_lines, text_start
from nestree.tasks.text.rows import Cells, Grid
from nestree.tasks.text.table_style import TableStyle

LONGEST_ROW = 2**24
"""Maximal length of a row with several lines, characters."""

MOST_LINES = 10**6
"""Maximal number of lines of a row."""

MERE_QUOTES = "false treats quotes as ordinary characters"
"""Hint for a quote in an unexpected place."""

COMMON = ",;\t|"
"""Delimiters that are tried if the columns are not found."""

TRIED = 50
"""Number of lines that must have equally many columns for a delimiter to be chosen without a header."""

_CLOSED = re.compile(r'"(?:[^"]|"")*"')
_SEP = re.compile(r"sep=([^\r\n])\r?\n?", re.IGNORECASE)


class Delimited(Grid):
    """A CSV or TSV file; a first line ``sep=;``, as Excel writes it, gives the delimiter and is no row."""

    advice = "; a field that contains a delimiter or a line break must be in double quotes"

    def __init__(self, path: Path, style: TableStyle, kind: str, encoding: str) -> None:
        super().__init__(shown(path), header=style.header)
        self.path = path
        self.style = style
        self.kind = kind
        self.encoding = encoding
        self._chosen: str | None = None

    @property
    def delimiter(self) -> str:
        """Character between columns."""
        if self.style.delimiter is not None:
            return self.style.delimiter
        if (found := _SEP.fullmatch(self.sep_line)) is not None:
            return found[1]
        return self._chosen or ("\t" if self.kind == "tsv" else ",")

    @cached_property
    def sep_line(self) -> str:
        """The first line, with its end, if it is ``sep=`` and a delimiter; else empty."""
        start = text_start(self.path, self.encoding, 1)
        return start[0] if start and _SEP.fullmatch(start[0]) else ""

    @cached_property
    def quotes(self) -> bool:
        """Whether fields may be in double quotes.

        If the style does not say so, a TSV file has no quoted fields if all of its lines have the same number of
        columns, and some field begins with a quote that is not closed.
        """
        if self.style.quotes is not None or self.kind != "tsv":
            return self.style.quotes is not False
        width, open_quote = None, False
        for _, line in self._lines():
            fields = line.rstrip("\r\n").split(self.delimiter)
            width = width or len(fields)
            if len(fields) != width and line.strip():
                return True
            open_quote |= any(field[:1] == '"' and not _CLOSED.fullmatch(field) for field in fields)
        return not open_quote

    def fitting_delimiters(self, fits: Callable[[tuple[str, ...]], bool]) -> list[str]:
        """Return the common delimiters that separate columns with names that ``fits`` accepts.

        All but the present one must find at least two columns. Without a header, the first rows must also have the same
        number of columns.
        """
        before, present, found = self._chosen, self.delimiter, []
        for delimiter in COMMON:
            self.use(delimiter)
            with suppress(UserError):  # the first row cannot be read this way
                several = len(self.columns) > 1 or delimiter == present
                if several and fits(self.columns) and (self.header or self.is_even()):
                    found.append(delimiter)
        self.use(before)
        return found

    def use(self, delimiter: str | None) -> None:
        """Use a delimiter unless the style or the file names one; None: the one of the format."""
        self._chosen = delimiter
        for name in ("first", "quotes"):
            vars(self).pop(name, None)  # cached

    def is_even(self) -> bool:
        """Return whether the first rows can be read and have the same number of columns."""
        width = len(self.first.cells)
        try:
            return all(len(row.cells) == width for row in islice(self.rows(), TRIED))
        except OptionError:  # of quotes
            return False

    def rows(self) -> Iterator[Cells]:
        """Yield all rows; blank lines are left out.

        Raises:
            UserError: a row cannot be read; names file and line.
        """
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        taken: list[str] = []
        size = 0

        def lines() -> Iterator[str]:
            nonlocal size
            for _, line in self._lines():
                taken.append(line)
                size += len(line)
                if len(taken) > MOST_LINES or (len(taken) > 1 and size > LONGEST_ROW):
                    problem = f"{where}: the row spans {len(taken):,} lines; is a quote left open?"
                    raise OptionError("quotes", MERE_QUOTES, problem=problem)
                yield line

        quoting = {} if self.quotes else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        reader = csv.reader(lines(), delimiter=self.delimiter, strict=True, **quoting)
        above = 1 + bool(self.sep_line)
        while True:
            taken.clear()
            size = 0
            where = f"{self.shown}:{reader.line_num + above}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _unreadable(where, str(error), self.kind) from None
            if cells:
                yield Cells(where, cells, "".join(taken))

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield (number, line with its end) of the lines below ``sep=``."""
        lines = text_lines(self.path, self.encoding)
        if self.sep_line:
            next(lines)
        return lines


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
