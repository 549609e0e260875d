"""A comparison's picture: accuracy against length, all overlaid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from nestree.comparison.rows import Row
from nestree.data.files import replacing
from nestree.evaluation.evaluate import Result

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Apart for colour-blind eyes, too (Okabe and Ito 2008, without the yellow)."""
MARKERS = "osD^vPX*"
APART, SPREAD = 1.03, 1.3
"""How far the points of neighbours, and all points of a test, stand apart at most, as factors: intervals stay apart."""


def plot(rows: Sequence[Row], path: Path, *, title: str, train_longest: int | None) -> None:
    """Draw a line a row: a point a test with its 95 % interval, at the mean length of the test.

    Colours stand for recipes, dashes for flat inference beside grouped, markers tell recipes apart without colour.
    """
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    lengths = sorted({result.mean_length for row in rows for result in row.results.values()})
    if train_longest is not None and lengths:
        axes.axvspan(min(lengths) / 2, train_longest, color="#eeeeee", zorder=0, label="lengths trained on")
    labels = list(dict.fromkeys(row.contender.label for row in rows))
    shown = [row for row in rows if row.results]
    for number, row in enumerate(shown):
        style = labels.index(row.contender.label)
        shift = min(APART, SPREAD ** (1 / len(shown))) ** (number - (len(shown) - 1) / 2)
        dashes = "--" if row.several and row.inference == "flat" else "-"
        _draw(axes, row, style, shift, dashes)
    _draw_baseline(axes, shown)
    axes.set(xscale="log", ylim=(-2, 102), xlabel="mean length of the test, tokens", ylabel="accuracy, %", title=title)
    if lengths:
        axes.set_xlim(min(lengths) / 1.5, max(lengths) * 1.5)
        axes.xaxis.set_major_locator(FixedLocator(lengths))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{length:,.0f}" for length in lengths])
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _draw(axes: Any, row: Row, style: int, shift: float, dashes: str) -> None:
    results = sorted(row.results.values(), key=lambda result: result.mean_length)
    shares = [100 * result.total.accuracy for result in results]
    low, high = zip(*(result.total.interval for result in results), strict=True)
    below = [share - 100 * end for share, end in zip(shares, low, strict=True)]
    above = [100 * end - share for share, end in zip(shares, high, strict=True)]
    axes.errorbar(
        [result.mean_length * shift for result in results], shares, yerr=[below, above],
        linestyle=dashes, marker=MARKERS[style % len(MARKERS)], markersize=5, linewidth=1.4, elinewidth=1, capsize=2,
        color=COLOURS[style % len(COLOURS)], label=row.name,
    )  # fmt: skip


def _draw_baseline(axes: Any, rows: Sequence[Row]) -> None:
    known: dict[str, Result] = {test: result for row in rows for test, result in row.results.items()}
    points = sorted((r.mean_length, 100 * r.baseline) for r in known.values() if r.baseline is not None)
    if points:
        axes.plot(
            *zip(*points, strict=True), color="#777777", linestyle=":", marker="x", markersize=5, label="baseline"
        )
