"""The reports' pictures: a figure each, as PNG for Markdown or as SVG for a page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from nestree.data.files import replacing
from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.history import Row, series

COLOURS = ("#1f77b4", "#d95f02", "#117733", "#aa4499", "#b8860b", "#5d5d9c")
MARKERS = "os^Dv*"
"""Of one series after another, so that they differ without colours too."""

INK, PAPER, LINE, BAND, FAINT = "#000000", "#ffffff", "#cccccc", "#eeeeee", "#bbbbbb"
VARIABLES = {INK: "currentColor", PAPER: "var(--paper)", LINE: "var(--line)", BAND: "var(--band)", FAINT: "var(--line)"}
"""What becomes of fixed colours on a page, which may be dark."""


def accuracy_figure(
    named: Mapping[str, Sequence[Result]], *, train_longest: int | None, baseline: str | None = None
) -> Figure:
    """Draw accuracy against length: a line a series, a point a test, with its 95 % interval, and the baseline.

    Args:
        named: results by name of the series, at least one in all.
        train_longest: tokens of the longest training example.
        baseline: what the baseline always answers; None where runs have several.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    if train_longest is not None:
        axes.axvspan(1, train_longest, color=BAND, zorder=0, label="lengths trained on")
    for number, (name, results) in enumerate(named.items()):
        part = sorted(results, key=lambda result: result.mean_length)
        lengths = [result.mean_length for result in part]
        _draw_shares(axes, lengths, [result.total for result in part], name, number)
        for result in part if number == 0 else ():
            axes.annotate(
                result.test,
                (result.mean_length, 100 * result.total.accuracy),
                xytext=(6, -12),
                textcoords="offset points",
                fontsize="small",
            )
    every = [result for results in named.values() for result in results]
    based = sorted({(result.mean_length, result.baseline) for result in every if result.baseline is not None})
    if based:
        axes.plot(
            [length for length, _ in based],
            [100 * share for _, share in based],
            color=INK,
            linestyle=":",
            marker="x",
            linewidth=1,
            markersize=5,
            label=f"always {baseline}" if baseline else "baseline",
        )
    lengths = [result.mean_length for result in every]
    axes.set(xscale="log", xlim=(min(lengths) / 2, max(lengths) * 2), ylim=(0, 102))
    axes.set(xlabel="mean length, tokens", ylabel="accuracy, %")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    _finish(axes)
    return figure


def groups_figure(named: Mapping[str, Mapping[str, Share]], *, label: str) -> Figure:
    """Draw accuracy by group, with 95 % intervals: a colour a series, the groups side by side in the first's order."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(group for shares in named.values() for group in shares))
    for number, (name, shares) in enumerate(named.items()):
        shift = 0.12 * (number - (len(named) - 1) / 2)
        places = [place + shift for place, group in enumerate(names) if group in shares]
        _draw_shares(axes, places, [shares[group] for group in names if group in shares], name, number, line="none")
    crowded = sum(map(len, names)) > 50
    axes.set_xticks(range(len(names)), [re.sub(r"-$", "+", name) for name in names], rotation=40 if crowded else 0)
    axes.set(xlabel=label, ylabel="accuracy, %", ylim=(0, 102), xlim=(-0.6, len(names) - 0.4))
    _finish(axes, legend="lower left")
    return figure


def _draw_shares(
    axes, places: Sequence[float], shares: Sequence[Share], name: str, number: int, *, line: str = "-"
) -> None:
    """Draw one series with its intervals."""
    values = [100 * share.accuracy for share in shares]
    low = [max(0.0, 100 * (share.accuracy - share.interval[0])) for share in shares]
    high = [max(0.0, 100 * (share.interval[1] - share.accuracy)) for share in shares]
    axes.errorbar(
        places,
        values,
        yerr=[low, high],
        marker=MARKERS[number % len(MARKERS)],
        linestyle=line,
        capsize=4,
        markersize=5,
        color=COLOURS[number % len(COLOURS)],
        label=name,
    )


def training_figure(histories: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw loss and validation accuracy against steps, a colour a run."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(2, 1, sharex=True)
    for number, (name, history) in enumerate(histories.items()):
        colour = COLOURS[number % len(COLOURS)]
        steps, losses = series(list(history), "loss")
        loss_axes.plot(steps, losses, linewidth=0.6, color=FAINT, label=None if number else "a step")
        loss_axes.plot(steps, smooth(losses), color=colour, label=f"{name}, smoothed" if name else "smoothed")
        steps, shares = series(list(history), "validation_accuracy")
        marker = MARKERS[number % len(MARKERS)]
        accuracy_axes.plot(steps, [100 * share for share in shares], marker=marker, markersize=3, color=colour)
    loss_axes.set(ylabel="training loss")
    accuracy_axes.set(xlabel="step", ylabel="validation accuracy, %")
    accuracy_axes.grid(color=LINE)
    _finish(loss_axes)
    return figure


def smooth(values: Sequence[float], *, keep: float = 0.9) -> list[float]:
    """Return the exponential moving average of ``values``, without the bias of its start."""
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure, all at once."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def inline_svg(figure: Figure, *, name: str, title: str, about: str) -> str:
    """Return a figure as an SVG element for a page.

    Its colours are the page's: ``currentColor`` and the variables --paper, --line, --band, --c0, --c1, ...

    Args:
        figure: drawn by this module.
        name: told apart from those of the page's other figures; its ids begin with it.
        title: what a screen reader says first.
        about: what it says then.
    """
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    variables = VARIABLES | {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)}
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda found: variables.get(found[0], found[0]), svg)
    labelled = f'<svg role="img" class="chart" aria-labelledby="{name}-title {name}-about"'
    inside = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-about">{escape(about)}</desc>'
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return re.sub(r"^<svg([^>]*)>", lambda found: f"{labelled}{found[1]}>{inside}", svg, count=1)


def _finish(axes, *, legend: str = "best") -> None:
    """Draw grid and legend."""
    axes.grid(color=LINE)
    axes.legend(loc=legend, fontsize="small", edgecolor=LINE, facecolor=PAPER)
