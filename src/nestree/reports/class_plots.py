"""Plots of a classifier's answers: confusion matrix and reliability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from nestree.evaluation.intervals import wilson
from nestree.evaluation.measures import ClassMeasures
from nestree.reports.panel_plots import Key
from nestree.reports.plots import COLOURS, INK, LINE

MOST_DRAWN = 50
"""Maximal number of classes whose confusion matrix is drawn."""
MOST_NUMBERS = 15
"""Maximal number of classes with the number of examples in each cell."""
LONGEST_LABEL = 18
"""Maximal number of characters of a label on an axis."""
DARKEST = 0.55
"""Opacity of a cell with all examples of its row, light enough for a number to be read on it."""
RIGHT, WRONG = COLOURS[0], COLOURS[1]

_PERFECT = {"color": INK, "linestyle": (0, (6, 3)), "linewidth": 1}


def confusion_figure(measures: ClassMeasures) -> Figure | None:
    """Draw the confusion matrix: a cell's shade is its share of the label's examples; None for too many classes."""
    count = len(measures.classes)
    if measures.confusion is None or count > MOST_DRAWN:
        return None
    numbered = count <= MOST_NUMBERS
    labels = [shortened(label) for label in measures.labels]
    digits = max(len(str(number)) for row in measures.confusion for number in row)
    cell = max(0.32, 0.1 + 0.09 * digits, 1.2 / count) if numbered else 0.16
    margin = 0.75 + 0.085 * max(map(len, labels))
    title_width = 2.3
    figure = Figure(figsize=(max(margin + cell * count + 0.2, title_width), margin + cell * count + 0.4))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    for row, numbers in enumerate(measures.confusion):
        _draw_row(axes, row, numbers, numbered=numbered)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect="equal", xlabel="predicted", ylabel="correct")
    size = "medium" if numbered else "x-small"
    _label(axes, labels, size)
    axes.set_title("Confusion matrix", loc="left", fontsize="medium", fontweight="bold")
    return figure


def _draw_row(axes: Axes, row: int, numbers: Sequence[int], *, numbered: bool) -> None:
    """Draw the cells of a label that are not empty."""
    total = sum(numbers)
    for column, number in enumerate(numbers):
        if number == 0:
            continue
        # The square root makes rare mistakes visible.
        opacity = (DARKEST if numbered else 1.0) * math.sqrt(number / total)
        colour = RIGHT if row == column else WRONG
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=opacity, linewidth=0))
        if numbered:
            axes.text(column, row, str(number), ha="center", va="center", color=INK, fontsize="small")


def _label(axes: Axes, labels: Sequence[str], size: str) -> None:
    """Write the labels on both axes, as they are, without mathematics between dollar signs."""
    places = range(len(labels))
    short = max(map(len, labels)) <= 2
    axes.set_xticks(places, labels, fontsize=size, rotation=0 if short else 90, parse_math=False)
    axes.set_yticks(places, labels, fontsize=size, parse_math=False)
    axes.set_xticks([place - 0.5 for place in places[1:]], minor=True)
    axes.set_yticks([place - 0.5 for place in places[1:]], minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.set_axisbelow(True)


def reliability_figure(measures: ClassMeasures) -> Figure:
    """Draw accuracy by probability of the answer, with 95 % intervals, and the number of examples of each bin."""
    figure = Figure(figsize=(3.8, 4.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    first = min(50.0, *(100 * one.low for one in measures.bins))
    upper.plot([first, 100], [first, 100], **_PERFECT)
    intervals = [wilson(one.correct, one.examples) for one in measures.bins]
    shares = [one.correct / one.examples for one in measures.bins]
    upper.errorbar(
        [100 * one.confidence for one in measures.bins],
        [100 * share for share in shares],
        yerr=[
            [100 * max(0.0, share - low) for share, (low, _) in zip(shares, intervals, strict=True)],
            [100 * max(0.0, high - share) for share, (_, high) in zip(shares, intervals, strict=True)],
        ],
        color=RIGHT,
        marker="o",
        markersize=5,
        capsize=3,
        linestyle="none",
    )
    upper.set(ylabel="accuracy, %", ylim=(0, 104), yticks=range(0, 101, 20))
    upper.set_title("Reliability", loc="left", fontsize="medium", fontweight="bold")
    for one in measures.bins:
        width = 100 * (one.high - one.low)
        lower.bar(100 * one.low, one.examples, width=width, align="edge", color=RIGHT, alpha=0.6, linewidth=0)
    most = max(one.examples for one in measures.bins)
    ticks = [tick for tick in range(0, 101, 10 if first > 35 else 20) if tick >= first - 2]
    lower.set(xlabel="probability of the answer, %", ylabel="examples", xlim=(first - 2, 102), xticks=ticks)
    lower.set(ylim=(0, 1.6 * most), yticks=(0, most))
    for axes in (upper, lower):
        axes.grid(color=LINE)
        axes.set_axisbelow(True)
    figure.align_ylabels()
    return figure


def class_legend(*, confusion: bool) -> list[tuple[str, Key]]:
    """Return the entries of the legend of both plots: text and symbol."""
    cells: list[tuple[str, Key]] = [
        ("right answers", Patch(color=RIGHT, alpha=0.5)),
        ("wrong answers", Patch(color=WRONG, alpha=0.5)),
    ]
    points: list[tuple[str, Key]] = [
        ("accuracy per bin of probability, 95 % interval", Line2D([], [], color=RIGHT, marker="o", linestyle="none")),
        ("perfect calibration", Line2D([], [], **_PERFECT)),
    ]
    return [*(cells if confusion else []), *points]


def shortened(label: str) -> str:
    """Return a label in one line of at most [`LONGEST_LABEL`][] characters."""
    line = " ".join(label.split())
    return line if len(line) <= LONGEST_LABEL else f"{line[: LONGEST_LABEL - 1]}…"
