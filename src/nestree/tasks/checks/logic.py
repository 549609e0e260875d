"""Checking the files of logical inference."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.checks.tally import Counting, Part, Tally, pieces
from nestree.tasks.logic.formula import RELATIONS
from nestree.tasks.logic.generator import TEST_SIZES, TRAIN_SIZES
from nestree.tasks.logic.reader import read_pairs
from nestree.tasks.official_files import find, first_line

_NAME = re.compile(r"(train|test)([0-9]{1,2})")
_SIZES = {"train": TRAIN_SIZES, "test": TEST_SIZES[:9]}  # test9 to test12 were never published


def _looks(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) and first_line(path)[:2] in [f"{name}\t" for name in RELATIONS]


def _find(path: Path) -> list[Found]:
    """Return the file, or the folder of all files, train before test."""
    if path.is_file():
        return [Found(path, (path,))] if _looks(path) else []
    first = find(path, ["train[0-9]*", "test[0-9]*"], accept=_looks)
    return [] if first is None else [Found(first.parent, sorted(filter(_looks, first.parent.iterdir()), key=_order))]


def _order(path: Path) -> tuple[bool, int]:
    kind, count = _kind_and_count(path)
    return kind == "test", count


def _kind_and_count(path: Path) -> tuple[str, int]:
    name = _NAME.fullmatch(path.name)
    assert name is not None
    return name[1], int(name[2])


def _check(found: Found, advance: Advance) -> Report:
    tally = Tally(Counting({"tokens": pieces}, oddities={}))
    for path in found.files:
        kind, count = _kind_and_count(path)
        size = _SIZES[kind][count] if count < len(_SIZES[kind]) else None
        tally.count(Part(path.name, partial(read_pairs, path), size), lambda part, rows: advance(f"logic {part}", rows))
    return Report(
        "every relation, by truth tables, and the number of operators; parentheses are tokens, as published",
        tally.parts,
        remarks=tally.remarks(),
    )


LOGIC = Format(
    name="logical inference",
    looks="train0, test0, ...: relation TAB left TAB right",
    find=_find,
    check=_check,
)
"""Pairs of formulas."""
