"""The file formats that ``nestree data check`` recognises and verifies.

To add a format, write a [`Format`][] in a new module, and add it to [`FORMATS`][].
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.checks.format import Advance, Format, Found, PartReport, Report, Spread
from nestree.tasks.checks.listops import LISTOPS
from nestree.tasks.checks.logic import LOGIC
from nestree.tasks.checks.official import dataset_format
from nestree.tasks.checks.own_table import TABLE
from nestree.tasks.checks.tally import bytes_, words
from nestree.tasks.checks.vectors import VECTORS
from nestree.tasks.text.datasets import aan, imdb, nli, polarity, qqp, reviews, sick, sst

_WORDS = {"words": words}

FORMATS = (
    LISTOPS,
    LOGIC,
    dataset_format(
        "aclImdb",
        imdb.LRA_TEXT,
        verified="every review is UTF-8, and its rating fits its folder",
        measures={"words": words, "bytes": bytes_},
    ),
    dataset_format(
        "counterfactual reviews",
        reviews.COUNTERFACTUAL_ALL,
        verified="headers, columns and labels; UTF-8",
        measures=_WORDS,
    ),
    dataset_format(
        "contrast reviews", reviews.CONTRAST, verified="headers, columns and labels; UTF-8", measures=_WORDS
    ),
    dataset_format("AAN pairs", aan.LRA_RETRIEVAL, verified="columns and labels; UTF-8", measures={"bytes": bytes_}),
    dataset_format(
        "SST trees", sst.SST5, verified="every tree is complete, with a label from 0 to 4 at each node", measures=_WORDS
    ),
    dataset_format("sentence polarity", polarity.POLARITY, verified="both files read as latin-1", measures=_WORDS),
    dataset_format(
        "SICK", sick.SICK, verified="columns and labels; every parse is binary and complete", measures=_WORDS
    ),
    dataset_format("SNLI", nli.SNLI, verified="JSON, fields and gold labels; UTF-8", measures=_WORDS),
    dataset_format(
        "MNLI",
        nli.MNLI,
        verified="JSON, fields and gold labels; UTF-8",
        measures=_WORDS,
        splits=("train", "matched", "mismatched"),  # validation is matched
    ),
    dataset_format("QQP", qqp.QQP, verified="header, columns and labels; UTF-8", measures=_WORDS),
    VECTORS,
    TABLE,  # last: some of the others are tables too
)
"""All formats, in the order in which they are tried."""


def recognise(path: Path) -> Iterator[tuple[Format, Found]]:
    """Yield the formats and files that are found at a path; files of one format are not matched by later ones.

    Raises:
        UserError: the path does not exist, cannot be read, or has no known format; lists the formats.
    """
    if not path.exists():
        raise UserError(f"{path}: cannot be read (there is no such file or folder)")
    taken: set[Path] = set()
    for kind in FORMATS:
        for found in kind.find(path):
            if not taken.issuperset(found.files):
                taken.update(found.files)
                yield kind, found
    if not taken:
        known = "; ".join(f"{kind.name} ({kind.looks})" for kind in FORMATS)
        raise UserError(f"{path}: {'not' if path.is_file() else 'has no files'} in any of the known formats: {known}")


__all__ = ["FORMATS", "Advance", "Format", "Found", "PartReport", "Report", "Spread", "recognise"]
