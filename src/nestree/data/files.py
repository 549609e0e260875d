"""Reading YAML and JSON, writing files atomically, and locking folders."""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import struct
import tarfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from nestree.errors import OptionError, UserError

LARGEST_YAML = 100_000
"""Maximal number of values in a YAML file."""

STALE = 24 * 3600
"""Age of a temporary file that nobody writes any more, seconds."""

LONGEST_LINE = 2**24
"""Maximal length of a line of a text file, bytes: longer ones are mistakes, or a small archive with many GB."""

UNREADABLE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, struct.error),
    *(NotImplementedError, RuntimeError, OverflowError, UnicodeError),
)
"""What Python's readers of gzip, zip and tar raise for damaged, encrypted or unknown content."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name in the folder of ``path``; the file written there replaces ``path`` when the block ends.

    If the block fails, ``path`` stays as it was and the temporary file is removed. Two processes may write the same
    path at once: the one that finishes last wins. After a power cut ``path`` is the old file or the new one, whole.

    Examples:
        >>> with replacing("table.tsv") as temporary:
        ...     temporary.write_text("3\\t[MAX 2 3 ]\\n")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        if error.filename == str(temporary):  # errors name the file that is meant
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the temporary files in a folder that [`replacing`][] has not touched for a day: their process was killed.

    A folder that is not there, or files that cannot be removed, are no error.
    """
    with suppress(OSError):
        for left in folder.glob(".*.tmp"):
            with suppress(OSError):
                if _TEMPORARY.fullmatch(left.name) and left.is_file() and time.time() - left.stat().st_mtime > STALE:
                    left.unlink()


def _sync(path: Path) -> None:
    """Make sure that a file or the names in a folder are on the disk, where the system can."""
    with suppress(OSError):  # Windows opens no folders, and some file systems do not sync
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder, renamed to ``path`` when the block ends; ``path`` must not exist yet.

    If the block fails, or ``path`` exists by then, the temporary folder is removed with everything in it; one that a
    killed process left behind is removed by the next that makes a folder next to it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(left.name) and left.is_dir():
            with suppress(OSError), locked(left) as lock:
                if lock is not None:
                    shutil.rmtree(left, ignore_errors=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        with locked(temporary):
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise a UserError if ``path`` cannot or must not be written to; called before anything is computed."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if path.exists() and not overwrite:
        raise OptionError("overwrite", "replaces it", problem=f"{path} exists already: name another file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: folder {path.parent} does not exist")


INHERITED = "NESTREE_LOCKS"
"""Environment variable with the file descriptors of the locks that a child process inherits, separated by commas."""


@contextmanager
def locked(folder: str | Path, *, wait: bool = False) -> Iterator[int | None]:
    """Lock a folder for this process, and for child processes that inherit the yielded file descriptor.

    The lock ends with the last of these processes, even if it crashes. If another process has locked the folder, yield
    None, or with ``wait``, wait for it. A lock that this process has inherited (see [`INHERITED`][]) is its own.
    Windows has no such locks: there a folder is never in use.
    """
    try:
        import fcntl
    except ImportError:  # on Windows folders cannot be locked, and trainings do without
        yield -1
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        if (own := _inherited(number)) is not None:
            yield own
            return
        try:
            fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield number
    finally:
        os.close(number)


def _inherited(number: int) -> int | None:
    """Return the inherited file descriptor of the same folder, if there is one."""
    for other in filter(str.isdecimal, os.environ.get(INHERITED, "").split(",")):
        with suppress(OSError):  # closed in the meantime
            if os.path.samestat(os.fstat(int(other)), os.fstat(number)):
                return int(other)
    return None


def bounded_lines(file: IO[bytes], name: object, *, most: int = LONGEST_LINE) -> Iterator[bytes]:
    """Yield the lines of a file, with their ends.

    Raises:
        UserError: a line is longer than ``most`` bytes; names file and line.
    """
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise UserError(f"{name}:{number}: the line is longer than {most >> 20} MB")
        yield line


@contextmanager
def unpacking(name: object) -> Iterator[None]:
    """Turn what readers of archives raise into a UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"{name}: cannot be read ({reason[:200]})") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML mapping.

    Raises:
        UserError: the file cannot be read or is not a YAML mapping; names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _check_size(yaml.compose(text, yaml.SafeLoader), path)
        values = _constructed(text, path)
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise UserError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from None
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: not a mapping of options")
    return dict(values)


def _constructed(text: str, path: Path) -> Any:
    """Return the values of a YAML document.

    Raises:
        UserError: a value is not what its tag or form says, such as a date of month 13 or a number of 5,000 digits.
    """
    try:
        return yaml.safe_load(text)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path}: has a value that cannot be read ({reason[:200]})") from None


def _check_size(root: yaml.Node | None, path: Path) -> None:
    """Check how large a document is once its aliases are replaced by what they stand for.

    Raises:
        UserError: it is larger than a configuration can be, or contains itself.
    """
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            if (known := sizes[id(node)]) is None:
                raise UserError(f"{path}: an alias stands for something that contains it")
            return known
        sizes[id(node)] = None
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        total = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(size, parts)))
        sizes[id(node)] = total
        return total

    if root is not None and size(root) > LARGEST_YAML:
        raise UserError(f"{path}: has more than {LARGEST_YAML:,} values, aliases included")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one if there is no such file.

    Raises:
        UserError: the file cannot be read or is not a JSON object; names the file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a JSON object")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
