"""Reading lines of a user's text file, in any encoding, plain or gzipped, with a limit of their length."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import IO, cast

from nestree.data.files import LONGEST_LINE, unpacking
from nestree.errors import OptionError, UserError
from nestree.tasks.text.encodings import MARKS, actual_encoding, fitting, same, wide_encoding


def text_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its end) of a file, without a byte order mark; lines end only with a line feed.

    UTF-16 and UTF-32 with a byte order mark are read too if the encoding is UTF-8.

    Raises:
        UserError: a line is not in this encoding, too long, or not text; names file and line.
    """
    number, name = 0, shown(path)
    with reading(path), opened(path) as binary:
        encoding = actual_encoding(binary.read(4), encoding)
        binary.seek(0)
        # Encodings such as UTF-16 cannot be split into lines as bytes.
        by_bytes = "\n".encode(encoding) == b"\n"
        file = binary if by_bytes else io.TextIOWrapper(binary, encoding, newline="\n")
        while True:
            number += 1
            where = f"{name}:{number}"
            try:
                line = file.readline(LONGEST_LINE)
                if len(line) >= LONGEST_LINE:
                    raise UserError(f"{where}: the line is longer than {LONGEST_LINE >> 20} MB")
                if isinstance(line, bytes):
                    line = _decoded(line, encoding, first=number == 1, where=where)
            except UnicodeError:
                raise _undecodable(path, encoding, where) from None
            if not line:
                return
            if "\0" in line:
                raise _with_nul(path, encoding, where)
            yield number, line


def text_start(path: Path, encoding: str, most: int) -> list[str]:
    """Return the first lines of a file, at most ``most``."""
    return [line for _, line in islice(text_lines(path, encoding), most)]


def file_encoding(path: Path, encoding: str) -> str:
    """Return the encoding to read a file with: UTF-16 or UTF-32 if that is marked and the encoding is UTF-8."""
    with reading(path), opened(path) as file:
        return actual_encoding(file.read(4), encoding)


def _decoded(line: bytes, encoding: str, *, first: bool, where: str) -> str:
    if first:
        for mark, name in MARKS.items():
            if line.startswith(mark):
                if name == "utf-8":
                    line = line.removeprefix(mark)
                    break
                raise OptionError("encoding", f"{name} reads it", problem=f"{where}: is {name.upper()}")
    return line.decode(encoding)


def _undecodable(path: Path, encoding: str, where: str) -> UserError:
    """Return an error for a line that is not in this encoding; it names one that fits the whole file."""
    problem = f"{where}: not {encoding.upper()}"
    with opened(path) as file:
        found, western = fitting(file, encoding)
    if found is None:
        return OptionError("encoding", "must name the right one", problem=problem)
    if not western:
        others = "such as cp1251, gb18030, shift_jis or euc_kr"
        return OptionError("encoding", f"must name the right one, {others}; it is not Western", problem=problem)
    return OptionError("encoding", f"{found} fits the whole file", problem=problem)


def _with_nul(path: Path, encoding: str, where: str) -> UserError:
    with opened(path) as file:
        found = wide_encoding(file.read(2**16))
    if found is None or same(found, encoding):
        return UserError(f"{where}: contains a NUL byte: it is not a text file")
    return OptionError("encoding", f"{found} reads it", problem=f"{where}: contains NUL bytes")


def opened(path: Path) -> IO[bytes]:
    """Open a file for reading bytes; gzipped files are unpacked."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is below it."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def reading(path: Path) -> AbstractContextManager[None]:
    """Turn errors of reading into a UserError that names the file."""
    return unpacking(shown(path))
