"""The plot of a comparison: a report's panels with all recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nestree.comparison.rows import Row
from nestree.reports.markdown import accuracy_about
from nestree.reports.panel_plots import panels_figure
from nestree.reports.panels import Series, panels
from nestree.reports.plots import save_png


def plot(rows: Sequence[Row], path: Path, *, title: str, baseline: str) -> list[str]:
    """Draw the panels and return the sentences of the caption; draw nothing if there are no results yet.

    Each recipe has a colour and a marker; flat inference is dashed where there is grouped inference too.
    """
    labels = list(dict.fromkeys(row.contender.label for row in rows))
    series = [
        Series(
            row.name,
            row.run,
            list(row.results.values()),
            labels.index(row.contender.label),
            dashed=row.several and row.inference == "flat",
        )
        for row in rows
    ]
    drawn = panels(series)
    if not drawn:
        return []
    save_png(panels_figure(drawn, baseline=baseline, title=title), path)
    return accuracy_about(series, drawn)
