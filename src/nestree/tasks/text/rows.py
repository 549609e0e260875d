"""What the readers of tables have in common: rows by column, from rows of cells with or without a header."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, Protocol

from nestree.errors import UserError
from nestree.tasks.text.record import Record, text_of

MOST_COLUMNS = 10_000
"""Maximal number of columns of a table."""


def check_width(columns: Sequence[object], where: str) -> None:
    """Check the number of columns of a table.

    Raises:
        UserError: there are more than [`MOST_COLUMNS`][].
    """
    if len(columns) > MOST_COLUMNS:
        raise UserError(f"{where}: {len(columns):,} columns; a table has at most {MOST_COLUMNS:,}")


class Rows(Protocol):
    """The rows of a table of some format."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield the rows; they can be read several times."""
        ...


class Cells(NamedTuple):
    """One row of cells, the header too."""

    where: str
    """File, and line where the row begins."""
    cells: list[Any]
    raw: str = ""
    """The row as written in a text file, with its line end."""


class Grid(ABC):
    """Rows of cells, the first of which is the header unless ``header`` is false.

    Without a header, the names of the columns are their numbers, from 1.
    """

    advice = ""
    """What to do if a row has another number of cells than the first one."""

    def __init__(self, shown: str, *, header: bool) -> None:
        self.shown = shown
        self.header = header

    @abstractmethod
    def rows(self) -> Iterator[Cells]:
        """Yield all rows, without blank lines."""

    @cached_property
    def first(self) -> Cells:
        """The first row."""
        for row in self.rows():
            check_width(row.cells, row.where)
            return row
        raise UserError(f"{self.shown}: is empty")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        row = self.first
        if not self.header:
            return tuple(str(number) for number in range(1, len(row.cells) + 1))
        return tuple((text_of(cell, row.where, "the header") or "").strip() for cell in row.cells)

    def records(self) -> Iterator[Record]:
        """Yield the rows below the header; lines of spaces alone are skipped.

        Raises:
            UserError: a row cannot be read, or has another number of cells; names file and line.
        """
        columns = self.columns
        rows = self.rows()
        if self.header:
            next(rows)
        for where, cells, raw in rows:
            if len(cells) < len(columns) and not raw.strip(" \r\n"):
                continue
            if len(cells) != len(columns):
                count = f"{len(cells)} column{'s' * (len(cells) != 1)}"
                first = "header" if self.header else "first row"
                raise UserError(f"{where}: {count}, the {first} has {len(columns)}{self.advice}")
            yield Record(dict(zip(columns, cells, strict=True)), where, raw)

    def first_is_data(self) -> bool:
        """Return whether the header looks like a row of data.

        It does if one of its cells is a number or a sentence, or occurs in the same column in one of the next rows.
        """
        names = self.columns
        if names == tuple(str(number) for number in range(len(names))):
            return False  # pandas names columns so
        if any(_is_number(name) or len(name.split()) > 4 for name in names):
            return True
        for row in islice(self.rows(), 1, 100):
            if any(str(cell).strip() == name != "" for cell, name in zip(row.cells, names, strict=False)):
                return True
        return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
