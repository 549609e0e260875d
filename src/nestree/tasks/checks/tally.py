"""Counting labels, lengths, duplicates and oddities of rows, without storing their texts."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nestree.data.text import FIRST_SPLITTER, tokens_of
from nestree.errors import UserError
from nestree.tasks.base import Row
from nestree.tasks.checks.format import Advance, PartReport, Spread

MOST_REMARKS = 8
"""Maximal number of remarks of one kind."""

ODDITIES: Mapping[str, re.Pattern[str]] = {
    "consecutive parentheses, as left over from a parse": re.compile(r"(?:^|\s)(?:\(\s+\(|\)\s+\))(?:\s|$)"),
    "a replacement character (U+FFFD), as from a wrong encoding": re.compile("\ufffd"),
    "control characters": re.compile("[\x00-\x08\x0e-\x1f\x7f]"),
}
"""Patterns that are hardly ever intended in a text."""


def words(row: Row) -> int:
    """Return the number of words of the longer text."""
    return max(sum(1 for _ in tokens_of(text, "word", FIRST_SPLITTER)) for text in row.texts)


def bytes_(row: Row) -> int:
    """Return the number of bytes of the longer text, in UTF-8."""
    return max(len(text.encode("utf-8", "replace")) for text in row.texts)


def pieces(row: Row) -> int:
    """Return the number of space-separated parts of the longer text."""
    return max(len(text.split()) for text in row.texts)


@dataclass(frozen=True)
class Part:
    """Rows to count."""

    name: str
    rows: Callable[[], Iterator[Row]]
    size: int | None = None
    """Number of rows of the official files."""
    about: str = ""
    """Description of the rows."""


@dataclass(frozen=True)
class Counting:
    """What is counted for every row, in addition to labels and duplicates."""

    measures: Mapping[str, Callable[[Row], int]]
    kinds: Mapping[str, Callable[[Row], str]] = field(default_factory=dict)
    oddities: Mapping[str, re.Pattern[str]] = field(default_factory=lambda: ODDITIES)


class Tally:
    """Counts over the parts of a dataset; they take about 100 bytes per row."""

    def __init__(self, counting: Counting) -> None:
        self.counting = counting
        self.parts: list[PartReport] = []
        self._names: list[str] = []
        self._labels: dict[str, int] = {}
        self._seen: dict[int, tuple[int, int]] = {}  # by hash of the texts: numbers of the first part and label
        self._places: dict[tuple[int, int], tuple[int, int]] = {}  # saves memory: one object for equal numbers
        self._shared: dict[tuple[str, str], _Cases] = {}
        self._contrary = _Cases()
        self._odd = {name: _Cases() for name in counting.oddities}
        self._sizes: list[str] = []

    def count(self, part: Part, advance: Advance) -> None:
        """Count a part.

        Raises:
            UserError: the part has no rows, or a row is damaged.
        """
        number = len(self._names)
        again = elsewhere = empty = total = 0
        self._names.append(part.name)
        lengths: dict[str, Counter[int]] = {name: Counter() for name in self.counting.measures}
        counts: dict[str, Counter[str]] = {name: Counter() for name in ("label", *self.counting.kinds)}
        for total, row in enumerate(part.rows(), start=1):
            first = self._first(row, number)
            again += first == number
            elsewhere += first is not None and first != number
            empty += sum(not text.strip() for text in row.texts)
            counts["label"][row.label] += 1
            for name, kind in self.counting.kinds.items():
                counts[name][kind(row)] += 1
            for name, measure in self.counting.measures.items():
                lengths[name][measure(row)] += 1
            for name, pattern in self.counting.oddities.items():
                if any(map(pattern.search, row.texts)):
                    self._odd[name].add(row.where)
            if total % 500 == 0:
                advance(part.name, total)
        if not total:
            raise UserError(f"{part.name}: has no rows")
        if part.size is not None and part.size != total:
            self._sizes.append(_size_remark(part, total))
        spreads = {name: spread(found) for name, found in lengths.items()}
        self.parts.append(PartReport(part.name, total, part.size, again, elsewhere, empty, spreads, counts))

    def _first(self, row: Row, number: int) -> int | None:
        """Return the number of the part where the texts of a row occurred first; None if they are new."""
        texts = "\0".join(row.texts).encode("utf-8", "surrogatepass")
        digest = int.from_bytes(hashlib.blake2b(texts, digest_size=8).digest(), "little")
        label = self._labels.setdefault(row.label, len(self._labels))
        before = self._seen.get(digest)
        if before is None:
            place = number, label
            self._seen[digest] = self._places.setdefault(place, place)
            return None
        first, first_label = before
        if label != first_label:
            self._contrary.add(row.where)
        if first != number:
            self._shared.setdefault((self._names[number], self._names[first]), _Cases()).add(row.where)
        return first

    def remarks(self) -> list[str]:
        """Return unexpected observations that are not errors."""
        shared = [
            f"{cases.many('row')} of {later} {cases.verb} in {earlier} too, the first at {cases.first}"
            for (later, earlier), cases in self._shared.items()
        ]
        cases = [("that occurred before with another label", self._contrary)]
        cases += [(f"with {name}", found) for name, found in self._odd.items()]
        odd = [f"{found.many('row')} {what}, the first at {found.first}" for what, found in cases if found.count]
        return [*self._sizes, *shortened(shared, "more pairs of parts share rows"), *odd]


@dataclass
class _Cases:
    """Number of occurrences, and the first one."""

    count: int = 0
    first: str = ""

    def add(self, where: str) -> None:
        self.first = self.first or where
        self.count += 1

    def many(self, what: str) -> str:
        return f"{self.count:,} {what}{'s' * (self.count != 1)}"

    @property
    def verb(self) -> str:
        return "is" if self.count == 1 else "are"


def spread(counts: Mapping[int, int]) -> Spread:
    """Return minimum, (lower) median and maximum of numbers, given the count of each number."""
    below, half = 0, (sum(counts.values()) + 1) // 2
    values = sorted(counts)
    for value in values:
        below += counts[value]
        if below >= half:
            return Spread(values[0], value, values[-1])
    raise ValueError("there must be at least one number")


def shortened(remarks: Sequence[str], rest: str) -> list[str]:
    """Return the first [`MOST_REMARKS`][] remarks, and a remark about the number of others."""
    more = len(remarks) - MOST_REMARKS
    return [*remarks[:MOST_REMARKS], *([f"{more} {rest}"] if more > 0 else [])]


def _size_remark(part: Part, total: int) -> str:
    assert part.size is not None
    differs = f"{abs(total - part.size):,} {'fewer' if total < part.size else 'more'}"
    about = f" ({part.about})" if part.about else ""
    return f"{part.name}: {total:,} rows, {differs} than the {part.size:,} of the official files{about}"
