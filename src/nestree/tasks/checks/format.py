"""Interface of a file format for ``nestree data check``, and the report of a check."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Advance = Callable[[str, int], None]
"""Called regularly with the name of what is read, and the number of rows read."""


@dataclass(frozen=True)
class Found:
    """Files of a format."""

    place: Path
    """The file, or the folder of the files."""
    files: Sequence[Path]
    """All files, or folders of files."""

    @property
    def shown(self) -> str:
        """Their path for messages."""
        return os.path.commonpath(self.files)


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of integers."""

    least: int
    median: int
    greatest: int


@dataclass(frozen=True)
class PartReport:
    """Counts of a split or a file."""

    name: str
    rows: int
    size: int | None
    """Number of rows of the official files; None if unknown."""
    again: int
    """Number of rows whose texts occur earlier in the same part."""
    elsewhere: int
    """Number of rows whose texts occur in an earlier part."""
    empty: int
    """Number of empty texts."""
    spreads: Mapping[str, Spread]
    """Spreads by name of the measure."""
    counts: Mapping[str, Mapping[str, int]]
    """Numbers of rows by property, such as "label", and value."""


@dataclass(frozen=True)
class Report:
    """Result of a check without errors."""

    verified: str
    """What was verified for every row."""
    parts: Sequence[PartReport] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Facts about files without labelled rows."""
    remarks: Sequence[str] = ()
    """Unexpected observations that are not errors."""


@dataclass(frozen=True)
class Format:
    """A file format."""

    name: str
    looks: str
    """Names or content of its files, in a few words."""
    find: Callable[[Path], Sequence[Found]]
    """Return the files of this format at or below a path."""
    check: Callable[[Found, Advance], Report]
    """Read and verify the files. Raises UserError with file and row of damaged rows."""
