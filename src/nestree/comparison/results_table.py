"""The table of a comparison, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nestree.comparison.references import ReferenceRow
from nestree.comparison.rows import Row
from nestree.evaluation.evaluate import Result
from nestree.reports.tables import percent

AnyRow = Row | ReferenceRow

FIGURES = ("sequences/s", "peak MB", "parameters", "steps", "sequences", "minutes")
"""Columns after those of the tests."""
_NAMES = {"begun": "waiting", "training": "in training", "interrupted": "stopped"}


def header(rows: Sequence[AnyRow], tests: Sequence[str]) -> list[str]:
    """Return the names of the columns; those of tests include the mean length."""
    lengths = {test: result.mean_length for row in rows for test, result in row.results.items()}
    named = [f"{test} ({lengths[test]:.0f} tokens)" if test in lengths else test for test in tests]
    return ["recipe", *named, *FIGURES]


def cells(row: AnyRow, tests: Sequence[str], *, screen: bool = False) -> list[str]:
    """Return the cells of a row; unknown values are empty."""
    about = row.about
    speed, memory = about.get("sequences_per_second"), about.get("peak_memory_bytes")
    return [
        row.name,
        *(_accuracy(row, test, screen=screen) for test in tests),
        "" if speed is None else f"{speed:,.1f}" if speed < 100 else f"{speed:,.0f}",
        "" if memory is None else f"{memory / 1e6:,.0f}",
        *(_whole(about.get(name)) for name in ("parameters", "steps", "sequences")),
        "" if about.get("minutes") is None else f"{about['minutes']:.1f}",
    ]


def baseline_cells(rows: Sequence[AnyRow], tests: Sequence[str]) -> list[str]:
    """Return the cells of the baseline's row."""
    known: dict[str, Result] = {test: result for row in rows for test, result in row.results.items()}
    shares = [percent(known[test].baseline) if test in known else "" for test in tests]
    return ["baseline", *shares, *("" for _ in FIGURES)]


def screen_table(rows: Sequence[AnyRow], tests: Sequence[str], *, title: str, console: Console) -> Table:
    """Return the table for the terminal: intervals in whole per cent, and as many of [`FIGURES`][] as fit."""
    unbounded = console.options.update_width(10_000)  # otherwise the measured width is cut at the terminal's
    table = _screen_table(rows, tests, title, len(FIGURES))
    for figures in reversed(range(len(FIGURES))):
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
        table = _screen_table(rows, tests, title, figures)
    return table


def _screen_table(rows: Sequence[AnyRow], tests: Sequence[str], title: str, figures: int) -> Table:
    columns = 1 + len(tests) + figures
    table = Table(title=title, title_justify="left", padding=(0, 0, 0, 1), show_lines=True)
    for number, name in enumerate(header(rows, tests)[:columns]):
        shown = name.replace(" (", "\n(").replace(" tokens)", ")").replace("peak ", "peak\n")
        table.add_column(shown, justify="right" if number else "left", overflow="fold")
    for line in [*(cells(row, tests, screen=True) for row in rows), baseline_cells(rows, tests)]:
        table.add_row(*line[:columns])
    return table


def _accuracy(row: AnyRow, test: str, *, screen: bool) -> str:
    """Return accuracy and interval in per cent, or why there is no result."""
    result = row.results.get(test)
    if result is not None:
        low, high = result.total.interval
        accuracy = percent(result.total.accuracy)
        return (
            f"{accuracy}\n[{100 * low:.0f}, {100 * high:.0f}]"
            if screen
            else (f"{accuracy} [{percent(low)}, {percent(high)}]")
        )
    if row.failed is not None:
        return "failed" if row.about.get("state") != "not finite" else "not finite"
    state = str(row.about.get("state", "begun"))
    return _NAMES.get(state, "to be evaluated")


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
