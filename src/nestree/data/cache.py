"""The folder of generated and converted datasets, and when a cached file is used."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nestree.data.files import remove_stale, replacing
from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError

_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Return the folder for generated data: NESTREE_CACHE if it is set, else "nestree" in the user's cache folder.

    The user's cache folder is XDG_CACHE_HOME, or the platform's own. It may not exist yet.
    """
    if chosen := os.environ.get("NESTREE_CACHE"):
        return Path(chosen).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "nestree"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nestree"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "nestree"
    return Path.home() / ".cache" / "nestree"


def load_or_make(
    path: Path, *, seed: int | None, source: Mapping[str, Any], make: Callable[[], RaggedExamples]
) -> RaggedExamples:
    """Load the examples at ``path`` if they have this seed and source, else make and save them.

    A file that is damaged, or has another seed or source, is replaced. Two processes may do this at once: each writes a
    whole file, and the last one stays.

    Args:
        path: The cache file; its folder is created.
        seed: Seed of the examples.
        source: The examples' ``source`` (parameters, the generator's version).
        make: Makes examples with this seed and source.

    Raises:
        UserError: The folder cannot be created or written.
    """
    if path.exists():
        try:
            cached = RaggedExamples.load(path)
        except UserError as error:
            _log.warning("replacing a damaged file: %s", error)
        else:
            if cached.seed == seed and dict(cached.source) == dict(source):
                return cached
            _log.info("replacing %s: its data have another seed, size or generator version", path)
    _make_folder(path)
    examples = make()
    with _naming(path):
        examples.save(path)
    return RaggedExamples.load(path)


def load_or_write(path: Path, write: Callable[[Path], object]) -> None:
    """Write the data file at ``path`` unless it exists undamaged; its name must say what it is made from.

    Args:
        path: The cache file; its folder is created.
        write: Writes the examples to the (temporary) path that it is called with.

    Raises:
        UserError: The folder cannot be created or written.
    """
    if path.is_file():
        try:
            RaggedExamples.load(path)
        except UserError as error:
            _log.warning("replacing a damaged file: %s", error)
        else:
            return
    _write(path, write)


def load_or_count(path: Path, count: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON values at ``path``, or make and keep them; the file's name must say what they are made from.

    The file has a checksum, and is replaced if it is damaged.

    Args:
        path: The cache file; its folder is created.
        count: Makes the values.

    Raises:
        UserError: The folder cannot be created or written.
    """
    if path.is_file():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["checksum"] == _checksum(kept["values"]):
                return kept["values"]
            _log.warning("replacing a damaged file: %s: its checksum does not match", path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            _log.warning("replacing a damaged file: %s: not a file of this version of nestree", path)
    values = dict(count())
    text = json.dumps({"checksum": _checksum(values), "values": values})
    _write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return values


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _write(path: Path, write: Callable[[Path], object]) -> None:
    _make_folder(path)
    try:
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise  # of the user's files, from which the data are made
        with _naming(path):
            raise


def check_token_ids(examples: RaggedExamples, vocabulary_size: int, path: Path | None = None) -> None:
    """Check that every token number is in the vocabulary.

    Args:
        examples: cached examples.
        vocabulary_size: number of token ids.
        path: their file; None if it is unknown.

    Raises:
        UserError: one is beyond it, as after a change of the tokenizer; says what to delete.
    """
    most = int(examples.tokens.max(initial=0))
    if most >= vocabulary_size:
        raise UserError(
            f"{path or examples.name}: has token number {most:,}, but the last one of the vocabulary is "
            f"{vocabulary_size - 1:,}: it was prepared with another tokenizer; delete "
            f"{'it' if path else cache_dir() / examples.name.partition('/')[0]}, and it is prepared again"
        )


def _make_folder(path: Path) -> None:
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Fail now, not after minutes of generating.
        if not os.access(path.parent, os.W_OK):
            raise PermissionError("no permission")
    remove_stale(path.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn a failure to write into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror or error}): name another cache folder, "
            "with NESTREE_CACHE or the cache folder's option"
        ) from None


def source_digest(source: Mapping[str, Any]) -> str:
    """Return a digest of 16 characters, for the name of a cache file made from ``source``."""
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
