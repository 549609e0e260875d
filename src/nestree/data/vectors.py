"""Pretrained word vectors in GloVe's text format."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from nestree.data.files import bounded_lines, unpacking
from nestree.errors import UserError

LONGEST = 2**20
"""Maximal length of a line, bytes."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of the words in a vocabulary."""

    matrix: Float32[NDArray[np.float32], "words width"]
    """Zeros for words without a vector."""
    known: Bool[NDArray[np.bool_], " words"]
    """Whether each word has a vector."""


def read_vectors(path: str | Path, words: Sequence[str]) -> Vectors:
    """Read the vectors of ``words`` from lines of ``word v1 v2 ... vE``; only these vectors take memory.

    A word that the file does not have gets the vector of the first word that differs only in case. Words in the file
    may contain spaces (as some of GloVe's do): the first line decides E, and the last E fields are the vector. A first
    line with two numbers, as word2vec writes, is skipped. ``.gz`` and ``.zip`` files are read without unpacking.

    Raises:
        UserError: the file cannot be read, or a vector is damaged; names the line.
    """
    rows = {word: row for row, word in enumerate(words)}
    lower: dict[str, list[int]] = {}
    for row, word in enumerate(words):
        lower.setdefault(word.lower(), []).append(row)
    known, guessed = np.zeros(len(words), np.bool_), np.zeros(len(words), np.bool_)
    matrix: NDArray[np.float32] | None = None
    for where, spelled, fields in vector_lines(Path(path)):
        if matrix is None:
            matrix = np.zeros((len(words), len(fields)), np.float32)
        word = spelled.decode("utf-8", "replace")
        exact = rows.get(word)
        targets = [exact] if exact is not None else [r for r in lower.get(word.lower(), ()) if not guessed[r]]
        if not targets or (exact is None and known[targets].all()):
            continue
        vector = vector_of(fields, matrix.shape[1], where)
        for row in targets:
            if exact is not None or not known[row]:
                matrix[row] = vector
                guessed[row] = True
        if exact is not None:
            known[exact] = True
    if matrix is None:
        raise UserError(f"{path}: has no word vectors")
    return Vectors(matrix, known | guessed)


def vector_lines(path: Path) -> Iterator[tuple[str, bytes, Sequence[bytes]]]:
    """Yield (file and line, word, fields of the vector) for each line; the first line decides how many fields.

    Raises:
        UserError: the file cannot be read, or a vector is missing or too short; names the line.
    """
    width = 0
    with _opened(path) as file:
        for number, line in enumerate(bounded_lines(file, path, most=LONGEST), start=1):
            fields = line.rstrip().split(b" ")
            if fields == [b""] or (number == 1 and len(fields) == 2):
                continue
            width = width or len(fields) - 1
            if width < 1:
                raise UserError(f"{path}:{number}: not a word vector; expected a word and numbers, separated by spaces")
            if len(fields) <= width:
                raise UserError(f"{path}:{number}: damaged; expected a word and {width} numbers")
            yield f"{path}:{number}", b" ".join(fields[:-width]), fields[-width:]


def vector_of(fields: Sequence[bytes], width: int, where: str) -> NDArray[np.float32]:
    """Return the numbers of a vector, shape (width,).

    Raises:
        UserError: the fields are not ``width`` finite numbers; the message begins with ``where``.
    """
    try:
        with np.errstate(over="ignore"):  # numbers that are too large become infinite, which is refused below
            vector = np.array([float(field) for field in fields], np.float32)
    except ValueError:
        raise UserError(f"{where}: damaged; expected a word and {width} numbers") from None
    if len(vector) != width or not np.isfinite(vector).all():
        raise UserError(f"{where}: damaged; expected a word and {width} finite numbers")
    return vector


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacking ``.gz``, or the only text file in a ``.zip``."""
    with unpacking(path):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".txt")]
                if len(names) != 1:
                    raise UserError(f"{path}: has {len(names)} .txt files; unpack one of them and name it")
                with archive.open(names[0]) as file:
                    yield io.BufferedReader(file)  # pyright: ignore[reportArgumentType]
        else:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                yield file  # pyright: ignore[reportReturnType]
