"""Rows of a table, and their values as text."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nestree.errors import UserError


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table."""

    values: Mapping[str, Any]
    """Values by column, see [`text_of`][]; JSON numbers are strings as written, null is None."""
    where: str
    """File, and line or number of the row."""
    raw: str = ""
    """The row as written in a text file, with its line end."""


def text_of(value: Any, where: str, column: str) -> str | None:
    """Return a value as text: numbers as Python writes them, dates as ISO 8601; None and NaN are None.

    Raises:
        UserError: the value is a list, an object or bytes.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value != value:
        return None  # pandas writes missing values so
    if isinstance(value, datetime.date | datetime.time):  # and datetime, which is a date
        return value.isoformat()
    if isinstance(value, list | tuple | Mapping | bytes):
        kind = "a list" if isinstance(value, list | tuple) else "bytes" if isinstance(value, bytes) else "an object"
        raise UserError(f"{where}: {column!r} is {kind}, not a text")
    return str(value)


def cell_text(record: Record, column: str) -> str:
    """Return a text of a row; null becomes an empty string.

    Raises:
        UserError: a JSON object does not have this key, or its value is not a text.
    """
    if column not in record.values:
        raise UserError(f"{record.where}: has no {column!r}, only {', '.join(record.values) or 'nothing'}")
    return text_of(record.values[column], record.where, column) or ""
