"""Copies of Excel sheets and Parquet files with additional columns; values keep their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from nestree.errors import UserError
from nestree.tasks.text.parquet import BATCH, Parquet
from nestree.tasks.text.record import Record
from nestree.tasks.text.sheet import needed

if TYPE_CHECKING:
    from nestree.tasks.text.table import Table


class SheetWriter:
    """A workbook with one sheet: the values of a sheet, without its formatting and formulas."""

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        self._book = needed("openpyxl", table.shown).Workbook(write_only=True)
        self._sheet = self._book.create_sheet(table.sheet)
        self._file = file
        if table.style.header:
            self._write([*table.columns, *names], "the header")

    def row(self, record: Record, values: Sequence[str | float | None]) -> None:
        """Write a row.

        Raises:
            UserError: a value has a character that a workbook cannot have.
        """
        self._write([*record.values.values(), *values], record.where)

    def close(self) -> None:
        """Write the workbook, which is in memory until then."""
        self._book.save(self._file)

    def _write(self, values: Sequence[Any], where: str) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.utils.exceptions import IllegalCharacterError

        cells = []
        for value in values:
            try:
                cell = WriteOnlyCell(self._sheet, value)
            except IllegalCharacterError:
                raise UserError(f"{where}: {value!r} cannot be written in a workbook; write CSV") from None
            if isinstance(value, str):
                cell.data_type = "s"  # also a text that begins with =, which is not a formula
            cells.append(cell)
        self._sheet.append(cells)


class ParquetWriter:
    """A Parquet file with the schema of the table, and columns of texts or numbers at the end."""

    def __init__(self, table: Table, file: IO[bytes], names: Sequence[str]) -> None:
        assert isinstance(table.rows, Parquet)
        self._schema = table.rows.schema
        self._width = len(self._schema)
        self._names = names
        self._file = file
        self._writer: Any = None
        self._held: list[list[Any]] = []

    def row(self, record: Record, values: Sequence[str | float | None]) -> None:
        """Write a row; an empty string in an additional column becomes null."""
        self._held.append([*record.values.values(), *values])
        if len(self._held) == BATCH:
            self._flush()

    def close(self) -> None:
        """Write the rows that are held back, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow.parquet import ParquetWriter as Writer

        columns = list(zip(*self._held, strict=True)) or [()] * (self._width + len(self._names))
        self._held = []
        added = [[None if value == "" else value for value in values] for values in columns[self._width :]]
        if self._writer is None:
            for name, values in zip(self._names, added, strict=True):
                is_number = any(isinstance(value, float) for value in values)
                kind = pyarrow.float64() if is_number else pyarrow.string()
                self._schema = self._schema.append(pyarrow.field(name, kind))
            self._writer = Writer(self._file, self._schema)
        arrays = [
            pyarrow.array(values, field.type)
            for values, field in zip([*columns[: self._width], *added], self._schema, strict=True)
        ]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
