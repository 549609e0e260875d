"""The answer in a row of a table: one label, several labels, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nestree.data.text import normal
from nestree.errors import OptionError, UserError
from nestree.tasks.target import SEPARATOR, Kind
from nestree.tasks.text.record import Record, text_of

Answer = str | tuple[str, ...] | float

YES = ("1", "1.0", "true", "yes")
NO = ("", "0", "0.0", "false", "no")
"""Cells of a column per label, in lower case."""


@dataclass(frozen=True)
class AnswerColumns:
    """The columns of a table that have its answers."""

    kind: Kind
    columns: tuple[str, ...]
    """One column; or, for several labels, a column per label."""
    names: tuple[str, ...] = ()
    """The labels that these columns are for, as the options name them."""
    separator: str | None = None
    """What separates several labels in a cell of one column."""

    def read(self, record: Record) -> Answer | None:
        """Return the answer of a row; None if it has none.

        Raises:
            UserError: a cell is not what its column should have; names file, row and column.
        """
        if self.kind == "class":
            return _text(record, self.columns[0])
        if self.kind == "number":
            return _number(record, self.columns[0])
        if self.names:
            pairs = zip(self.names, self.columns, strict=True)
            return tuple(name for name, column in pairs if _flag(record, column))
        return self._several(record, self.columns[0])

    def _several(self, record: Record, column: str) -> tuple[str, ...]:
        value = record.values.get(column)
        if isinstance(value, list | tuple):
            cells = [_cleaned(text_of(one, record.where, column)) for one in value]
        elif self.separator is None:
            cells = [_text(record, column)]
            if cells[0] is not None:
                problem = f"{record.where}: {column!r} is a text"
                raise OptionError("separator", f"must be what is between its labels, such as {SEPARATOR!r}; or "
                    "label must name a column per label, as a,b,c", problem=problem)  # fmt: skip
        else:
            cells = [part.strip() for part in (_text(record, column) or "").split(self.separator)]
        return tuple(dict.fromkeys(cell for cell in cells if cell))


def label_columns(label: str, *, several: bool, columns: Sequence[str] | None = None) -> list[str]:
    """Return the columns that the option ``label`` names: ``several`` may be separated by commas.

    Args:
        label: the option.
        several: whether it may name several columns.
        columns: columns of a table; a comma in the name of one of them separates nothing.
    """
    if not several or label in (columns or ()):
        return [label]
    return [name for part in label.split(",") if (name := part.strip())] or [label]


def _text(record: Record, column: str) -> str | None:
    return _cleaned(text_of(record.values.get(column), record.where, column))


def _cleaned(text: str | None) -> str | None:
    # Lone surrogates, which JSON may contain, cannot be printed.
    return None if text is None else normal(text.encode("utf-8", "replace").decode()).strip() or None


def _flag(record: Record, column: str) -> bool:
    text = (_text(record, column) or "").lower()
    if text not in (*YES, *NO):
        raise UserError(
            f"{record.where}: {column!r} is {text!r}, but a column per label has 0 or 1, true or false, yes or no, "
            "or nothing"
        )
    return text in YES


def _number(record: Record, column: str) -> float | None:
    text = _text(record, column)
    if text is None:
        return None
    try:
        value = math.inf if "_" in text else float(text)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise UserError(f"{record.where}: {column!r} is {text!r}, not a number such as 3.5")
    return None if math.isnan(value) else value
