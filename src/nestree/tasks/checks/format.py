"""What a format of files is to `nestree data check`, and what a check reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Advance = Callable[[str, int], None]
"""Told now and then what is being read, and how many of its rows have been."""


@dataclass(frozen=True)
class Found:
    """Files of a format."""

    place: Path
    """The file, or the folder that holds them."""
    files: Sequence[Path]
    """All of them: files, or folders full of them."""

    @property
    def shown(self) -> str:
        """What a user is told of where they are."""
        return os.path.commonpath(self.files)


@dataclass(frozen=True)
class Spread:
    """Least, median and greatest of some whole numbers."""

    least: int
    median: int
    greatest: int


@dataclass(frozen=True)
class PartReport:
    """What is in a split or a file."""

    name: str
    rows: int
    size: int | None
    """Rows of the official files; None where that is not known."""
    again: int
    """Rows whose texts stand earlier in the same part."""
    elsewhere: int
    """Rows whose texts stand in an earlier part."""
    empty: int
    """Texts with nothing in them."""
    spreads: Mapping[str, Spread]
    """By what was measured."""
    counts: Mapping[str, Mapping[str, int]]
    """How many rows are of each kind, by what the kinds are; "label" is among them."""


@dataclass(frozen=True)
class Report:
    """What a check found, where nothing is damaged."""

    verified: str
    """What was verified of every row."""
    parts: Sequence[PartReport] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What there is to know of files that have no labelled rows."""
    remarks: Sequence[str] = ()
    """What a user should know of: no damage, but not as it might be expected."""


@dataclass(frozen=True)
class Format:
    """A format that is recognised."""

    name: str
    looks: str
    """What its files are called or hold, in a few words."""
    find: Callable[[Path], Sequence[Found]]
    """Return what there is of this format at a path, and below it; nothing if there is none."""
    check: Callable[[Found, Advance], Report]
    """Read all of it. UserError names file and row of what is damaged."""
