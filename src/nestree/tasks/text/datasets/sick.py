"""SICK (Marelli et al. 2014): whether one sentence follows from another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import columns, count_empty, find, first_line, lines
from nestree.tasks.text.datasets.parses import words_of

LABELS = ("entailment", "neutral", "contradiction")
WHOLE = "SICK.txt"
"""File with all three splits, which its column SemEval_set names."""

_PARTS = {"train": "train", "validation": "trial", "test": "test"}
_NAMES = ("SICK_{}_parsed.txt", "SICK_{}.txt", "SICK_{}_annotated.txt")
_COLUMNS = ("entailment_judgment", "sentence_A", "sentence_B")
_SET = "SemEval_set"


def _find(path: Path) -> Path | None:
    def accept(file: Path) -> bool:
        line = first_line(file)
        return _header(line) is not None or line.split("\t")[0].lower() in LABELS

    found = find(path, ["SICK_*.txt", WHOLE], accept=accept)
    return None if found is None else found.parent


def _read(folder: Path, split: str) -> Iterator[Row]:
    """Yield the pairs, from the parsed file if there is one; parses are checked and reduced to their words."""
    (path,) = _files(folder, split)
    if not path.is_file():
        raise UserError(f"{folder}: has no {' or '.join(_names(split))}, one of which is needed for the split {split}")
    return count_empty(_pairs(path, _PARTS[split]), path)


def _names(split: str) -> list[str]:
    """Return the possible names of a split's file."""
    return [name.format(_PARTS[split]) for name in _NAMES] + [WHOLE]


def _files(folder: Path, split: str) -> list[Path]:
    """Return the file of a split, or the first of its possible paths if there is none."""
    paths = [folder / name for name in _names(split)]
    return [next((path for path in paths if path.is_file()), paths[0])]


def _pairs(path: Path, part: str) -> Iterator[Row]:
    """Yield the pairs of a file; if it has all splits, those of ``part``."""
    header = _header(first_line(path))
    names = header or list(_COLUMNS)
    if path.name == WHOLE and _SET not in names:
        raise UserError(f"{path}:1: has no column {_SET}, which says what split a row is of")
    for number, line in lines(path):
        if not line or (number == 1 and header):
            continue
        where = f"{path}:{number}"
        row = dict(zip(names, columns(line, len(names), where), strict=True))
        if path.name == WHOLE and row[_SET].strip().lower() != part:
            continue
        label, *sentences = (row[name] for name in _COLUMNS)
        if label.lower() not in LABELS:
            raise UserError(f"{where}: the label must be one of {', '.join(LABELS)}, not {label[:20]!r}")
        try:
            first, second = (words_of(text) if "(" in text or ")" in text else text for text in sentences)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        yield Row((first, second), label.lower(), where)


def _header(line: str) -> list[str] | None:
    """Return the names of the columns if this line is a header; SICK.txt names the label differently."""
    names = line.removeprefix("%").replace("entailment_label", _COLUMNS[0]).split("\t")
    return names if set(_COLUMNS) <= set(names) else None


SICK = Dataset(
    name="sick",
    about="whether one sentence follows from another, contradicts it, or neither",
    origin="SICK_train.txt, SICK_trial.txt and SICK_test_annotated.txt of SemEval 2014 task 1, the same with parses"
    f" (SICK_train_parsed.txt, ...), or {WHOLE}",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(4_500, f"pairs of sentences (4,439 in {WHOLE})"),
        "validation": OfficialSplit(500, f"pairs of sentences, called trial (495 in {WHOLE})"),
        "test": OfficialSplit(4_927, f"pairs of sentences (4,906 in {WHOLE})"),
    },
    find=_find,
    files=_files,
    read=_read,
    sides=2,
)
"""Pairs of short sentences."""
