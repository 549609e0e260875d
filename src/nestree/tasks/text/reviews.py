"""Reviews that people changed so that their label turns round (Kaushik et al. 2020), and contrast sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.contract import Dataset, OfficialSplit, Row
from nestree.tasks.text.files import columns, find, first_line, lines

HEADER = "Sentiment\tText"
LABELS = ("negative", "positive")
_NOT_HELD_OUT = "its originals are in IMDB's train split"


def read_reviews(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of ``Sentiment TAB Text``, with that header.

    Raises:
        UserError: names the line of what is damaged.
    """
    for number, line in lines(path):
        if number == 1:
            if line != HEADER:
                raise UserError(f"{path}:1: the header must be Sentiment TAB Text, not {line[:40]!r}")
            continue
        label, text = columns(line, 2, f"{path}:{number}")
        if label.lower() not in LABELS:
            raise UserError(f"{path}:{number}: the sentiment must be Positive or Negative, not {label[:20]!r}")
        yield Row((_unquoted(text),), label.lower(), f"{path}:{number}")


def find_counterfactual(path: Path) -> Path | None:
    """Return the folder with the folders ``new`` and ``orig``."""
    new = find(path, ["new"], accept=lambda folder: first_line(folder / "test.tsv") == HEADER)
    return None if new is None else new.parent


def find_contrast(path: Path) -> Path | None:
    """Return the folder of IMDB's contrast set."""
    found = find(path, ["test_contrast.tsv"], accept=lambda file: first_line(file) == HEADER)
    return None if found is None else found.parent


def _read(folder: Path, split: str) -> Iterator[Row]:
    part, name = {"train": ("new", "train"), "validation": ("new", "dev"), "test": ("new", "test")}.get(
        split, ("orig", "test")
    )
    return read_reviews(folder / part / f"{name}.tsv")


def _unquoted(text: str) -> str:
    """Take away the quotation marks of a field that needed them in CSV."""
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


COUNTERFACTUAL = Dataset(
    name="counterfactual",
    about="film reviews that people changed as little as possible to turn their sentiment round",
    origin="new/{train,dev,test}.tsv and orig/test.tsv of acmi-lab/counterfactually-augmented-data, sentiment",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(1_707, "changed reviews"),
        "validation": OfficialSplit(245, "changed reviews"),
        "test": OfficialSplit(488, "changed reviews"),
        "original": OfficialSplit(488, f"the test reviews as they were; {_NOT_HELD_OUT}"),
    },
    find=find_counterfactual,
    read=_read,
)
"""Trained on changed reviews, tested on changed and original ones."""
