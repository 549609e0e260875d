"""Pairs of articles of the ACL Anthology Network (Radev et al. 2013): the Long Range Arena's Retrieval task."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import beside, columns, count_empty, files_beside, find, lines

FILES = {
    name: f"new_aan_pairs.{part}.tsv" for name, part in (("train", "train"), ("validation", "eval"), ("test", "test"))
}
LABELS = ("unrelated", "cites")


def _find(path: Path) -> Path | None:
    return find(path, list(FILES.values()))


def _read(found: Path, split: str) -> Iterator[Row]:
    """Yield the rows: label, two article numbers and two texts. There is no header, and quotes have no meaning."""
    path = beside(found, FILES, split)
    return count_empty(_pairs(path), path)


def _pairs(path: Path) -> Iterator[Row]:
    for number, line in lines(path):
        where = f"{path}:{number}"
        label, _, _, first, second = columns(line, 5, where)
        try:
            cites = float(label)
        except ValueError:
            cites = -1.0
        if cites not in (0, 1):
            raise UserError(f"{where}: the label must be 0.0 or 1.0, not {label[:20]!r}")
        yield Row((first, second), LABELS[int(cites)], where)


LRA_RETRIEVAL = Dataset(
    name="lra-retrieval",
    about="Long Range Arena, Retrieval: whether one article cites another, as bytes",
    origin=", ".join(FILES.values()) + " of the Long Range Arena's release",
    label_names=LABELS,
    splits={
        "train": OfficialSplit(147_086, "pairs of articles"),
        "validation": OfficialSplit(18_090, "pairs of articles"),
        "test": OfficialSplit(17_437, "pairs of articles"),
    },
    find=_find,
    files=partial(files_beside, files=FILES),
    read=_read,
    sides=2,
    level="byte",
    max_tokens=4_096,
)
"""The first 4,096 bytes of each article (Tay et al. 2021)."""
