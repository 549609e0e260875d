"""``nestree reproduce``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.progress import Progress
from rich.table import Table

from nestree.checks import check_at_least
from nestree.cli.arguments import command_parser, parse_command
from nestree.consoles import messages, output
from nestree.evaluation.reproduce import TOLERATED, Figure, figures, reproduce
from nestree.reports.tables import interval, percent


def main(arguments: Sequence[str]) -> int:
    """List the published figures, or reproduce some; return 1 if one differs from what was published."""
    parser = command_parser(
        "reproduce",
        "Reproduce published results with the models that ship with the package, example by example, or list them. "
        f"Up to {TOLERATED:.1%} of the answers (at least one) may differ, as machines round differently.",
    )
    parser.add_argument(
        "figure",
        nargs="?",
        type=str,
        help="A result, such as listops-rir/900-1000/grouped, or a model for all of its results (default: list them).",
    )
    parser.add_argument(
        "--limit", type=int | None, default=None, help="Number of examples per result, from the first on."
    )
    parser.add_argument("--train", action="store_true", help="Print the commands that train the model from scratch.")
    parsed = parse_command(parser, arguments)
    found = figures(parsed.figure)
    if parsed.limit is not None:
        check_at_least("limit", parsed.limit, 1)
    if parsed.train:
        for run in {figure.run.path: figure.run for figure in found}.values():
            print(*run.commands(), sep="\n")
        return 0
    if parsed.figure is None:
        _list(found)
        return 0
    return 0 if _reproduce(found, parsed.limit) else 1


def _list(found: Sequence[Figure]) -> None:
    shown = Table(title="published figures", title_justify="left")
    for column in ("figure", "examples", "accuracy %", "95 % interval"):
        shown.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
    for figure in found:
        total = figure.result.total
        shown.add_row(figure.name, f"{total.examples:,}", percent(total.accuracy), interval(total))
    output().print(shown)


def _reproduce(found: Sequence[Figure], limit: int | None) -> bool:
    shown = Table(title="reproduced", title_justify="left")
    for column in ("figure", "examples", "published %", "now %", "answers that differ", ""):
        shown.add_column(column, justify="left" if column in ("figure", "") else "right", no_wrap=True)
    hold = True
    with Progress(console=messages(), transient=True) as progress:
        for figure in found:
            bar = progress.add_task(figure.name, total=min(figure.result.total.examples, limit or 10**9))
            one = reproduce(figure, limit=limit, advance=lambda count, bar=bar: progress.advance(bar, count))
            hold &= one.holds
            published, now = (percent(correct / one.examples) for correct in (one.recorded, one.correct))
            verdict = "as published" if one.holds else "NOT as published"
            shown.add_row(figure.name, f"{one.examples:,}", published, now, f"{one.differing}", verdict)
    output().print(shown)
    return hold
