"""Checking files of word vectors."""

from __future__ import annotations

import fnmatch
import hashlib
from array import array
from pathlib import Path

import numpy as np

from nestree.data.vectors import vector_lines, vector_of
from nestree.errors import UserError
from nestree.tasks.checks.format import Advance, Format, Found, Report
from nestree.tasks.official_files import under

_NAMES = ("glove*.txt", "glove*.zip", "glove*.gz", "*.vec", "*.vec.gz")


def _looks(path: Path) -> bool:
    """Whether the first vector is a word followed by numbers."""
    try:
        where, _, fields = next(iter(vector_lines(path)))
        return len(fields) > 1 and len(vector_of(fields, len(fields), where)) > 1
    except (UserError, StopIteration):
        return False


def _find(path: Path) -> list[Found]:
    """Return the file, whatever its name, or files with the usual names."""
    if path.is_file():
        return [Found(path, (path,))] if _looks(path) else []
    named = (place for place in under(path) if any(fnmatch.fnmatch(place.name, name) for name in _NAMES))
    return [Found(place, (place,)) for place in named if place.is_file() and _looks(place)]


def _check(found: Found, advance: Advance) -> Report:
    """Read all numbers; for each word only a hash of 8 bytes is stored."""
    hashes = array("Q")
    width = spaces = undecodable = 0
    for where, word, fields in vector_lines(found.place):
        width = width or len(fields)
        vector_of(fields, width, where)
        spaces += b" " in word
        try:
            word.decode("utf-8")
        except UnicodeDecodeError:
            undecodable += 1
        hashes.frombytes(hashlib.blake2b(word, digest_size=8).digest())
        if len(hashes) % 5000 == 0:
            advance(f"vectors {found.place.name}", len(hashes))
    again = len(hashes) - len(np.unique(np.frombuffer(hashes, np.uint64)))
    remarks = {
        "words are duplicates, whose vectors are not used": again,
        "words are not UTF-8": undecodable,
        "words contain a space, or their lines have too many numbers": spaces,
    }
    return Report(
        "all vectors have the same width and finite numbers",
        facts={"words": f"{len(hashes):,}", "width": str(width)},
        remarks=[f"{count:,} {what}" for what, count in remarks.items() if count],
    )


VECTORS = Format(
    name="word vectors",
    looks="a word and numbers, separated by spaces, as in GloVe and fastText; also .gz or .zip",
    find=_find,
    check=_check,
)
"""GloVe's text format."""
