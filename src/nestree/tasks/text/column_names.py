"""Columns by name, or by number."""

from __future__ import annotations

from collections.abc import Sequence

from nestree.errors import OptionError
from nestree.suggest import unknown


def column_name(columns: Sequence[str], name: str) -> str:
    """Return the name of a column by its name, or by its number, from 1, if no column has this name.

    Raises:
        KeyError: there is no such column.
    """
    if name in columns:
        return name
    if name.isdecimal() and name.isascii() and 1 <= int(name) <= len(columns):
        return columns[int(name) - 1]
    raise KeyError(name)


def has_column(columns: Sequence[str], name: str) -> bool:
    """Return whether there is a column of this name or number."""
    try:
        column_name(columns, name)
    except KeyError:
        return False
    return True


def check_column(columns: Sequence[str], name: str, option: str, table: str) -> None:
    """Check that there is exactly one column of this name or number.

    Raises:
        UserError: there is none, or more than one; names ``option`` and lists the columns.
    """
    if not has_column(columns, name):
        hint = unknown("column", name, columns)
        there = f" (there are {', '.join(columns)})" if "did you mean" in hint else ""
        raise OptionError(option, f"must name a column of {table}: {hint}{there}")
    name = column_name(columns, name)
    if (count := columns.count(name)) > 1:
        raise OptionError(option, f"must name one column: {table} has {count} columns {name!r}")
