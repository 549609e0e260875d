"""Checking that a table's file exists, and that its content is of the kind that its name says."""

from __future__ import annotations

import difflib
import os
import zipfile
from pathlib import Path

from nestree.data.files import UNREADABLE
from nestree.errors import UserError
from nestree.tasks.text.lines import opened, reading, shown

_KINDS = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "xls",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"%PDF-": "pdf",
}
"""Kind of a file by its first bytes."""

_FOUND = {
    "gzip": "is gzipped: add .gz to its name",
    "zip": "is a zip archive: unpack it",
    "xlsx": "is an Excel workbook: its name must end in .xlsx",
    "parquet": "is a Parquet file: its name must end in .parquet",
    "xls": "is an Excel workbook of the old format, or with a password: save it as .xlsx or CSV, without a password",
    "bzip2": "is compressed with bzip2: unpack it, or use gzip",
    "xz": "is compressed with xz: unpack it, or use gzip",
    "zstd": "is compressed with zstd: unpack it, or use gzip",
    "pdf": "is a PDF document: save its table as CSV",
}
"""What to say of a file of another kind than its name says."""


def check_exists(path: Path) -> None:
    """Check that there is a file or folder.

    Raises:
        UserError: there is none; names a file with a similar name, or where a broken link points to.
    """
    with reading(path):
        if path.exists():
            if not path.is_file() and not path.is_dir():
                raise UserError(f"{shown(path)}: is neither a file nor a folder; tables are read several times")
            return
        if path.is_symlink():
            raise UserError(f"{shown(path)}: is a link to {os.readlink(path)}, which does not exist")
    raise UserError(f"{shown(path)}: there is no such file{_near(path)}")


def check_content(path: Path, kind: str) -> None:
    """Check by a file's first bytes that it is what its name says.

    Raises:
        UserError: it is empty, cannot be read, or is of another kind.
    """
    name = shown(path)
    with reading(path), path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise UserError(f"{name}: is empty")
    found = _kind(path, start)
    if path.suffix.lower() == ".gz":
        if found != "gzip":
            raise UserError(f"{name}: is not gzipped: remove .gz from its name")
        with reading(path), opened(path) as file:
            found = _kind(None, file.read(8))
    if found in (None, kind):
        if kind in ("xlsx", "parquet") and found is None:
            of_kind = "an Excel workbook" if kind == "xlsx" else "a Parquet file"
            raise UserError(f"{name}: is not {of_kind}; if it is text, its name must end in .csv, .tsv or .jsonl")
        return
    raise UserError(f"{name}: {_FOUND[found]}")


def _kind(path: Path | None, start: bytes) -> str | None:
    """Return the kind of a file by its first bytes; None if it may be text."""
    found = next((kind for sign, kind in _KINDS.items() if start.startswith(sign)), None)
    if found == "zip" and path is not None:
        try:
            with zipfile.ZipFile(path) as archive:
                return "xlsx" if "xl/workbook.xml" in archive.namelist() else "zip"
        except UNREADABLE:
            return "zip"
    return found


def _near(path: Path) -> str:
    """Return a hint if the folder has a file with a similar name."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {shown(path.with_name(close[0]))}?" if close else ""
