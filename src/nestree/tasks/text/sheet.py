"""Excel workbooks, read with openpyxl (install ``nestree[tables]``)."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nestree.data.files import unpacking
from nestree.errors import UserError
from nestree.tasks.text.lines import reading, shown
from nestree.tasks.text.rows import Cells, Grid

UNPACKED = 2**25
"""Size up to which a file in a workbook may be compressed by any ratio, bytes."""

RATIO = 100
"""Highest ratio of a larger file to its compressed size; that of a real sheet is 10 to 30."""


class Sheet(Grid):
    """A sheet of an .xlsx workbook: the first one, unless another is named; empty rows are skipped.

    Whole numbers are integers, as Excel knows only one type of number and shows no decimals. Dates at midnight have no
    time. Cells with formulas have the value that was saved with them, and those with an error are empty.
    """

    def __init__(self, path: Path, sheet: str | None, *, header: bool) -> None:
        super().__init__(shown(path) + (f"#{sheet}" if sheet else ""), header=header)
        self.path = path
        self.sheet = sheet

    def rows(self) -> Iterator[Cells]:
        """Yield all rows that are not empty; later ones are as wide as the first, if their further cells are empty.

        Raises:
            UserError: the workbook cannot be read, or has no sheet of this name.
        """
        openpyxl = needed("openpyxl", self.shown)
        with reading(self.path), self.path.open("rb") as file:
            check_packing(self.path, self.shown)
            with _readable(self.shown), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and extensions, which do not matter here
                book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = self._sheet(book)
            sheet.reset_dimensions()  # some programs write wrong ones, and cells outside would be left out
            width = 0
            for number, row in _all(sheet.iter_rows(), self.shown):
                cells = [_value(cell) for cell in row]
                while len(cells) > width and cells[-1] is None:
                    cells.pop()
                if any(cell is not None for cell in cells):
                    width = width or len(cells)
                    yield Cells(f"{self.shown}:{number}", cells + [None] * (width - len(cells)))

    def _sheet(self, book: Any) -> Any:
        names = [sheet.title for sheet in book.worksheets]
        if self.sheet is None and names:
            return book.worksheets[0]
        if self.sheet not in names:
            raise UserError(f"{self.shown}: there is no sheet {self.sheet!r}, only {', '.join(names) or 'charts'}")
        return book.worksheets[names.index(self.sheet)]


def check_packing(path: Path, name: str) -> None:
    """Check how much a workbook, a zip archive of XML, contains; openpyxl reads some of its files whole.

    Raises:
        UserError: it cannot be read, or is compressed more than any table can be.
    """
    with unpacking(name), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        if member.file_size > max(UNPACKED, RATIO * member.compress_size):
            size = f"{member.filename} has {member.file_size >> 20:,} MB, packed into {member.compress_size >> 10:,} KB"
            raise UserError(f"{name}: {size}; at most {RATIO} to 1 is read")


def needed(module: str, name: str) -> Any:
    """Import a module of the extra ``tables``.

    Raises:
        UserError: it is not installed; names the table that needs it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise UserError(f"{name}: needs {library}: pip install 'nestree[tables]'") from None


def _value(cell: Any) -> Any:
    value = cell.value
    if cell.data_type == "e" or value == "":
        return None
    if isinstance(value, float):
        value = float(f"{value:.15g}")  # the digits that Excel shows at most
        return int(value) if value.is_integer() else value
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date()
    return value


def _all(rows: Iterator[Any], name: str) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a sheet with their numbers; errors of reading name the workbook."""
    numbered = enumerate(rows, start=1)
    while True:
        with _readable(name):
            found = next(numbered, None)
        if found is None:
            return
        yield found


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of zip files, of XML, and of whatever a damaged workbook leads to
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"{name}: is damaged, or no workbook that openpyxl can read ({reason[:200]})") from None
