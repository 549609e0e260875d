"""The report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from nestree.data.files import replacing
from nestree.evaluation.evaluate import Result
from nestree.evaluation.history import Row, series

COLOURS = {"grouped": "#1f77b4", "flat": "#d95f02", None: "#1f77b4"}


def plot_accuracy(results: Sequence[Result], path: Path, *, train_longest: int | None, baseline: str) -> None:
    """Draw accuracy against length: a point a test, with its 95 % interval; and what always ``baseline`` achieves."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    if train_longest is not None:
        axes.axvspan(1, train_longest, color="#eeeeee", zorder=0, label="lengths trained on")
    by_inference: dict[str | None, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.mean_length):
        by_inference.setdefault(result.inference, []).append(result)
    for inference, part in by_inference.items():
        _draw_points(axes, part, label=f"{inference} inference" if inference else "accuracy", colour=COLOURS[inference])
    based = sorted({(result.mean_length, result.baseline) for result in results if result.baseline is not None})
    if based:
        axes.plot(
            [length for length, _ in based], [100 * share for _, share in based], "k:x", linewidth=1, markersize=5,
            label=f"always {baseline}",
        )  # fmt: skip
    lengths = [result.mean_length for result in results]
    axes.set(xscale="log", xlim=(min(lengths) / 2, max(lengths) * 2), ylim=(0, 102))
    axes.set(xlabel="mean length, tokens", ylabel="accuracy, %")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    _save(figure, path)


def _draw_points(axes, part: Sequence[Result], *, label: str, colour: str) -> None:
    """Draw one inference's tests, named, with intervals."""
    lengths = [result.mean_length for result in part]
    shares = [100 * result.total.accuracy for result in part]
    low = [share - 100 * result.total.interval[0] for share, result in zip(shares, part, strict=True)]
    high = [100 * result.total.interval[1] - share for share, result in zip(shares, part, strict=True)]
    axes.errorbar(lengths, shares, yerr=[low, high], fmt="o-", capsize=4, markersize=5, color=colour, label=label)
    for result, share in zip(part, shares, strict=True):
        axes.annotate(
            result.test, (result.mean_length, share), xytext=(6, 6), textcoords="offset points", fontsize="x-small"
        )


def plot_training(history: Sequence[Row], path: Path) -> None:
    """Draw loss and validation accuracy against steps."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(2, 1, sharex=True)
    steps, losses = series(list(history), "loss")
    loss_axes.plot(steps, losses, linewidth=0.6, color="#bbbbbb", label="a step")
    loss_axes.plot(steps, smooth(losses), color="#1f77b4", label="smoothed")
    loss_axes.set(ylabel="training loss")
    loss_axes.legend(fontsize="small")
    steps, shares = series(list(history), "validation_accuracy")
    accuracy_axes.plot(steps, [100 * share for share in shares], "o-", markersize=3, color="#d95f02")
    accuracy_axes.set(xlabel="step", ylabel="validation accuracy, %")
    for axes in (loss_axes, accuracy_axes):
        axes.grid(alpha=0.3)
    _save(figure, path)


def smooth(values: Sequence[float], *, keep: float = 0.9) -> list[float]:
    """Return the exponential moving average of ``values``, without the bias of its start."""
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
