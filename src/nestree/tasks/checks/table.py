"""Recognising tables with a header: what is no official format, but can be learnt from as one's own data."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from nestree.tasks.checks.contract import Advance, Format, Found, Report
from nestree.tasks.text.files import first_line, under

_LONGEST_NAME = 1_000
"""Characters of a column's name; what is longer is no header."""

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
    """Say which columns there are; the rows are checked when they are read for training."""
    del advance
    command = f"nestree train classify --data.train {found.place} --data.text COLUMN --data.label COLUMN"
    return Report(
        "the header; rows are verified when it is trained on",
        facts={"columns": ", ".join(columns(found.place)), "train on it": command},
    )


TABLE = Format(
    name="a table, your own data",
    looks=".csv, .tsv or .jsonl with a header",
    find=_find,
    check=_check,
)
"""Any table with a header."""
