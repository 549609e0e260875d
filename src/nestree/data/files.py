"""Reading YAML and JSON, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from nestree.errors import OptionError, UserError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what was written there takes the place of ``path`` when the block ends.

    If the block fails, ``path`` is left as it was and the temporary file is removed. Two processes that write the same
    path at once use two temporary names, and the one that ends last wins.

    Examples:
        >>> with replacing("table.tsv") as temporary:
        ...     temporary.write_text("3\\t[MAX 2 3 ]\\n")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``, which is not there yet, that takes its name when the block ends.

    If the block fails, or there is something at ``path`` by then, the temporary folder is removed with all in it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise a UserError, before anything is computed, where a file must not be written."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if path.exists() and not overwrite:
        raise OptionError("overwrite", "replaces it", problem=f"{path} is there already: name another file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")


@contextmanager
def locked(folder: str | Path, *, wait: bool = False) -> Iterator[int | None]:
    """Hold a folder for this process, and for those that inherit the open file whose number is yielded.

    The lock goes with the last of these processes, however it ends. None is yielded if another process holds the
    folder, unless ``wait`` is set.
    """
    import fcntl  # not there on Windows

    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(number)
        yield None
        return
    try:
        yield number
    finally:
        os.close(number)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML mapping.

    Raises:
        UserError: names the file, and the line if it is no YAML.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise UserError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from None
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: holds no options")
    return dict(values)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty if there is no such file.

    Raises:
        UserError: names the file.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, all at once."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
