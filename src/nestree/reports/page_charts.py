"""The charts of the HTML page, with legends and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from nestree.evaluation.evaluate import Result
from nestree.evaluation.measures import ClassMeasures
from nestree.evaluation.number_measures import NumberMeasures
from nestree.reports.answer_reports import scatter_about, scatter_figure
from nestree.reports.class_plots import class_legend, confusion_figure, reliability_figure
from nestree.reports.class_tables import calibration_about, confusion_about
from nestree.reports.panel_plots import Key, legend, panel_figure, pool_figures, series_legend, swatch_figure
from nestree.reports.panels import Panel, Pool
from nestree.reports.plots import inline_svg, inline_swatch, training_figure
from nestree.reports.tables import percent
from nestree.runs.history import Row


@dataclass(frozen=True)
class Chart:
    """Panels, side by side as far as the page is wide enough."""

    legend: Sequence[tuple[Markup, str]]
    """Swatches and their meaning."""
    panels: Sequence[tuple[int, Markup]]
    """Width in points, and drawing."""
    about: Sequence[str]
    """Sentences of the caption."""


def accuracy_chart(panels: Sequence[Panel], about: Sequence[str], *, baseline: str | None) -> Chart | None:
    """Draw panels of tests; None if there are none.

    Args:
        panels: the panels in order.
        about: sentences of the caption.
        baseline: the baseline's answer; None if it differs between runs.
    """
    if not panels:
        return None
    drawings = [
        _panel(panel_figure(panel), f"accuracy-{number}", f"Accuracy: {panel.title}", _as_text(panel))
        for number, panel in enumerate(panels)
    ]
    return Chart(_swatches(legend(panels, baseline=baseline), "accuracy"), drawings, about)


def stratum_chart(panels: Sequence[Panel], stratum: str, *, name: str) -> Chart | None:
    """Draw accuracy by the groups of a stratum; None if the series of no panel share a test.

    Args:
        panels: panels of the tests.
        stratum: name of the stratum.
        name: a name that no other chart of the page has.
    """
    pools = [pool for panel in panels if (pool := panel.pooled(stratum)).tests]
    if not pools:
        return None
    drawings = [
        _panel(figure, f"{name}-{number}", f"Accuracy by {stratum}: {pool.panel.title}", _groups_as_text(pool))
        for number, (pool, figure) in enumerate(zip(pools, pool_figures(pools, label=stratum), strict=True))
    ]
    about = [f"Each panel combines its tests. {pools[0].about}", *(pool.about for pool in pools[1:])]
    return Chart(_swatches(series_legend([pool.panel for pool in pools]), name), drawings, about)


def class_chart(result: Result, *, name: str) -> Chart | None:
    """Draw confusion matrix and reliability of a result; None if it has no measures of classes.

    Args:
        result: the result.
        name: a name that no other chart of the page has.
    """
    measures = result.class_measures
    if measures is None:
        return None
    confusion = confusion_figure(measures)
    drawings = (
        []
        if confusion is None
        else [_panel(confusion, f"{name}-confusion", f"Confusion matrix: {result.test}", _pairs_as_text(measures))]
    )
    bins = "; ".join(f"{percent(one.confidence)} %: {one.correct} of {one.examples} right" for one in measures.bins)
    drawings.append(_panel(reliability_figure(measures), f"{name}-reliability", f"Reliability: {result.test}", bins))
    legend = _swatches(class_legend(confusion=confusion is not None), name)
    return Chart(
        legend, drawings, [*([] if confusion is None else [confusion_about(measures)]), calibration_about(result)]
    )


def scatter_chart(result: Result, *, name: str) -> Chart | None:
    """Draw predicted and true numbers of a result; None if its answers are not numbers.

    Args:
        result: the result.
        name: a name that no other chart of the page has.
    """
    measures = result.measures
    if not isinstance(measures, NumberMeasures):
        return None
    title = f"Predicted and true numbers: {result.test}"
    points = "; ".join(f"{true:g}: {predicted:g}" for true, predicted in measures.points[:50])
    return Chart([], [_panel(scatter_figure(measures), f"{name}-scatter", title, points)], [scatter_about(measures)])


def training_chart(histories: Mapping[str, Sequence[Row]]) -> Markup | None:
    """Draw loss and validation measure of training runs, by name; None if there are none."""
    if not histories:
        return None
    return Markup(
        inline_svg(
            training_figure(histories),
            name="training",
            title="Training loss and validation",
            about=f"By optimizer step, for {', '.join(histories)}.",
        )
    )


def _panel(figure: Figure, name: str, title: str, about: str) -> tuple[int, Markup]:
    return round(72 * figure.get_figwidth()), Markup(inline_svg(figure, name=name, title=title, about=about))


def _swatches(keys: Sequence[tuple[str, Key]], name: str) -> list[tuple[Markup, str]]:
    return [
        (Markup(inline_swatch(swatch_figure(key), name=f"{name}-key-{number}")), text)
        for number, (text, key) in enumerate(keys)
    ]


def _as_text(panel: Panel) -> str:
    """Return the content of a panel as text, for screen readers."""
    return "; ".join(
        f"{one.name}: " + ", ".join(f"{result.test} {percent(result.total.accuracy)} %" for result in one.results)
        for one in panel.series
    )


def _groups_as_text(pool: Pool) -> str:
    """Return the content of a panel of groups as text, for screen readers."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{share.group} {percent(share.accuracy)} %" for share in shares.values())
        for name, shares in pool.shares.items()
    )


def _pairs_as_text(measures: ClassMeasures) -> str:
    """Return right answers by label and the most confused pairs as text, for screen readers."""
    right = [f"{one.label}: {one.correct} of {one.support} right" for one in measures.classes]
    wrong = [f"{label} answered {answer}: {count}" for label, answer, count in measures.pairs]
    return "; ".join([*right, *wrong])
