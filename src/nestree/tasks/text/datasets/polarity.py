"""Sentences of film reviews, positive or negative (Pang and Lee 2005)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import beside, count_empty, find, lines

FILES = {"negative": "rt-polarity.neg", "positive": "rt-polarity.pos"}


def _find(path: Path) -> Path | None:
    return find(path, list(FILES.values()))


def _read(found: Path, split: str) -> Iterator[Row]:
    """Yield sentences, alternating between the two labels; every tenth line belongs to the test."""
    return count_empty(_sentences(found, split), found.parent / "rt-polarity.*")


def _files(found: Path, split: str) -> list[Path]:
    """Return both files, for any split."""
    del split
    return [found.parent / name for name in FILES.values()]


def _sentences(found: Path, split: str) -> Iterator[Row]:
    both = [
        [(label, number, line, path) for number, line in lines(path, encoding="latin-1")]
        for label in FILES
        for path in [beside(found, FILES, label)]
    ]
    for label, number, line, path in sorted((row for rows in both for row in rows), key=lambda row: (row[1], row[0])):
        if (number % 10 == 0) == (split == "test"):
            yield Row((line.strip(),), label, f"{path}:{number}")


POLARITY = Dataset(
    name="polarity",
    about="whether a sentence of a film review is positive; no official split, so lines 10, 20, ... are the test",
    origin="rt-polarity.pos and rt-polarity.neg (latin-1) of the sentence polarity dataset v1.0",
    label_names=tuple(FILES),
    splits={
        "train": OfficialSplit(9_596, "nine lines in ten of each label"),
        "test": OfficialSplit(1_066, "every tenth line of each label"),
    },
    find=_find,
    files=_files,
    read=_read,
    held_out=960,
)
"""Sentences, already split into words."""
