"""Quora question pairs: whether two questions have the same meaning."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import beside, count_empty, files_beside, find, first_line, lines

LABELS = ("different", "duplicate")
WHOLE = "quora_duplicate_questions.tsv"
"""The only file of Quora's release."""
GLUE_FILES = {"train": "train.tsv", "test": "dev.tsv"}
"""GLUE's files; the labels of its test.tsv are not public."""
HEADER = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
TEST_EVERY = 20
"""Every 20th pair of Quora's file belongs to the test."""

_ROW_BEGINS = re.compile(r"\d+\t\d+\t\d+\t")


def _find(path: Path) -> Path | None:
    def accept(file: Path) -> bool:
        return _is_header(first_line(file))

    names = [WHOLE, *(GLUE_FILES.values() if path.is_file() else [GLUE_FILES["train"]])]
    return find(path, names, accept=accept)


def _files(found: Path, split: str) -> list[Path]:
    return [found] if found.name == WHOLE else files_beside(found, split, files=GLUE_FILES)


def _read(found: Path, split: str) -> Iterator[Row]:
    """Yield the pairs of GLUE's files, or of Quora's file, where every twentieth pair belongs to the test.

    The split of Quora's file is our own; questions of the test may also be in training pairs.
    """
    whole = found.name == WHOLE
    path = found if whole else beside(found, GLUE_FILES, split)
    rows = _pairs(path)
    if whole:
        rows = (row for place, row in enumerate(rows, start=1) if (place % TEST_EVERY == 0) == (split == "test"))
    return count_empty(rows, path)


def _pairs(path: Path) -> Iterator[Row]:
    for number, record in _records(path):
        where = f"{path}:{number}"
        fields = _fields(record)
        if number == 1:
            if not _is_header(record):
                raise UserError(f"{where}: the first line is not the header {' '.join(HEADER)}, separated by tabs")
            continue
        if len(fields) != len(HEADER):
            raise UserError(f"{where}: {len(fields)} column{'s' * (len(fields) != 1)}; a row has {len(HEADER)}")
        *_, first, second, label = fields
        if label not in ("0", "1"):
            raise UserError(f"{where}: is_duplicate must be 0 or 1, not {label[:20]!r}")
        yield Row((first, second), LABELS[int(label)], where)


def _records(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each row; a quoted question may have several lines.

    A line with three numbers at its start always begins a row, so that an unmatched quotation mark affects only its own
    row. Any other line continues the row before, unless that row was complete after one line.
    """
    begins, parts = 0, list[str]()
    for number, line in lines(path):
        if parts and not _ROW_BEGINS.match(line) and not _complete(begins, parts):
            parts.append(line)
            continue
        if parts:
            yield begins, "\n".join(parts)
        begins, parts = number, [line] if line else []
    if parts:
        yield begins, "\n".join(parts)


def _complete(begins: int, parts: list[str]) -> bool:
    """Whether a row is complete after its first line; rows with more lines are not checked, which takes linear time."""
    if begins == 1:
        return True
    fields = _fields(parts[0]) if len(parts) == 1 else []
    return len(fields) >= len(HEADER) and fields[-1] in ("0", "1")


def _fields(record: str) -> list[str]:
    """Split a row at tabs; quotation marks have their CSV meaning if that gives the right number of columns."""
    if '"' in record:
        try:
            fields = next(csv.reader([record], delimiter="\t", strict=True))
        except csv.Error:
            fields = []
        if len(fields) == len(HEADER):
            return fields
    return record.split("\t")


def _is_header(line: str) -> bool:
    return tuple(line.split("\t")) == HEADER


QQP = Dataset(
    name="qqp",
    about="whether two questions have the same meaning",
    origin=f"{WHOLE} of Quora's release, or train.tsv and dev.tsv of GLUE's QQP",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(None, f"pairs of questions ({TEST_EVERY - 1} in {TEST_EVERY} of {WHOLE})"),
        "test": OfficialSplit(None, f"GLUE's dev.tsv (every {TEST_EVERY}th pair of {WHOLE}, a split of our own)"),
    },
    find=_find,
    files=_files,
    read=_read,
    sides=2,
    held_out=10_000,
)
"""Pairs of questions."""
