"""A folder of text files, in a folder per class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.official_files import note
from nestree.tasks.text.lines import reading, shown, text_lines
from nestree.tasks.text.record import Record

SUFFIX = ".txt"
"""Suffix of the files that are read, in any case."""


class ClassFolder:
    """Text files in folders whose names are the labels; a folder without such folders has texts without labels.

    Hidden files, those with another suffix, and those that are deeper are skipped. Rows are ordered by name.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        self.shown = shown(path)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns text, label and file; no label if the files are not in folders."""
        return ("text", "label", "file") if self._is_labelled else ("text", "file")

    def records(self) -> Iterator[Record]:
        """Yield the rows.

        Raises:
            UserError: a file cannot be read, or is not in this encoding; names it.
        """
        for path in self.files:
            text = "".join(line for _, line in text_lines(path, self.encoding)).removesuffix("\n").removesuffix("\r")
            values = {"text": text, "label": path.parent.name, "file": path.relative_to(self.path).as_posix()}
            yield Record({name: values[name] for name in self.columns}, shown(path))

    def digest(self) -> str:
        """Return the SHA-256 of the files' names and content."""
        total = hashlib.sha256()
        for path in self.files:
            with reading(path), path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{path.relative_to(self.path).as_posix()}\0{content}\0".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    @cached_property
    def files(self) -> list[Path]:
        """The text files, sorted; how many others there are is logged."""
        with reading(self.path):
            top = sorted(self.path.iterdir())
            folders = [path for path in top if path.is_dir() and not _is_hidden(path)]
            inside = [path for folder in folders for path in sorted(folder.iterdir())]
        found = [path for path in inside if _is_text(path)]
        rest = len(top) - len(folders) + len(inside) - len(found)
        if not found:
            found = [path for path in top if _is_text(path)]
            rest = len(top) - len(found)
        if not found:
            raise UserError(f"{self.shown}: has no folders with {SUFFIX} files, one per class, and no {SUFFIX} files")
        if rest:
            kinds = f"hidden, not {SUFFIX}, or in other folders"
            note(f"{self.shown}: {rest:,} file{'s' * (rest > 1)} skipped ({kinds})")
        return found

    @property
    def _is_labelled(self) -> bool:
        return self.files[0].parent != self.path


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and not _is_hidden(path) and path.is_file()
