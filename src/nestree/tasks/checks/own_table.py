"""Checking tables with a header, which can be used as one's own data."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from nestree.consoles import quoted
from nestree.errors import UserError, within
from nestree.tasks.base import SECTION
from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.official_files import first_line, under
from nestree.tasks.text.table import Table

_LONGEST_NAME = 1_000
"""Maximal length of a column's name, characters; longer ones are not a header."""

MOST_DIFFERENT = 1_000
"""Maximal number of different values that are counted per column."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = (".jsonl", ".ndjson")
_NUMBER = re.compile(r"[-+.0-9eE\s]*")


def columns(path: Path) -> list[str]:
    """Return the names of the columns; empty if the first line is not a header with at least two."""
    line = first_line(path, most=2**24)  # for JSON lines, it contains the texts of the first row
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
    """Read every row, and count the values of each column; only the user knows which are texts and labels."""
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
    command = f"nestree train classify --data.train {quoted(found.place)} --data.text COLUMN --data.label COLUMN"
    return Report(
        "encoding, quotes and number of columns of every row",
        facts={
            "rows": f"{rows:,}",
            **{f"column {name}": str(column) for name, column in counted.items()},
            "train on it": command,
        },
    )


class _Column:
    """Counts of a column; a column with few different values may be the labels."""

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
