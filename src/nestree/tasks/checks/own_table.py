"""Recognising tables with a header: what is no official format, but can be learnt from as one's own data."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from nestree.errors import UserError, within
from nestree.tasks.base import SECTION
from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.official_files import first_line, under
from nestree.tasks.text.table import Table

_LONGEST_NAME = 1_000
"""Characters of a column's name; what is longer is no header."""

MOST_DIFFERENT = 1_000
"""Values of a column that are told apart, at most."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson")
_NUMBER = re.compile(r"[-+.0-9eE\s]*")


def columns(path: Path) -> list[str]:
    """Return the columns that the first line names; nothing if it names none, or fewer than two."""
    line = first_line(path, most=2**24)  # JSON has the texts of the first row in it
    if path.suffix in _JSON:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return []
        names = list(row) if isinstance(row, dict) else []
    else:
        try:
            names = next(csv.reader([line], delimiter=_DELIMITERS[path.suffix]), [])
        except csv.Error:
            return []
    named = len(set(names)) == len(names) > 1 and not any(
        _NUMBER.fullmatch(name) or len(name) > _LONGEST_NAME for name in names
    )
    return names if named else []


def _find(path: Path) -> list[Found]:
    files = [path] if path.is_file() else under(path)
    return [Found(file, (file,)) for file in files if file.suffix in (*_DELIMITERS, *_JSON) and columns(file)]


def _check(found: Found, advance: Advance) -> Report:
    """Read every row, and count what is in each column: which of them are texts and labels only the user knows."""
    table = Table(found.place)
    rows = 0
    with within(SECTION):  # its options are those of the training that the report proposes
        counted = {name: _Column() for name in table.columns}
        for rows, record in enumerate(table.records(), start=1):
            for name, column in counted.items():
                column.add(record.values.get(name))
            if rows % 500 == 0:
                advance(found.place.name, rows)
    if not rows:
        raise UserError(f"{table.shown}: has no rows")
    command = f"nestree train classify --data.train {found.place} --data.text COLUMN --data.label COLUMN"
    return Report(
        "every row: its encoding, quotes and number of columns",
        facts={
            "rows": f"{rows:,}",
            **{f"column {name}": str(column) for name, column in counted.items()},
            "train on it": command,
        },
    )


class _Column:
    """What is in a column: few different values may be labels."""

    def __init__(self) -> None:
        self.empty = 0
        self.different: set[int] = set()

    def add(self, value: object) -> None:
        if value is None or not str(value).strip():
            self.empty += 1
        elif len(self.different) <= MOST_DIFFERENT:
            self.different.add(hash(str(value)))

    def __str__(self) -> str:
        over = len(self.different) > MOST_DIFFERENT
        different = f"over {MOST_DIFFERENT:,}" if over else f"{len(self.different):,}"
        values = "value" if different == "1" else "values"
        return f"{different} different {values}, {self.empty or 'none'} empty"


TABLE = Format(
    name="a table, your own data",
    looks=".csv, .tsv or .jsonl with a header",
    find=_find,
    check=_check,
)
"""Any table with a header."""
