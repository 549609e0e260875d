"""The lines of a user's text file, in any encoding, plain or gzipped, none so long that it fills the memory."""

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
"""Bytes of a line, and characters of a table's field, at most: what is longer is a mistake, and fills the memory."""


def text_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its end) of a file; only a line feed ends a line, and UTF-8's first mark is no text.

    Raises:
        UserError: names file and line that is not in this encoding, too long, or no text.
    """
    number, name = 0, shown(path)
    with reading(path), opened(path) as binary:
        # The bytes of UTF-16 and the like cannot be cut into lines.
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
                    raise OptionError("encoding", "names another, such as latin-1", problem=problem) from None
                raise UserError(problem) from None
            if not line:
                return
            if "\0" in line:
                problem = f"{where}: holds a NUL byte, so this is no text, or of another encoding"
                raise OptionError("encoding", "names it", problem=problem)
            yield number, line


def _decoded(line: bytes, encoding: str, *, first: bool, where: str) -> str:
    if first and line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise OptionError("encoding", "utf-16 reads it", problem=f"{where}: looks like UTF-16")
    return line.removeprefix(BOM_UTF8 if first else b"").decode(encoding)


def opened(path: Path) -> IO[bytes]:
    """Open a file, a gzipped one to be unpacked on the way."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def shown(path: Path) -> str:
    """Return a path as messages name it: from the working folder where it lies below that."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into an error that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{shown(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
