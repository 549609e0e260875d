"""Plots of accuracy, with a panel per family of tests: by test, or by group of a stratum."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from nestree.evaluation.evaluate import Share
from nestree.reports.panels import Panel, Pool, Series
from nestree.reports.plots import BAND, COLOURS, INK, LINE, MARKERS, PAPER, any_script

HEIGHT = 3.0
"""Height of a panel, inches."""
SHIFT = 5.0
"""Horizontal distance between the markers of two series at the same place, points; less for many series."""
WIDEST = 4.9
"""Maximal width of a panel, inches, unless its title needs more."""
HORIZONTAL = 2.5
"""Maximal total width of horizontal labels of groups, inches; wider ones are rotated."""

Key = Line2D | Patch
"""Symbol in a legend."""


def panels_figure(panels: Sequence[Panel], *, baseline: str | None = None, title: str | None = None) -> Figure:
    """Draw panels in a row, with one legend below them.

    Args:
        panels: at least one.
        baseline: the baseline's answer; None if it differs between runs.
        title: title of the figure.
    """
    widths = [panel_width(panel) for panel in panels]
    keys = legend(panels, baseline=baseline)
    key_width = 0.65 + 0.067 * max(len(text) for text, _ in keys)
    width = max(sum(widths), key_width, 0.1 * len(title or ""))
    columns = int(width / key_width)
    height = HEIGHT + 0.25 * -(-len(keys) // columns) + (0.3 if title else 0)
    figure = Figure(figsize=(width, height), layout="constrained")
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True, width_ratios=widths)[0]
    for number, (axes, panel) in enumerate(zip(row, panels, strict=True)):
        _draw_panel(axes, panel)
        if number:
            axes.set_ylabel("")
    if title:
        figure.suptitle(title)
    figure.legend(
        [key for _, key in keys],
        [text for text, _ in keys],
        loc="outside lower center",
        ncols=min(columns, len(keys)),
        fontsize="small",
        frameon=False,
    )
    _fit_ticks(figure)
    return figure


def panel_figure(panel: Panel) -> Figure:
    """Draw one panel alone, without a legend."""
    figure = Figure(figsize=(panel_width(panel), HEIGHT), layout="constrained")
    _draw_panel(figure.add_subplot(), panel)
    _fit_ticks(figure)
    return figure


def pool_figures(pools: Sequence[Pool], *, label: str) -> list[Figure]:
    """Draw accuracy by group of a stratum, with 95 % intervals, as one figure per pool without a legend.

    If the labels of one figure need to be rotated, those of all figures are.
    """
    figures = [_pool_figure(pool, label) for pool in pools]
    if any(_overlap(figure, axes) for figure in figures for axes in figure.axes):
        for figure in figures:
            figure.axes[0].tick_params(axis="x", labelrotation=90)
    return figures


def _pool_figure(pool: Pool, label: str) -> Figure:
    names = list(dict.fromkeys(group for shares in pool.shares.values() for group in shares))
    width = max(0.9 + _slots(names, most=HORIZONTAL, upright=0.26), _title_width(pool.panel.title))
    figure = Figure(figsize=(width, HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    for one, shift in _shifts(pool.panel.series):
        shares = pool.shares[one.name]
        places = [float(place) for place, group in enumerate(names) if group in shares]
        _draw_shares(axes, places, [shares[group] for group in names if group in shares], one, shift, line=False)
    axes.set_xticks(range(len(names)), [re.sub(r"-$", "+", name) for name in names], parse_math=False)
    _finish(axes, title=pool.panel.title, label=label, limits=(-0.6, len(names) - 0.4))
    return figure


def panel_width(panel: Panel) -> float:
    """Return the width of a panel's figure, inches."""
    if panel.family.by_length:
        width = WIDEST
    elif panel.family.axis is None:
        width = 0.8 + _slots(panel.tests, most=WIDEST - 0.7, upright=0.4)
    else:
        width = 1.4 + 0.5 * len(panel.tests)
    return max(min(width, WIDEST), _title_width(panel.title))


def _slots(names: Sequence[str], *, most: float, upright: float) -> float:
    """Return the total width of labels, inches: horizontal if at most ``most``, else rotated, ``upright`` per label."""
    horizontal = len(names) * (0.12 + 0.09 * max(map(len, names)))
    return horizontal if horizontal <= most else upright * len(names)


def _title_width(title: str) -> float:
    return 0.75 + 0.085 * len(title)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw one point per test, joined by lines if the family's axis is a number."""
    family, lined = panel.family, panel.family.axis is not None
    low, high = _limits(panel)
    if panel.trained is not None and lined:
        axes.axvspan(low, min(panel.trained, high), color=BAND, zorder=0)
    if family.claim is not None:
        axes.plot([low, min(family.claim.until, high)], [100 * family.claim.accuracy] * 2, **_CLAIM)
    if based := panel.baselines():
        places = [panel.places[test] for test in based]
        look: dict[str, Any] = _BASELINE | ({} if lined else {"linestyle": "none"})
        axes.plot(places, [100 * share for share in based.values()], **look)
    for one, shift in _shifts(panel.series):
        places = [panel.places[result.test] for result in one.results]
        _draw_shares(axes, places, [result.total for result in one.results], one, shift, line=lined)
    if family.by_length:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    elif lined:
        places = sorted(panel.places.values())
        axes.set_xticks(places, [f"{place:g}" for place in places])
    else:
        axes.set_xticks([panel.places[test] for test in panel.tests], list(panel.tests))
    _finish(axes, title=panel.title, label=family.axis or "test", limits=(low, high))


def _limits(panel: Panel) -> tuple[float, float]:
    """Return the limits of a panel's horizontal axis."""
    first, last = min(panel.places.values()), max(panel.places.values())
    if panel.family.by_length:
        return min(first, panel.trained or first) / 1.8, last * 1.8
    step = min((later - before for before, later in pairwise(sorted(panel.places.values()))), default=1.0)
    return first - 0.6 * step, last + 0.6 * step


_BASELINE: dict[str, Any] = {"color": INK, "linestyle": ":", "marker": "x", "linewidth": 1, "markersize": 5}
_CLAIM: dict[str, Any] = {"color": INK, "linestyle": (0, (6, 3)), "linewidth": 1}


def _look(one: Series) -> dict[str, Any]:
    """Return colour, marker and line of a series."""
    return {
        "color": COLOURS[one.look % len(COLOURS)],
        "marker": MARKERS[one.look % len(MARKERS)],
        "markersize": 5,
        "linestyle": "--" if one.dashed else "-",
        "markerfacecolor": PAPER if one.dashed else COLOURS[one.look % len(COLOURS)],
    }


def _shifts(series: Sequence[Series]) -> list[tuple[Series, float]]:
    """Return the horizontal offset of each series, points, so that no marker hides another."""
    step = min(SHIFT, 24 / len(series))
    return [(one, step * (number - (len(series) - 1) / 2)) for number, one in enumerate(series)]


def _draw_shares(
    axes: Axes, places: Sequence[float], shares: Sequence[Share], one: Series, shift: float, *, line: bool
) -> None:
    """Draw one series with its intervals, ``shift`` points to the right."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    look: dict[str, Any] = _look(one) | ({} if line else {"linestyle": "none"})
    values = [100 * share.accuracy for share in shares]
    low = [max(0.0, 100 * (share.accuracy - share.interval[0])) for share in shares]
    high = [max(0.0, 100 * (share.interval[1] - share.accuracy)) for share in shares]
    axes.errorbar(
        places,
        values,
        yerr=[low, high],
        capsize=3,
        transform=axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans),
        **look,
    )


def legend(panels: Iterable[Panel], *, baseline: str | None = None) -> list[tuple[str, Key]]:
    """Return the entries of the legend: text and symbol.

    Args:
        panels: the panels that share the legend.
        baseline: the baseline's answer; None if it differs between runs.
    """
    panels = list(panels)
    entries = series_legend(panels)
    if any(panel.baselines() for panel in panels):
        entries.append((f"always {baseline}" if baseline else "baseline", Line2D([], [], **_BASELINE)))
    for panel in panels:
        if panel.family.claim is not None:
            entries.append((panel.family.claim.about, Line2D([], [], **_CLAIM)))
    if any(panel.trained is not None and panel.family.axis for panel in panels):
        entries.append(("training range", Patch(color=BAND)))
    return list(dict(entries).items())


def series_legend(panels: Iterable[Panel]) -> list[tuple[str, Key]]:
    """Return the entries of the legend for series: name and symbol."""
    every = {one.name: one for panel in panels for one in panel.series}
    return [(one.name, Line2D([], [], **_look(one))) for one in sorted(every.values(), key=lambda one: one.look)]


def swatch_figure(key: Key) -> Figure:
    """Draw the symbol of a legend's entry."""
    figure = Figure(figsize=(0.5, 0.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 2), ylim=(0, 2))
    axes.set_axis_off()
    if isinstance(key, Line2D):
        line = Line2D([0, 1, 2], [1, 1, 1], markevery=[1])
        line.update_from(key)
        axes.add_line(line)
    else:
        axes.axvspan(0, 2, color=key.get_facecolor())
    return figure


def _fit_ticks(figure: Figure) -> None:
    """Choose the ticks of lengths, and rotate labels, so that no two labels overlap."""
    for axes in figure.axes:
        if axes.get_xscale() == "log":
            for steps in ((1, 2, 5), (1, 3), (1,)):
                _set_lengths(axes, steps)
                if not _overlap(figure, axes):
                    break
        elif _overlap(figure, axes):
            axes.tick_params(axis="x", labelrotation=90)


def _set_lengths(axes: Axes, steps: tuple[int, ...]) -> None:
    low, high = axes.get_xlim()
    every = [step * 10**power for power in range(7) for step in steps]
    shown = [length for length in every if low <= length <= high]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.set_xticklabels([f"{length:,}" for length in shown])


def _overlap(figure: Figure, axes: Axes) -> bool:
    """Whether two neighbouring labels of the horizontal axis overlap, or nearly touch."""
    with any_script():
        figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    return any(one.x1 + 5 > other.x0 for one, other in pairwise(sorted(boxes, key=lambda box: box.x0)))


def _finish(axes: Axes, *, title: str, label: str, limits: tuple[float, float]) -> None:
    """Set title, labels, limits and grid."""
    axes.set(xlabel=label, ylabel="accuracy, %", ylim=(0, 104), xlim=limits, yticks=range(0, 101, 20))
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.grid(color=LINE)
    axes.set_axisbelow(True)
