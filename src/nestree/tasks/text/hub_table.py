"""Datasets of the Hugging Face Hub, or saved by Hugging Face's library, which reads them (``nestree[hub]``)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from nestree.errors import UserError
from nestree.tasks.text.column_names import check_column, column_name
from nestree.tasks.text.lines import shown
from nestree.tasks.text.record import Record

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
        """Check that there is a column of this name or number.

        Raises:
            UserError: there is no such column; names ``option``.
        """
        check_column(self.columns, name, option, self.shown)

    def column(self, name: str) -> str:
        """Return a column's name by its name or number."""
        return column_name(self.columns, name)

    def records(self) -> Iterator[Record]:
        """Yield the rows, with classes as names; a negative class is None."""
        yield from dataset_records(self._data, self.shown)

    def digest(self) -> str:
        """Return a digest of the content, SHA-256 of the library's fingerprint."""
        return dataset_digest(self._data)

    @cached_property
    def _data(self) -> Any:
        datasets = _library(self.shown)
        try:
            return datasets.load_dataset(self.name, self.config, split=self.split)
        except Exception as error:  # dozens of types, of network, files and names
            raise UserError(f"{self.shown}: cannot be loaded ({_reason(error)})") from None


class SavedDataset:
    """A folder that was written by ``save_to_disk`` of Hugging Face's library, for one or several splits.

    Args:
        path: the folder.
        split: the split, if the folder has several.
    """

    def __init__(self, path: Path, split: str | None) -> None:
        self.path = path
        self.split = split
        self.shown = shown(path)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._data.column_names)

    def records(self) -> Iterator[Record]:
        """Yield the rows, with classes as names; a negative class is None."""
        yield from dataset_records(self._data, self.shown)

    def digest(self) -> str:
        """Return a digest of the content, SHA-256 of the library's fingerprint."""
        return dataset_digest(self._data)

    @cached_property
    def _data(self) -> Any:
        datasets = _library(self.shown)
        try:
            data = datasets.load_from_disk(str(self.path))
        except Exception as error:  # of files, JSON and Arrow
            raise UserError(f"{self.shown}: cannot be loaded ({_reason(error)})") from None
        if not isinstance(data, dict):
            return data
        if self.split not in data:
            problem = f"has no split {self.split!r}" if self.split else "has several splits"
            there = ", ".join(str(self.path / name) for name in data) or "nothing"
            raise UserError(f"{self.shown}: {problem}; name the folder of one: {there}")
        return data[self.split]


def is_saved_dataset(path: Path) -> bool:
    """Return whether a folder was written by ``save_to_disk``."""
    return (path / "dataset_dict.json").is_file() or all(
        (path / name).is_file() for name in ("dataset_info.json", "state.json")
    )


def dataset_records(data: Any, name: str) -> Iterator[Record]:
    """Yield the rows of a dataset, with classes as names; a negative class is None."""
    names = {key: kind.names for key, kind in data.features.items() if hasattr(kind, "names")}
    for number, row in enumerate(data):
        values = dict(row)
        for key, classes in names.items():
            value = values[key]
            values[key] = None if value is None or value < 0 else classes[value]
        yield Record(values, f"{name}:{number}")


def dataset_digest(data: Any) -> str:
    """Return a digest of a dataset's content, SHA-256 of the library's fingerprint."""
    return hashlib.sha256(str(data._fingerprint).encode()).hexdigest()


def _library(name: str) -> Any:
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(f"{name}: needs Hugging Face datasets: pip install 'nestree[hub]'") from None
    return datasets


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
