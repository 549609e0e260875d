"""What the readers of official files share: finding them, and their lines."""

from __future__ import annotations

import fnmatch
import functools
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nestree.errors import UserError
from nestree.tasks.base import Row

DEEPEST = 4
"""Folders below the one that the user names in which files are looked for."""

READER_VERSION = 1
"""Raised with every change to what the readers make of a file; cached data of another version is made again."""

_UTF8_MARK = b"\xef\xbb\xbf"

_log = logging.getLogger(__name__)


def lines(path: Path, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of a text file; both kinds of line ends and a byte order mark are taken.

    Raises:
        UserError: the file cannot be read, or, naming the line, is not in this encoding.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.removeprefix(_UTF8_MARK if number == 1 else b"").decode(encoding)
                except UnicodeDecodeError:
                    raise UserError(f"{path}:{number}: not {encoding.upper()}") from None
                yield number, text.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def under(path: Path, *, deepest: int = DEEPEST) -> Iterator[Path]:
    """Yield ``path`` and what lies in it, folder by folder; what lies in a folder that cannot be read is passed over.

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
                    _log.info("%s: passed over, it cannot be read (%s)", place, error.strerror or error)
        waiting = below


def find(
    path: Path,
    names: Collection[str],
    *,
    accept: Callable[[Path], bool] = lambda _: True,
    deepest: int = DEEPEST,
) -> Path | None:
    """Return ``path`` or, a few folders below it, the first file or folder with a name that fits one of ``names``.

    Args:
        path: a file or a folder.
        names: patterns as of a shell.
        accept: a last look at what was found, for names that others use too.
        deepest: folders below ``path`` to look in.

    Raises:
        UserError: ``path`` is a folder that cannot be read.
    """
    fitting = re.compile("|".join(fnmatch.translate(name) for name in names))
    return next((place for place in under(path, deepest=deepest) if fitting.match(place.name) and accept(place)), None)


def files_beside(found: Path, split: str, *, files: Mapping[str, str]) -> list[Path]:
    """Return the path of the file of a split, in the folder of one that was found."""
    return [found.parent / files[split]]


def beside(found: Path, files: Mapping[str, str], split: str) -> Path:
    """Return the file of a split, in the folder of one that was found.

    Raises:
        UserError: it is not there.
    """
    (path,) = files_beside(found, split, files=files)
    if not path.is_file():
        raise UserError(f"{path}: not there; it holds the split {split}")
    return path


def first_line(path: Path, *, behind: int = 0, most: int = 10_000) -> str:
    """Return a file's first line, for a look at what it holds; nothing where there is no file that can be read.

    Args:
        path: of a file, or of anything else.
        behind: lines to be passed over before it.
        most: bytes of a line that are read, at most.
    """
    try:
        with path.open("rb") as file:
            for _ in range(behind):
                file.readline(most)
            return file.readline(most).removeprefix(_UTF8_MARK).decode("utf-8", "replace").rstrip("\r\n")
    except OSError:
        return ""


def columns(line: str, count: int, where: str) -> list[str]:
    """Cut a line at its tabs.

    Raises:
        UserError: there are more columns or fewer.
    """
    found = line.split("\t")
    if len(found) != count:
        raise UserError(f"{where}: {len(found)} column{'s' * (len(found) != 1)}; a row has {count}, tabs between")
    return found


@functools.cache
def note(message: str) -> None:
    """Log what was counted in a file, once however often the file is read."""
    _log.warning("%s", message)


def count_empty(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    """Yield the rows of a file; when they have ended, note how many texts had nothing in them."""
    empty = 0
    for row in rows:
        empty += sum(not text.strip() for text in row.texts)
        yield row
    if empty:
        note(f"{path}: {empty:,} empty text{'s are' if empty > 1 else ' is'} taken as one unknown word each")


def files_fingerprint(paths: Sequence[Path]) -> dict[str, Any]:
    """Return size and time of change of each file, or of a folder's subfolders, by path."""
    found = {}
    for path in paths:
        for part in [path] if path.is_file() else [path, *sorted(p for p in path.rglob("*") if p.is_dir())]:
            about = part.stat()
            found[str(part)] = [about.st_size, about.st_mtime_ns]
    return found
