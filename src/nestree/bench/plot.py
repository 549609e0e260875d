"""The picture: time and memory of a sequence against its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from nestree.bench.exponents import Growth, exponents, points
from nestree.bench.plan import MODES
from nestree.bench.rows import Row
from nestree.data.files import replacing
from nestree.recursions.beam_tree import ENGINES

_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d")


def plot(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Draw time (above) and memory (below) against length on logarithmic axes, inference left and training right.

    Naive twins are dashed; a legend gives the fitted exponents.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    figures: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
        ("time", "seconds a sequence", lambda row: row.seconds_per_sequence),
        ("memory", "MB over the base, a sequence", lambda row: _megabytes(row)),
    )
    growths = exponents(rows)
    for line, (what, label, of) in zip(grid, figures, strict=True):
        for axes, mode in zip(line, MODES, strict=True):
            _draw(axes, [row for row in rows if row.job.mode == mode], of, [g for g in growths if g.mode == mode], what)
            axes.set(xscale="log", yscale="log")
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.grid(alpha=0.3, which="both")
        line[0].set(ylabel=label)
    for axes, mode in zip(grid[0], MODES, strict=True):
        axes.set(title=mode)
    for axes in grid[1]:
        axes.set(xlabel="length, tokens")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _draw(axes: Any, rows: Sequence[Row], of: Callable[[Row], float | None], growths: list[Growth], what: str) -> None:
    """Draw a line for every encoder and engine that was measured."""
    encoders = list(dict.fromkeys(row.job.encoder for row in rows))
    for encoder, engine in dict.fromkeys((row.job.encoder, row.job.engine) for row in rows):
        known = points([row for row in rows if (row.job.encoder, row.job.engine) == (encoder, engine)], of)
        if not known:
            continue
        powers = [getattr(g, what) for g in growths if (g.encoder, g.engine) == (encoder, engine)]
        power = f"   n^{powers[0]:.2f}" if powers and powers[0] is not None else ""
        axes.plot(
            *zip(*known, strict=True),
            marker="o",
            markersize=4,
            linestyle="--" if engine == ENGINES[1] else "-",
            color=_COLOURS[encoders.index(encoder) % len(_COLOURS)],
            label=f"{encoder}{f' ({engine})' if engine else ''}{power}",
        )
    if axes.lines:
        axes.legend(fontsize="small")


def _megabytes(row: Row) -> float | None:
    memory = row.memory_per_sequence
    return None if memory is None else memory / 1e6
