"""Checking ListOps files, with either order of columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from nestree.tasks.base import Row
from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.checks.tally import Counting, Part, Tally, pieces
from nestree.tasks.listops.expression import OPERATORS, VOCABULARY
from nestree.tasks.listops.reader import verified_rows
from nestree.tasks.official_files import first_line, under

SIZES = {
    "train_d20s.tsv": 90_000,
    "test_d20s.tsv": 10_000,
    "basic_train.tsv": 96_000,
    "basic_val.tsv": 2_000,
    "basic_test.tsv": 2_000,
}
"""Number of rows of the official files of ListOps, and of the Long Range Arena."""

_HEADERS = ("source\ttarget", "target\tsource")
_OPERATOR = re.compile(r"\[(MIN|MAX|MED|SM) ")
_DIGITS = re.compile(r"[0-9]\t[0-9]")
_SUFFIXES = (".tsv", ".txt")


def _looks(path: Path) -> bool:
    """Whether the first row, which may be damaged, has an operator, or is a digit and its label."""
    line = first_line(path)
    row = first_line(path, behind=1) if line.lower() in _HEADERS else line
    return bool(_OPERATOR.search(row) or (_DIGITS.fullmatch(row) and path.suffix in _SUFFIXES))


def _find(path: Path) -> list[Found]:
    """Return the file, or the files of each folder."""
    if path.is_file():
        return [Found(path, (path,))] if _looks(path) else []
    files = (file for file in under(path) if file.suffix in _SUFFIXES and _looks(file))
    return [Found(folder, tuple(some)) for folder, some in groupby(files, lambda file: file.parent)]


def _rows(path: Path) -> Iterator[Row]:
    for where, tokens, label in verified_rows(path):
        yield Row((" ".join(VOCABULARY[token] for token in tokens),), str(label), where)


def _root(row: Row) -> str:
    first = row.texts[0].split(maxsplit=1)[0]
    return first if first in OPERATORS else "digit"


def _depth(row: Row) -> int:
    """Return the maximal number of nested operators."""
    deepest = opened = 0
    for token in row.texts[0].split():
        opened += token[0] == "["
        opened -= token == "]"
        deepest = max(deepest, opened)
    return deepest


def _check(found: Found, advance: Advance) -> Report:
    counting = Counting({"tokens": pieces, "depth": _depth}, {"root": _root}, oddities={})
    tally = Tally(counting)
    for path in found.files:
        size = SIZES.get(path.name)
        tally.count(Part(path.name, partial(_rows, path), size), lambda part, rows: advance(f"listops {part}", rows))
    return Report(
        "every label, by evaluating its expression; parentheses match",
        tally.parts,
        remarks=tally.remarks(),
    )


LISTOPS = Format(
    name="ListOps",
    looks="label TAB expression; or expression TAB label, with the header Source TAB Target",
    find=_find,
    check=_check,
)
"""ListOps, and the Long Range Arena's."""
