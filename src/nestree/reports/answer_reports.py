"""Parts of a report about answers that are not single labels: several labels, or numbers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from nestree.evaluation.evaluate import Result
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.number_measures import NumberMeasures
from nestree.reports.plots import COLOURS, INK, LINE

_PERFECT = {"color": INK, "linestyle": (0, (6, 3)), "linewidth": 1}


def other_answers(results: Sequence[Result], *, most: int = 4) -> list[Result]:
    """Return the results of several labels or numbers that a report shows in detail, at most ``most``."""
    return [one for one in results if isinstance(one.measures, LabelMeasures | NumberMeasures)][:most]


def scatter_figure(measures: NumberMeasures) -> Figure:
    """Draw the predicted number by the true number of each example, with the lines of perfect and mean answers."""
    true, predicted = zip(*measures.points, strict=True)
    low, high = min(*true, *predicted), max(*true, *predicted)
    margin = 0.05 * (high - low or 1.0)
    span = (low - margin, high + margin)
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(span, span, label="perfect answers", **_PERFECT)
    axes.axhline(measures.mean, color=COLOURS[1], linewidth=1.2, linestyle=(0, (2, 2)), label="mean of training")
    axes.plot(true, predicted, marker="o", markersize=4, linestyle="none", color=COLOURS[0], alpha=0.45)
    axes.set(xlim=span, ylim=span, aspect="equal", xlabel="true", ylabel="predicted")
    axes.set_title("Predicted and true numbers", loc="left", fontsize="medium", fontweight="bold")
    axes.legend(fontsize="small", loc="upper left", edgecolor=LINE, framealpha=0.6)
    axes.grid(color=LINE)
    axes.set_axisbelow(True)
    return figure


def scatter_about(measures: NumberMeasures) -> str:
    """Return sentences about the picture."""
    shown = len(measures.points)
    part = "" if shown == measures.examples else f" of {measures.examples:,}, evenly spread over the test"
    return (
        f"Each point is one of {shown:,} examples{part}. The dashed line is where the predicted number is the true "
        "one; the dotted line is the mean of the training numbers, the baseline's answer."
    )
