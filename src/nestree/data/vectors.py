"""Pretrained word vectors in GloVe's text format."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from nestree.errors import UserError


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of the words of a vocabulary."""

    matrix: Float32[NDArray[np.float32], "words width"]
    """Zeros where a word has none."""
    known: Bool[NDArray[np.bool_], " words"]
    """Whether a word has one."""


def read_vectors(path: str | Path, words: Sequence[str]) -> Vectors:
    """Read the vectors of ``words`` from lines of ``word v1 v2 ... vE``; memory is that of the words, not of the file.

    A word that is not there takes the vector of the first one in the file that differs only by its case. Words of the
    file may hold spaces (as some of GloVe's do): the last E fields are the vector, E being those of the first line. A
    first line of two numbers, as word2vec writes, is passed over. ``.gz`` and ``.zip`` are read as they are.

    Raises:
        UserError: the file cannot be read, or, naming the line, a vector is damaged.
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
        raise UserError(f"{path}: holds no word vectors")
    return Vectors(matrix, known | guessed)


def vector_lines(path: Path) -> Iterator[tuple[str, bytes, Sequence[bytes]]]:
    """Yield (file and line, word, fields of the vector) of each line, as many fields as the first line has.

    Raises:
        UserError: the file cannot be read, or, naming the line, one has no vector or too short a one.
    """
    width = 0
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            fields = line.rstrip().split(b" ")
            if fields == [b""] or (number == 1 and len(fields) == 2):
                continue
            width = width or len(fields) - 1
            if width < 1:
                raise UserError(f"{path}:{number}: no word vector; expected a word and numbers, spaces between")
            if len(fields) <= width:
                raise UserError(f"{path}:{number}: damaged; expected a word and {width} numbers")
            yield f"{path}:{number}", b" ".join(fields[:-width]), fields[-width:]


def vector_of(fields: Sequence[bytes], width: int, where: str) -> NDArray[np.float32]:
    """Read the numbers of a vector.

    Raises:
        UserError: they are not ``width`` finite numbers; begins with ``where``.
    """
    try:
        with np.errstate(over="ignore"):  # what is too large is infinite, and refused below
            vector = np.array([float(field) for field in fields], np.float32)
    except ValueError:
        raise UserError(f"{where}: damaged; expected a word and {width} numbers") from None
    if len(vector) != width or not np.isfinite(vector).all():
        raise UserError(f"{where}: damaged; expected a word and {width} finite numbers")
    return vector


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, or the one text in an archive."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".txt")]
                if len(names) != 1:
                    raise UserError(f"{path}: holds {len(names)} .txt files; unpack the one to be used and name it")
                with archive.open(names[0]) as file:
                    yield io.BufferedReader(file)  # pyright: ignore[reportArgumentType]
        else:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                yield file  # pyright: ignore[reportReturnType]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
