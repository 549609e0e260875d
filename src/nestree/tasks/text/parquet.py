"""Parquet files, read with pyarrow (install ``nestree[tables]``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from nestree.errors import UserError
from nestree.tasks.text.lines import shown
from nestree.tasks.text.record import Record
from nestree.tasks.text.rows import check_width
from nestree.tasks.text.sheet import needed

BATCH = 1024
"""Number of rows in memory at a time, besides what pyarrow reads ahead."""


LARGEST_BATCH = 2**28
"""Maximal size of these rows, bytes: values that are repeated take no room in a file."""


class Parquet:
    """A Parquet file; rows are numbered from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = shown(path)

    @cached_property
    def schema(self) -> Any:
        """The Arrow schema."""
        with self._opened() as file:
            found = file.schema_arrow
        check_width(found.names, self.shown)
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.schema.names)

    def records(self) -> Iterator[Record]:
        """Yield the rows.

        Raises:
            UserError: the file cannot be read.
        """
        names, number = self.columns, 0
        with self._opened() as file:
            batches = file.iter_batches(batch_size=BATCH)
            while True:
                with self._readable():
                    batch = next(batches, None)
                    if batch is None:
                        return
                    if batch.nbytes > LARGEST_BATCH:
                        large = f"rows {number + 1}-{number + len(batch)} have more than {LARGEST_BATCH >> 20} MB"
                        raise UserError(f"{self.shown}: {large}")
                    values = [column.to_pylist() for column in batch.columns]
                for row in zip(*values, strict=True):
                    number += 1
                    yield Record(dict(zip(names, row, strict=True)), f"{self.shown}:{number}")

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        parquet = needed("pyarrow.parquet", self.shown)
        with self._readable():
            file = parquet.ParquetFile(self.path)
        try:
            yield file
        finally:
            file.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except UserError:
            raise
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{self.shown}: is damaged, or no Parquet file ({reason[:200]})") from None
