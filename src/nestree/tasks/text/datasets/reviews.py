"""Reviews edited to reverse their label: counterfactual reviews (Kaushik et al. 2020) and contrast sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import DEEPEST, columns, count_empty, find, first_line, lines

HEADER = "Sentiment\tText"
LABELS = ("negative", "positive")
COUNTERFACTUAL_TEST = "test.tsv"
COUNTERFACTUAL_FILES = {
    "train": "new/train.tsv",
    "validation": "new/dev.tsv",
    "test": f"new/{COUNTERFACTUAL_TEST}",
    "original": f"orig/{COUNTERFACTUAL_TEST}",
    "original-train": "orig/train.tsv",
    "original-validation": "orig/dev.tsv",
}
CONTRAST_FILES = {
    "test": "test_contrast.tsv",
    "validation": "dev_contrast.tsv",
    "original": "test_original.tsv",
    "original-validation": "dev_original.tsv",
}
_PARTS = ("new", "orig")
_NOT_HELD_OUT = "not held out of IMDB's train split"


def read_reviews(path: Path) -> Iterator[Row]:
    """Yield the rows of a file with the header ``Sentiment TAB Text``.

    Raises:
        UserError: a row is damaged; names the line.
    """
    return count_empty(_rows(path), path)


def _rows(path: Path) -> Iterator[Row]:
    for number, line in lines(path):
        if number == 1:
            if line != HEADER:
                raise UserError(f"{path}:1: the header must be Sentiment TAB Text, not {line[:40]!r}")
            continue
        label, text = columns(line, 2, f"{path}:{number}")
        if label.lower() not in LABELS:
            raise UserError(f"{path}:{number}: the sentiment must be Positive or Negative, not {label[:20]!r}")
        yield Row((_unquoted(text),), label.lower(), f"{path}:{number}")


def find_counterfactual(path: Path, *, deepest: int = DEEPEST) -> Path | None:
    """Return the folder that contains ``new`` and ``orig``, also if ``path`` is one of their files."""
    if path.is_file():
        return path.parent.parent if path.parent.name in _PARTS and first_line(path) == HEADER else None
    part = find(path, _PARTS, accept=lambda folder: first_line(folder / COUNTERFACTUAL_TEST) == HEADER, deepest=deepest)
    return None if part is None else part.parent


def find_contrast(path: Path, *, deepest: int = DEEPEST) -> Path | None:
    """Return the folder of IMDB's contrast set; None if there is none."""
    names = list(CONTRAST_FILES.values())
    found = find(path, names, accept=lambda file: first_line(file) == HEADER, deepest=deepest)
    return None if found is None else found.parent


def _files(folder: Path, split: str, *, files: Mapping[str, str]) -> list[Path]:
    return [folder / files[split]]


def _read(folder: Path, split: str, *, files: Mapping[str, str]) -> Iterator[Row]:
    return read_reviews(folder / files[split])


def _unquoted(text: str) -> str:
    """Remove the quotation marks of a CSV field."""
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


COUNTERFACTUAL = Dataset(
    name="counterfactual",
    about="film reviews, minimally edited to reverse their sentiment",
    origin="new/{train,dev,test}.tsv and orig/test.tsv of acmi-lab/counterfactually-augmented-data, sentiment",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(1_707, "edited reviews"),
        "validation": OfficialSplit(245, "edited reviews"),
        "test": OfficialSplit(488, "edited reviews"),
        "original": OfficialSplit(488, f"the original test reviews; {_NOT_HELD_OUT}"),
    },
    find=find_counterfactual,
    files=partial(_files, files=COUNTERFACTUAL_FILES),
    read=partial(_read, files=COUNTERFACTUAL_FILES),
)
"""Trained on edited reviews, tested on edited and original ones."""

COUNTERFACTUAL_ALL = replace(
    COUNTERFACTUAL,
    splits={
        **COUNTERFACTUAL.splits,
        "original-train": OfficialSplit(1_707, "the original training reviews"),
        "original-validation": OfficialSplit(245, "the original validation reviews"),
    },
)
"""All six files, for checking; the originals of training reviews are not tests of the task."""

CONTRAST = Dataset(
    name="contrast",
    about="film reviews, edited by experts to reverse their sentiment (Gardner et al. 2020)",
    origin=", ".join(CONTRAST_FILES.values()) + " of allenai/contrast-sets, IMDb",
    label_names=LABELS,
    splits={
        "test": OfficialSplit(488, "edited reviews"),
        "validation": OfficialSplit(None, "edited reviews"),
        "original": OfficialSplit(488, "the original test reviews"),
        "original-validation": OfficialSplit(None, "the original validation reviews"),
    },
    find=find_contrast,
    files=partial(_files, files=CONTRAST_FILES),
    read=partial(_read, files=CONTRAST_FILES),
)
"""Not a task: the test "contrast" of the task imdb, and files to check."""
