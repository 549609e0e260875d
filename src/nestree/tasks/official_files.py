"""Functions that the readers of official files share: finding files, and reading lines."""

from __future__ import annotations

import fnmatch
import functools
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nestree.data.files import bounded_lines
from nestree.errors import UserError
from nestree.tasks.base import Row

DEEPEST = 4
"""Maximal depth of folders, below the user's, in which files are looked for."""

READER_VERSION = 1
"""Increased whenever a reader's result changes; cached data of another version are replaced."""

_UTF8_MARK = b"\xef\xbb\xbf"

_log = logging.getLogger(__name__)


def lines(path: Path, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of a text file, with LF or CRLF, with or without a byte order mark.

    Raises:
        UserError: the file cannot be read, or a line is not in this encoding; names the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(bounded_lines(file, path), start=1):
                try:
                    text = line.removeprefix(_UTF8_MARK if number == 1 else b"").decode(encoding)
                except UnicodeDecodeError:
                    raise UserError(f"{path}:{number}: not {encoding.upper()}") from None
                yield number, text.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def under(path: Path, *, deepest: int = DEEPEST) -> Iterator[Path]:
    """Yield ``path`` and everything below it, folder by folder; folders that cannot be read are skipped.

    Raises:
        UserError: ``path`` is a folder that cannot be read.
    """
    waiting = [path]
    for depth in range(deepest + 1):
        below: list[Path] = []
        for place in waiting:
            yield place
            if depth < deepest and os.path.isdir(place):
                try:
                    below += sorted(place.iterdir())
                except OSError as error:
                    if place == path:
                        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
                    _log.info("%s: skipped, as it cannot be read (%s)", place, error.strerror or error)
        waiting = below


def find(
    path: Path,
    names: Collection[str],
    *,
    accept: Callable[[Path], bool] = lambda _: True,
    deepest: int = DEEPEST,
) -> Path | None:
    """Return the first file or folder at or below ``path`` whose name matches one of ``names``.

    Args:
        path: a file or a folder.
        names: shell patterns.
        accept: a further check, for names that other datasets use too.
        deepest: maximal depth below ``path``.

    Raises:
        UserError: ``path`` is a folder that cannot be read.
    """
    fitting = re.compile("|".join(fnmatch.translate(name) for name in names))
    return next((place for place in under(path, deepest=deepest) if fitting.match(place.name) and accept(place)), None)


def files_beside(found: Path, split: str, *, files: Mapping[str, str]) -> list[Path]:
    """Return the path of a split's file, in the folder of the file ``found``."""
    return [found.parent / files[split]]


def beside(found: Path, files: Mapping[str, str], split: str) -> Path:
    """Return a split's file, in the folder of the file ``found``.

    Raises:
        UserError: the file does not exist.
    """
    (path,) = files_beside(found, split, files=files)
    if not path.is_file():
        raise UserError(f"{path}: missing; it is needed for the split {split}")
    return path


def first_line(path: Path, *, behind: int = 0, most: int = 10_000) -> str:
    """Return the first line of a file, to recognise its format; an empty string if it cannot be read.

    Args:
        path: any path.
        behind: number of lines to skip first.
        most: maximal number of bytes of a line.
    """
    try:
        with path.open("rb") as file:
            for _ in range(behind):
                file.readline(most)
            return file.readline(most).removeprefix(_UTF8_MARK).decode("utf-8", "replace").rstrip("\r\n")
    except OSError:
        return ""


def columns(line: str, count: int, where: str) -> list[str]:
    """Split a line at tabs.

    Raises:
        UserError: the number of columns is not ``count``.
    """
    found = line.split("\t")
    if len(found) != count:
        raise UserError(f"{where}: {len(found)} column{'s' * (len(found) != 1)}; a row has {count}, separated by tabs")
    return found


@functools.cache
def note(message: str) -> None:
    """Log a message about a file, only once even if the file is read several times."""
    _log.warning("%s", message)


def count_empty(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    """Yield the rows of a file; at the end, log the number of empty texts."""
    empty = 0
    for row in rows:
        empty += sum(not text.strip() for text in row.texts)
        yield row
    if empty:
        note(f"{path}: {empty:,} empty text{'s become' if empty > 1 else ' becomes'} a single unknown word")


def files_fingerprint(paths: Sequence[Path]) -> dict[str, Any]:
    """Return size and modification time of each file, or of a folder's subfolders, by path."""
    found = {}
    for path in paths:
        for part in [path] if path.is_file() else [path, *sorted(p for p in path.rglob("*") if p.is_dir())]:
            about = part.stat()
            found[str(part)] = [about.st_size, about.st_mtime_ns]
    return found
