"""Datasets of the Hugging Face Hub by name, read with Hugging Face's library (install ``nestree[hub]``)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from nestree.errors import OptionError, UserError
from nestree.suggest import unknown
from nestree.tasks.text.table import Record

PREFIX = "hf:"
"""Prefix that distinguishes names on the Hub from files."""

_NAME = re.compile(r"hf:(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<split>.+))?")


class HubTable:
    """A split of a dataset, ``hf:NAME``, ``hf:NAME:CONFIG`` or ``hf:NAME:CONFIG@SPLIT``; it is used like a table.

    Code in the dataset's repository is never run; datasets that need it are refused. Nothing is fetched before the rows
    or columns are read.

    Args:
        address: address of the dataset.
        split: the split, unless the address has one.

    Raises:
        UserError: the address has another form.
    """

    def __init__(self, address: str, split: str) -> None:
        found = _NAME.fullmatch(address)
        if found is None:
            raise UserError(
                f"{address}: a dataset on the Hub is written hf:NAME, hf:NAME:CONFIG or hf:NAME:CONFIG@SPLIT"
            )
        self.name, self.config, self.split = found["name"], found["config"], found["split"] or split
        self.shown = address if found["split"] else f"{address}@{split}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._data.column_names)

    def check_column(self, name: str, option: str) -> None:
        """Check that there is a column of this name.

        Raises:
            UserError: there is no such column; names ``option``.
        """
        if name not in self.columns:
            raise OptionError(option, f"must name a column of {self.shown}: {unknown('column', name, self.columns)}")

    def records(self) -> Iterator[Record]:
        """Yield the rows, with classes as names; a negative class is None."""
        names = {key: kind.names for key, kind in self._data.features.items() if hasattr(kind, "names")}
        for number, row in enumerate(self._data):
            values = dict(row)
            for key, classes in names.items():
                value = values[key]
                values[key] = None if value is None or value < 0 else classes[value]
            yield Record(values, f"{self.shown}:{number}")

    def digest(self) -> str:
        """Return a digest of the content, SHA-256 of the library's fingerprint."""
        return hashlib.sha256(str(self._data._fingerprint).encode()).hexdigest()

    @cached_property
    def _data(self) -> Any:
        try:
            import datasets  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(f"{self.shown}: needs Hugging Face datasets: pip install 'nestree[hub]'") from None
        try:
            return datasets.load_dataset(self.name, self.config, split=self.split)
        except Exception as error:  # dozens of types, of network, files and names
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{self.shown}: cannot be loaded ({reason[:300]})") from None
