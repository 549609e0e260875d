"""Reading lines of a user's text file, in any encoding, plain or gzipped, with a limit of their length."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from nestree.errors import OptionError, UserError

LONGEST = 2**26
"""Maximal length of a line, bytes, and of a table's field, characters; longer ones are mistakes and fill the memory."""


def text_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its end) of a file, without UTF-8's byte order mark; lines end only with a line feed.

    Raises:
        UserError: a line is not in this encoding, too long, or not text; names file and line.
    """
    number, name = 0, shown(path)
    with reading(path), opened(path) as binary:
        # Encodings such as UTF-16 cannot be split into lines as bytes.
        by_bytes = "\n".encode(encoding) == b"\n"
        file = binary if by_bytes else io.TextIOWrapper(binary, encoding, newline="\n")
        while True:
            number += 1
            where = f"{name}:{number}"
            try:
                line = file.readline(LONGEST)
                if len(line) >= LONGEST:
                    raise UserError(f"{where}: the line is longer than {LONGEST >> 20} MB")
                if isinstance(line, bytes):
                    line = _decoded(line, encoding, first=number == 1, where=where)
            except UnicodeError:
                problem = f"{where}: not {encoding.upper()}"
                if encoding == "utf-8":
                    raise OptionError("encoding", "can name another, such as latin-1", problem=problem) from None
                raise UserError(problem) from None
            if not line:
                return
            if "\0" in line:
                problem = f"{where}: contains a NUL byte: it is not text, or in another encoding"
                raise OptionError("encoding", "can name another, such as utf-16", problem=problem)
            yield number, line


def _decoded(line: bytes, encoding: str, *, first: bool, where: str) -> str:
    if first and line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise OptionError("encoding", "must be utf-16 to read it", problem=f"{where}: looks like UTF-16")
    return line.removeprefix(BOM_UTF8 if first else b"").decode(encoding)


def opened(path: Path) -> IO[bytes]:
    """Open a file for reading bytes; gzipped files are unpacked."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is below it."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of reading into a UserError that names the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{shown(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
