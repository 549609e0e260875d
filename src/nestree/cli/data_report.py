"""What `nestree data check` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from nestree.tasks.checks import PartReport, Report, Spread

MOST_KINDS = 12
"""Maximal number of labels (or other kinds of rows) whose shares are shown."""


def show_report(console: Console, name: str, place: str, report: Report) -> None:
    """Print the report of one dataset: its parts, shares over all of them, what was verified, and remarks."""
    rows = sum(part.rows for part in report.parts)
    counted = f": {rows:,} rows, none damaged" if report.parts else ""
    console.print(f"{name}, {place}{counted}", style="bold", soft_wrap=True)
    if report.parts:
        console.print(_parts(report.parts))
    facts = Table(show_header=False, box=None, pad_edge=False)
    for what, value in {**report.facts, **_shares(report.parts), "verified": report.verified}.items():
        facts.add_row(what, value)
    console.print(facts)
    for remark in report.remarks:
        console.print(f"- {remark}", soft_wrap=True)
    console.print()


def _parts(parts: Sequence[PartReport]) -> Table:
    """Return a table with one row per part."""
    table = Table(box=None, pad_edge=False)
    table.add_column("part", overflow="fold")
    sized = any(part.size is not None for part in parts)
    measures = list(parts[0].spreads)
    columns = ["rows", *(["official"] if sized else []), "repeated", "in earlier parts", "empty"]
    for name in [*columns, *(f"{name}: min, median, max" for name in measures), "most common label"]:
        table.add_column(name, justify="right")
    for part in parts:
        size = [] if not sized else ["" if part.size is None else f"{part.size:,}"]
        numbers = [f"{part.rows:,}", *size, f"{part.again:,}", f"{part.elsewhere:,}", f"{part.empty:,}"]
        spreads = [_spread(part.spreads[name]) for name in measures]
        table.add_row(part.name, *numbers, *spreads, _commonest(part.counts["label"]))
    return table


def _spread(found: Spread) -> str:
    return f"{found.least:,}  {found.median:,}  {found.greatest:,}"


def _commonest(counts: Mapping[str, int]) -> str:
    label = max(counts, key=lambda name: counts[name])
    return f"{label} {100 * counts[label] / sum(counts.values()):.1f} %"


def _shares(parts: Sequence[PartReport]) -> dict[str, str]:
    """Return the share of each label, and of each other kind of rows, over all parts."""
    shares = {}
    for what in parts[0].counts if parts else ():
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts[what])
        total, common = counts.total(), counts.most_common(MOST_KINDS)
        shown = [f"{name} {100 * count / total:.1f} %" for name, count in sorted(common)]
        more = len(counts) - len(common)
        shares[what] = ", ".join(shown) + (f", and {more} more" if more else "")
    return shares
