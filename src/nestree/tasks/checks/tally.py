"""Counting what is in rows as they go by: labels, lengths, duplicates, oddities; no text is kept."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nestree.data.text import tokens_of
from nestree.errors import UserError
from nestree.tasks.base import Row
from nestree.tasks.checks.format import Advance, PartReport, Spread

MOST_REMARKS = 8
"""Remarks of one sort that are said, at most."""

ODDITIES: Mapping[str, re.Pattern[str]] = {
    "parentheses in a row, as of a parse left over": re.compile(r"(?:^|\s)(?:\(\s+\(|\)\s+\))(?:\s|$)"),
    "a replacement character (U+FFFD), as after a wrong decoding": re.compile("\ufffd"),
    "control characters": re.compile("[\x00-\x08\x0e-\x1f\x7f]"),
}
"""What a text hardly ever means to hold."""


def words(row: Row) -> int:
    """Count the words of the longer text."""
    return max(sum(1 for _ in tokens_of(text, "word")) for text in row.texts)


def bytes_(row: Row) -> int:
    """Count the bytes of the longer text, in UTF-8."""
    return max(len(text.encode("utf-8", "replace")) for text in row.texts)


def pieces(row: Row) -> int:
    """Count what stands between spaces in the longer text."""
    return max(len(text.split()) for text in row.texts)


@dataclass(frozen=True)
class Part:
    """Rows to be counted."""

    name: str
    rows: Callable[[], Iterator[Row]]
    size: int | None = None
    """Rows of the official files."""
    about: str = ""
    """What they are."""


@dataclass(frozen=True)
class Counting:
    """What is counted of every row, other than labels and duplicates."""

    measures: Mapping[str, Callable[[Row], int]]
    kinds: Mapping[str, Callable[[Row], str]] = field(default_factory=dict)
    oddities: Mapping[str, re.Pattern[str]] = field(default_factory=lambda: ODDITIES)


class Tally:
    """Counts over the parts of a dataset; memory is about 100 bytes a row."""

    def __init__(self, counting: Counting) -> None:
        """Begin with nothing."""
        self.counting = counting
        self.parts: list[PartReport] = []
        self._names: list[str] = []
        self._labels: dict[str, int] = {}
        self._seen: dict[int, tuple[int, int]] = {}  # hash of the texts: numbers of the first part and label
        self._places: dict[tuple[int, int], tuple[int, int]] = {}  # one object for all rows with equal numbers
        self._shared: dict[tuple[str, str], _Cases] = {}
        self._contrary = _Cases()
        self._odd = {name: _Cases() for name in counting.oddities}
        self._sizes: list[str] = []

    def count(self, part: Part, advance: Advance) -> None:
        """Count a part.

        Raises:
            UserError: it has no rows, or what reading them raises.
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
        """Return the number of the part in which the texts of a row stood first, if they did."""
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
        """Say what is not as it might be expected."""
        shared = [
            f"{cases.many('row')} of {later} {cases.stand} in {earlier} too, the first at {cases.first}"
            for (later, earlier), cases in self._shared.items()
        ]
        cases = [("with another label than before", self._contrary)]
        cases += [(f"with {name}", found) for name, found in self._odd.items()]
        odd = [f"{found.many('row')} {what}, the first at {found.first}" for what, found in cases if found.count]
        return [*self._sizes, *shortened(shared, "more pairs of parts share rows"), *odd]


@dataclass
class _Cases:
    """How often something was met, and where first."""

    count: int = 0
    first: str = ""

    def add(self, where: str) -> None:
        self.first = self.first or where
        self.count += 1

    def many(self, what: str) -> str:
        return f"{self.count:,} {what}{'s' * (self.count != 1)}"

    @property
    def stand(self) -> str:
        return "stands" if self.count == 1 else "stand"


def spread(counts: Mapping[int, int]) -> Spread:
    """Return least, median and greatest of numbers given by how often each is there; the median is the lower one."""
    below, half = 0, (sum(counts.values()) + 1) // 2
    values = sorted(counts)
    for value in values:
        below += counts[value]
        if below >= half:
            return Spread(values[0], value, values[-1])
    raise ValueError("there must be at least one number")


def shortened(remarks: Sequence[str], rest: str) -> list[str]:
    """Return the first remarks, and how many more there are."""
    more = len(remarks) - MOST_REMARKS
    return [*remarks[:MOST_REMARKS], *([f"{more} {rest}"] if more > 0 else [])]


def _size_remark(part: Part, total: int) -> str:
    assert part.size is not None
    differs = f"{abs(total - part.size):,} {'fewer' if total < part.size else 'more'}"
    about = f" ({part.about})" if part.about else ""
    return f"{part.name}: {total:,} rows, {differs} than the {part.size:,} of the official files{about}"
