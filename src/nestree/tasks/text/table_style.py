"""How a table is written: its format, by the file's name, and encoding, delimiter, quotes and header."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nestree.errors import OptionError
from nestree.tasks.text.encodings import check_encoding

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
}
"""Format by suffix of a file's name; .gz may follow those in [`TEXT_FORMATS`][]."""

TEXT_FORMATS = ("csv", "tsv", "jsonl")

NAMED = "end in .csv, .tsv, .jsonl or .ndjson, optionally followed by .gz, or in .xlsx or .parquet"
"""What the name of a table must do."""

DELIMITERS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Names of delimiters, as an alternative to the character."""

_SHEET = re.compile(r"(?P<file>.+\.xlsx)#(?P<sheet>[^/\\]+)", re.IGNORECASE)


@dataclass(frozen=True)
class TableStyle:
    """Encoding and format of a file.

    Raises:
        ValueError: an option is invalid; names the option.
    """

    encoding: str = "utf-8"
    """Any encoding that Python knows."""
    delimiter: str | None = None
    """Character between columns, or its name in `DELIMITERS`; None: a tab in TSV files, else a comma, or what
    separates the columns that are asked for."""
    quotes: bool | None = None
    """Whether fields may be in double quotes; None: yes, unless a TSV file cannot be read that way."""
    header: bool = True
    """Whether the first row of CSV, TSV and .xlsx names the columns; otherwise their names are 1, 2, ..."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding)
        if self.delimiter is None:
            return
        object.__setattr__(self, "delimiter", DELIMITERS.get(self.delimiter.lower(), self.delimiter))
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise OptionError(
                "delimiter",
                f"must be one character, neither a quote nor a line break, or tab, not {self.delimiter!r}",
            )


def table_format(path: str | Path) -> str | None:
    """Return the format of a table by its name: csv, tsv, jsonl, xlsx or parquet; folder for any folder, else None."""
    if os.path.isdir(path):  # unlike Path.is_dir, false for a text that is too long for a name
        return "folder"
    name = str(sheet_of(path)[0]).lower()
    unpacked = name.removesuffix(".gz")
    kind = next((kind for suffix, kind in FORMATS.items() if unpacked.endswith(suffix)), None)
    return kind if unpacked == name or kind in TEXT_FORMATS else None


def sheet_of(path: str | Path) -> tuple[Path, str | None]:
    """Split ``FILE.xlsx#SHEET`` into file and sheet; the sheet is None if none is named, or a file has this name."""
    found = _SHEET.fullmatch(str(path))
    if found is None or os.path.exists(path):
        return Path(path), None
    return Path(found["file"]), found["sheet"]
