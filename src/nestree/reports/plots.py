"""Plots as PNG for Markdown and as SVG for HTML, and the plot of a training run."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from nestree.data.files import replacing
from nestree.runs.history import Row, measure_of, series

COLOURS = ("#1f77b4", "#d95f02", "#117733", "#aa4499", "#b8860b", "#5d5d9c")
MARKERS = "os^Dv*P"
"""Markers of the series, so that they differ without colours too."""

INK, PAPER, LINE, BAND, FAINT = "#000000", "#ffffff", "#cccccc", "#eeeeee", "#bbbbbb"
VARIABLES = {INK: "currentColor", PAPER: "var(--paper)", LINE: "var(--line)", BAND: "var(--band)", FAINT: "var(--line)"}
"""CSS values that replace these colours on a page, which may be dark."""


def training_figure(histories: Mapping[str, Sequence[Row]]) -> Figure:
    """Draw training loss and what validation measures by optimizer step, one colour per run."""
    measure = next(iter({measure_of(list(history)) for history in histories.values()}), None)
    factor = 100 if measure is None or measure.share else 1
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(2, 1, sharex=True)
    for number, (name, history) in enumerate(histories.items()):
        colour = COLOURS[number % len(COLOURS)]
        steps, losses = series(list(history), "loss")
        loss_axes.plot(steps, losses, linewidth=0.6, color=FAINT, label=None if number else "per step")
        loss_axes.plot(steps, smooth(losses), color=colour, label=f"{name}, smoothed" if name else "smoothed")
        steps, values = series(list(history), measure_of(list(history)).key)
        marker = MARKERS[number % len(MARKERS)]
        accuracy_axes.plot(steps, [factor * value for value in values], marker=marker, markersize=3, color=colour)
    loss_axes.set(ylabel="training loss")
    name = "accuracy" if measure is None else measure.name
    accuracy_axes.set(
        xlabel="step", ylabel=f"validation{chr(10) if len(name) > 10 else ' '}{name}{', %' * (factor == 100)}"
    )
    accuracy_axes.grid(color=LINE)
    loss_axes.grid(color=LINE)
    loss_axes.legend(fontsize="small", edgecolor=LINE, facecolor=PAPER)
    return figure


def smooth(values: Sequence[float], *, keep: float = 0.9) -> list[float]:
    """Return the exponential moving average of ``values``, with bias correction; ``keep`` is its decay."""
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with replacing(path) as temporary, any_script():
        figure.savefig(temporary, format="png", dpi=150)


@contextmanager
def any_script() -> Iterator[None]:
    """Draw labels in scripts that matplotlib's font lacks without a warning: pages show them, PNG files boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
        yield


def inline_svg(figure: Figure, *, name: str, title: str, about: str) -> str:
    """Return a figure as an SVG element for a page.

    It uses the page's colours: ``currentColor`` and the variables --paper, --line, --band, --c0, --c1, ...

    Args:
        figure: a figure with the colours of this module.
        name: prefix of all ids, unique on the page.
        title: title for screen readers.
        about: description for screen readers.
    """
    labelled = f'<svg role="img" class="chart" aria-labelledby="{name}-title {name}-about"'
    inside = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-about">{escape(about)}</desc>'
    return re.sub(r"^<svg([^>]*)>", lambda found: f"{labelled}{found[1]}>{inside}", _page_svg(figure, name), count=1)


def inline_swatch(figure: Figure, *, name: str) -> str:
    """Return a figure as an SVG element that screen readers skip; see [`inline_svg`][]."""
    return re.sub(r"^<svg", '<svg aria-hidden="true" class="swatch"', _page_svg(figure, name), count=1)


def _page_svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element in the page's colours, with ids that begin with ``name``."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), any_script():
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    variables = VARIABLES | {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)}
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda found: variables.get(found[0], found[0]), svg)
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
