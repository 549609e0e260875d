"""Reading the official files of logical inference, ``trainN`` and ``testN``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Row
from nestree.tasks.logic.formula import EVERYWHERE, RELATIONS, operators, relation, truth_table
from nestree.tasks.official_files import columns, find, first_line, lines

LAST = 12
"""Number of operators of the last file, which also has pairs with more."""

_NAME = re.compile(r"(train|test)(\d+)")


def find_files(path: Path) -> Path | None:
    """Return the folder of the official files at or below ``path``; None if there is none."""
    found = find(path, ["train6", "test6"], accept=lambda file: first_line(file)[:1] in RELATIONS)
    return None if found is None else found.parent


def read_pairs(path: Path) -> Iterator[Row]:
    """Yield the rows ``relation TAB left TAB right`` of a file.

    Each row is checked: the truth tables must have this relation, and the longer side must have as many operators as
    the file's name says.

    Raises:
        UserError: a row is damaged or wrong; names the line.
    """
    name = _NAME.fullmatch(path.name)
    wanted = int(name[2]) if name else None
    for number, line in lines(path):
        where = f"{path}:{number}"
        label, left, right = columns(line, 3, where)
        try:
            tables = truth_table(left), truth_table(right)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        if not all(0 < table < EVERYWHERE for table in tables):
            raise UserError(f"{where}: a side is always true or always false, which no relation is defined for")
        if label != (right_label := relation(*tables)):
            raise UserError(f"{where}: the relation is {label[:20]!r}, but the truth tables show {right_label!r}")
        count = max(operators(left), operators(right))
        if wanted is not None and count != wanted and not count >= wanted >= LAST:
            raise UserError(f"{where}: the longer side has {count} operators; {path.name} is for {wanted}")
        yield Row((left, right), label, where)
