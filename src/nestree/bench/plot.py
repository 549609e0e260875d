"""Plot of time and memory per sequence by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from nestree.bench.exponents import by_series, exponents, measurable_memory, points
from nestree.bench.plan import MODES
from nestree.bench.rows import Row
from nestree.data.files import replacing
from nestree.recursions.beam.options import ENGINES

_FIGURES: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
    ("time", "seconds per sequence", lambda row: row.seconds_per_sequence),
    ("memory", "bytes over the base per sequence", measurable_memory),
)
_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d")


def plot(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Draw time (top) and memory (bottom) by length on logarithmic axes, for inference (left) and training (right).

    Naive implementations are dashed; the legends give the fitted exponents.
    """
    figure = Figure(figsize=(14, 8), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    lengths = sorted({row.job.length for row in rows if row.job.length})
    for line, (what, label, of) in zip(figure.subplots(2, 2, sharex=True, sharey="row"), _FIGURES, strict=True):
        for axes, mode in zip(line, MODES, strict=True):
            axes.set(xscale="log", yscale="log", title=mode, xlabel="length, tokens", ylabel=label)
            axes.set_xticks(lengths, [f"{length:,}" for length in lengths], rotation=45)
            axes.set_xticks([], minor=True)
            axes.grid(alpha=0.3)
            _draw(axes, rows, mode, what, of)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _draw(axes: Any, rows: Sequence[Row], mode: str, what: str, of: Callable[[Row], float | None]) -> None:
    """Draw one line per encoder and engine for a mode."""
    encoders = list(dict.fromkeys(row.job.encoder for row in rows))
    powers = {(growth.encoder, growth.engine, growth.mode): getattr(growth, what) for growth in exponents(rows)}
    for key, part in by_series(rows).items():
        encoder, engine, of_mode = key
        known = points(part, of)
        if of_mode != mode or not known:
            continue
        power = powers.get(key)
        axes.plot(
            *zip(*known, strict=True),
            marker="o",
            markersize=4,
            linestyle="--" if engine == ENGINES[-1] else "-",
            color=_COLOURS[encoders.index(encoder) % len(_COLOURS)],
            label=encoder + (f" ({engine})" if engine else "") + ("" if power is None else f", n^{power:.2f}"),
        )
    if axes.lines:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
