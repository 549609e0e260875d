"""The charts of a page, each with its legend and with what a reader has to know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from nestree.reports.panel_plots import Key, legend, panel_figure, pool_figures, series_legend, swatch_figure
from nestree.reports.panels import Panel, Pool
from nestree.reports.plots import inline_svg, inline_swatch, training_figure
from nestree.reports.tables import percent
from nestree.runs.history import Row


@dataclass(frozen=True)
class Chart:
    """Panels that stand side by side where there is room, and below one another where there is none."""

    legend: Sequence[tuple[Markup, str]]
    """Swatches, and what they mean."""
    panels: Sequence[tuple[int, Markup]]
    """Width in points, and drawing."""
    about: Sequence[str]
    """What stands below."""


def accuracy_chart(panels: Sequence[Panel], about: Sequence[str], *, baseline: str | None) -> Chart | None:
    """Draw panels of tests; None without any.

    Args:
        panels: drawn in this order.
        about: what stands below.
        baseline: what the baseline always answers; None where runs have several.
    """
    if not panels:
        return None
    drawings = [
        _panel(panel_figure(panel), f"accuracy-{number}", f"Accuracy: {panel.title}", _heard(panel))
        for number, panel in enumerate(panels)
    ]
    return Chart(_swatches(legend(panels, baseline=baseline), "accuracy"), drawings, about)


def stratum_chart(panels: Sequence[Panel], stratum: str, *, name: str) -> Chart | None:
    """Draw accuracy by the groups of a stratum; None where no two series share a test.

    Args:
        panels: one for each of the chart's.
        stratum: by which tests are broken down.
        name: told apart from those of the page's other charts.
    """
    pools = [pool for panel in panels if (pool := panel.pooled(stratum)).tests]
    if not pools:
        return None
    drawings = [
        _panel(figure, f"{name}-{number}", f"Accuracy by {stratum}: {pool.panel.title}", _heard_groups(pool))
        for number, (pool, figure) in enumerate(zip(pools, pool_figures(pools, label=stratum), strict=True))
    ]
    about = [f"Tests of one panel counted together. {pools[0].about}", *(pool.about for pool in pools[1:])]
    return Chart(_swatches(series_legend([pool.panel for pool in pools]), name), drawings, about)


def training_chart(histories: Mapping[str, Sequence[Row]]) -> Markup | None:
    """Draw the course of trainings by name; None without any."""
    if not histories:
        return None
    return Markup(
        inline_svg(
            training_figure(histories),
            name="training",
            title="Training loss and validation accuracy",
            about=f"Against optimizer steps, of {', '.join(histories)}.",
        )
    )


def _panel(figure: Figure, name: str, title: str, about: str) -> tuple[int, Markup]:
    return round(72 * figure.get_figwidth()), Markup(inline_svg(figure, name=name, title=title, about=about))


def _swatches(keys: Sequence[tuple[str, Key]], name: str) -> list[tuple[Markup, str]]:
    return [
        (Markup(inline_swatch(swatch_figure(key), name=f"{name}-key-{number}")), text)
        for number, (text, key) in enumerate(keys)
    ]


def _heard(panel: Panel) -> str:
    """Say what a panel shows."""
    return "; ".join(
        f"{one.name}: " + ", ".join(f"{result.test} {percent(result.total.accuracy)} %" for result in one.results)
        for one in panel.series
    )


def _heard_groups(pool: Pool) -> str:
    """Say what a panel of groups shows."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{share.group} {percent(share.accuracy)} %" for share in shares.values())
        for name, shares in pool.shares.items()
    )
