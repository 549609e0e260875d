"""Tables of any format: CSV, TSV, JSON lines, Excel, Parquet, and folders of files, read row by row."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from nestree.errors import OptionError, UserError
from nestree.tasks.official_files import note
from nestree.tasks.text.class_folder import ClassFolder
from nestree.tasks.text.column_names import check_column, column_name, has_column
from nestree.tasks.text.contents import check_content, check_exists
from nestree.tasks.text.delimited import COMMON, Delimited
from nestree.tasks.text.hub_table import SavedDataset, is_saved_dataset
from nestree.tasks.text.json_lines import JsonLines
from nestree.tasks.text.lines import file_encoding, opened, reading, shown
from nestree.tasks.text.parquet import Parquet
from nestree.tasks.text.record import Record, cell_text, text_of
from nestree.tasks.text.rows import Grid, Rows
from nestree.tasks.text.sheet import Sheet
from nestree.tasks.text.table_style import NAMED, TEXT_FORMATS, TableStyle, sheet_of, table_format

__all__ = ["Record", "Table", "TableStyle", "cell_text", "table_format", "text_of"]

_OTHER = {
    ".xls": "save it as .xlsx or CSV",
    ".ods": "save it as .xlsx or CSV",
    ".json": "write one object per line, as .jsonl",
    ".txt": "if its lines are rows, its name must end in .csv or .tsv",
    ".zip": "unpack it",
    ".pkl": "save it as .parquet or CSV",
}
"""What to do with files of other formats, by suffix."""


class Table:
    """A table in a file or folder.

    [`records`][] can be read several times, and only a few rows are in memory at a time.

    Args:
        path: the file, ``FILE.xlsx#SHEET``, a folder of text files per class, or a folder written by ``save_to_disk``
            of Hugging Face's ``datasets``.
        style: encoding and format.
        split: the split, of a folder that has several.

    Raises:
        UserError: it does not exist, its name has no known suffix, or it is something else than its name says.
    """

    def __init__(self, path: str | Path, style: TableStyle | None = None, split: str | None = None) -> None:
        self.path, self.sheet = sheet_of(path)
        self.style = style or TableStyle()
        self.shown = shown(Path(path))
        check_exists(self.path)
        kind = table_format(path)
        if kind is None:
            suffix = self.path.suffix.lower()
            raise UserError(f"{self.shown}: {_OTHER.get(suffix, f'the name must {NAMED}')}")
        if kind != "folder":
            check_content(self.path, kind)
        self.format = kind
        self.rows = self._reader(split)
        self._asked: list[str] = []

    @cached_property
    def encoding(self) -> str:
        """The encoding of the text: the style's, or UTF-16 or UTF-32 if the file is marked so."""
        return file_encoding(self.path, self.style.encoding) if self.format in TEXT_FORMATS else self.style.encoding

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; for JSON lines, the keys of the first object."""
        return self.rows.columns

    @property
    def written(self) -> str:
        """The format of a copy."""
        return "csv" if self.format == "folder" else self.format

    @cached_property
    def marked(self) -> bool:
        """Whether the file begins with UTF-8's byte order mark."""
        with reading(self.path), opened(self.path) as file:
            return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

    def column(self, name: str) -> str:
        """Return a column's name by its name, or by its number, from 1, if no column has this name.

        Raises:
            KeyError: there is no such column.
        """
        return column_name(self.columns, name)

    def check_column(self, name: str, option: str) -> None:
        """Check that there is exactly one column of this name or number, as [`column`][] returns it.

        If there is none, the columns of a CSV or TSV file whose style names no delimiter may be separated by another
        one; it is used from then on, if all columns that were asked for are found with it. Without a header, it also is
        if the rows are of equal width only with it.

        Raises:
            UserError: there is none, or more than one; names ``option`` and lists the columns.
        """
        self._asked.append(name)
        if isinstance(self.rows, Delimited) and self.style.delimiter is None and not self.rows.sep_line:
            self._choose_delimiter(self.rows, name)
        if not has_column(self.columns, name):
            self._explain(name, option)
        check_column(self.columns, name, option, self.shown)

    def records(self) -> Iterator[Record]:
        """Yield the rows; blank lines are skipped.

        Raises:
            UserError: a row cannot be read; names file and line.
        """
        return self.rows.records()

    def digest(self) -> str:
        """Return the SHA-256 of the file, or of what is in the folder."""
        if isinstance(self.rows, ClassFolder | SavedDataset):
            return self.rows.digest()
        with reading(self.path), self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        if self.sheet is not None:
            digest.update(f"#{self.sheet}".encode())
        return digest.hexdigest()

    def _reader(self, split: str | None) -> Rows:
        if self.format == "folder":
            if is_saved_dataset(self.path):
                return SavedDataset(self.path, split)
            return ClassFolder(self.path, self.style.encoding)
        if self.format == "xlsx":
            return Sheet(self.path, self.sheet, header=self.style.header)
        if self.format == "parquet":
            return Parquet(self.path)
        if self.format == "jsonl":
            return JsonLines(self.path, self.encoding)
        return Delimited(self.path, self.style, self.format, self.encoding)

    def _choose_delimiter(self, rows: Delimited, name: str) -> None:
        """Use another delimiter if only with that one all columns that were asked for are found, and say so.

        Raises:
            UserError: there is no header, and the rows could be separated in several ways.
        """
        with suppress(OptionError):  # of quotes, which are in unexpected places with a wrong delimiter
            if rows.header and has_column(rows.columns, name):
                return
        found = rows.fitting_delimiters(lambda names: all(has_column(names, asked) for asked in self._asked))
        if rows.delimiter in found and (rows.kind == "tsv" or len(rows.columns) == 1):
            return
        names = ["a tab" if delimiter == "\t" else repr(delimiter) for delimiter in found]
        if not rows.header and len(found) > 1:
            problem = f"{self.shown}: the columns may be separated by {' or '.join(names)}"
            raise OptionError("delimiter", "must say which", problem=problem)
        if len(found) == 1 and found[0] != rows.delimiter:
            rows.use(found[0])
            note(f"{self.shown}: columns are separated by {names[0]}, as no delimiter is named")

    def _explain(self, name: str, option: str) -> None:
        """Raise a UserError for a missing column if its likely reason is the delimiter, or that there is no header."""
        if not isinstance(self.rows, Grid):
            return
        columns = self.columns
        problem = f"{self.shown}: there is no column {name!r}"
        sign = next((sign for sign in COMMON if len(columns) == 1 and sign in columns[0]), None)
        if isinstance(self.rows, Delimited) and sign is not None:
            sign = "tab" if sign == "\t" else sign
            raise OptionError(
                "delimiter", f"{sign!r} may separate the columns", problem=f"{problem}, only {columns[0]!r}"
            )
        if not self.style.header:
            reason = f"must be the number of a column of {self.shown}, 1 to {len(columns)}, as it has no header"
            raise OptionError(option, f"{reason}, not {name!r}")
        if self.rows.first_is_data():
            start = ", ".join(columns)
            problem += f", and the first row looks like data ({start[:60]}{'...' * (len(start) > 60)})"
            raise OptionError("header", f"false reads it so; columns are then 1 to {len(columns)}", problem=problem)
