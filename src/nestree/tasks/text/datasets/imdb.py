"""IMDB film reviews (Maas et al. 2011): as bytes for the Long Range Arena's Text task, and as words."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from nestree.data.files import unpacking
from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import count_empty, find
from nestree.tasks.text.datasets.reviews import (
    CONTRAST_FILES,
    COUNTERFACTUAL_FILES,
    find_contrast,
    find_counterfactual,
    read_reviews,
)

LABELS = ("negative", "positive")
_NEAR = 2
"""Maximal depth in which the files of further tests are looked for, below the folder that contains IMDB's."""

_FOLDERS = {"neg": "negative", "pos": "positive"}
_BLOCK = 2**20
_LONGEST = 2**20
"""Maximal size of a review, bytes; the longest has 14 KB."""
_LARGEST = 2**28
"""Maximal size of the reviews of a split, bytes; they have 33 MB."""
_MEMBER = re.compile(r"(?:.*/)?(train|test)/(pos|neg)/(\d+)_(\d+)\.txt")


def find_reviews(path: Path) -> Path | None:
    """Return the folder aclImdb, or its archive; None if there is none."""

    def accept(found: Path) -> bool:
        return (found / "train" / "pos").is_dir() if found.is_dir() else found.name.endswith(".tar.gz")

    return path if accept(path) and path.is_dir() else find(path, ["aclImdb", "aclImdb*.tar.gz"], accept=accept)


def read_split(found: Path, split: str) -> Iterator[Row]:
    """Yield the reviews of ``train`` or ``test``, negative ones first, in the order of their numbers.

    An archive is read once, without unpacking it to disk. Files that are not reviews are skipped.

    Raises:
        UserError: a file is not UTF-8, or its rating does not fit its folder; names the file.
    """
    return count_empty(_reviews(found, split), found / split)


def _reviews(found: Path, split: str) -> Iterator[Row]:
    rows = sorted(_from_archive(found, split) if found.is_file() else _from_folder(found, split))
    if not rows:
        raise UserError(f"{found}: has no reviews in {split}/pos and {split}/neg")
    for kind, _, rating, content, where in rows:
        if not (rating <= 4 if kind == "neg" else rating >= 7):
            raise UserError(f"{where}: the rating {rating} does not fit the folder {kind} (neg has 1-4, pos 7-10)")
        try:
            yield Row((content.decode("utf-8"),), _FOLDERS[kind], where)
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8") from None


def _from_folder(folder: Path, split: str) -> Iterator[tuple[str, int, int, bytes, str]]:
    """Yield (folder, number, rating, text, path) of each review."""
    for path in (folder / split).glob("*/*.txt"):
        if found := _MEMBER.fullmatch(path.as_posix()):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
            yield found[2], int(found[3]), int(found[4]), content, str(path)


def _from_archive(archive: Path, split: str) -> Iterator[tuple[str, int, int, bytes, str]]:
    """Yield (folder, number, rating, text, path) of each review in an archive."""
    total = 0
    # gzip detects a truncated archive; tarfile's own decompression does not.
    with (
        unpacking(archive),
        gzip.open(archive) as content,
        tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as members,
    ):
        for member in members:
            found = _MEMBER.fullmatch(member.name)
            if found and found[1] == split and member.isfile():
                total += member.size
                if member.size > _LONGEST or total > _LARGEST:
                    limits = f"a review has at most {_LONGEST >> 20} MB, a split {_LARGEST >> 20} MB"
                    raise UserError(f"{archive}:{member.name}: too large; {limits}")
                file = members.extractfile(member)
                assert file is not None
                yield found[2], int(found[3][:18]), int(found[4][:18]), file.read(), f"{archive}:{member.name}"
        while content.read(_BLOCK):
            pass


class _Member(tarfile.TarInfo):
    """A member, whose further headers, which tarfile reads whole, are of limited size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not self.isreg() and self.size > _LONGEST:
            raise tarfile.ReadError(f"a header of more than {_LONGEST >> 20} MB")
        return super()._proc_member(archive)  # pyright: ignore[reportAttributeAccessIssue]


def review_files(found: Path, split: str) -> list[Path]:
    """Return the archive, or a split's two folders."""
    return [found] if found.is_file() else [found / split / kind for kind in _FOLDERS]


_FURTHER = {
    "counterfactual": (find_counterfactual, COUNTERFACTUAL_FILES["test"]),
    "contrast": (find_contrast, CONTRAST_FILES["test"]),
}


def _files(found: Path, split: str) -> list[Path]:
    """Return the files of a split; further tests are next to IMDB's folder, or next to the folder above it."""
    if split not in _FURTHER:
        return review_files(found, split)
    look, name = _FURTHER[split]
    return [folder / name for place in found.parents[:2] if (folder := look(place, deepest=_NEAR))][:1]


def _read(found: Path, split: str) -> Iterator[Row]:
    if split not in _FURTHER:
        return read_split(found, split)
    files = _files(found, split)
    if not files:
        raise UserError(f"{split}: its file {_FURTHER[split][1]} is not next to {found}")
    return read_reviews(files[0])


_ORIGIN = "aclImdb_v1.tar.gz of ai.stanford.edu/~amaas/data/sentiment, as it is or unpacked (aclImdb)"
_SPLITS = {
    "train": OfficialSplit(25_000, "reviews, half of them positive"),
    "test": OfficialSplit(25_000, "reviews of other films"),
}

LRA_TEXT = Dataset(
    name="lra-text",
    about="Long Range Arena, Text: the sentiment of film reviews, as bytes",
    origin=_ORIGIN,
    label_names=LABELS,
    splits=_SPLITS,
    find=find_reviews,
    files=review_files,
    read=read_split,
    level="byte",
    max_tokens=4_096,
    held_out=5_000,
)
"""Reviews as bytes, the first 4,096 of each (Tay et al. 2021)."""

_CHANGED = "edited to reverse the sentiment; not a held-out test, as the originals are in IMDB's train split"

IMDB = Dataset(
    name="imdb",
    about="the sentiment of film reviews, as words",
    origin=f"{_ORIGIN}; for the further tests also counterfactually-augmented-data and IMDB's contrast set",
    label_names=LABELS,
    splits={
        **_SPLITS,
        "counterfactual": OfficialSplit(488, f"reviews {_CHANGED}"),
        "contrast": OfficialSplit(488, f"reviews {_CHANGED}"),
    },
    find=find_reviews,
    files=_files,
    read=_read,
    held_out=5_000,
)
"""Reviews as words."""
