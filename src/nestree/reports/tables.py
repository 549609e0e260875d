"""Tables of results, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from nestree.config.selection import measured
from nestree.evaluation.evaluate import Result, Share, group_order
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.number_measures import NumberMeasures

MAX_COLUMNS = 5
"""Maximal number of groups of a stratum that are columns."""


def percent(share: float | None) -> str:
    """Return a share in per cent with one decimal; an empty string for None."""
    return "" if share is None else f"{100 * share:.1f}"


def interval(share: Share) -> str:
    """Return the 95 % interval of a share in per cent."""
    low, high = share.interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def share_name(results: Sequence[Result]) -> str:
    """Return what the share of correct answers is called: of several labels, all must be right."""
    return "exact match" if any(isinstance(one.measures, LabelMeasures) for one in results) else "accuracy"


def validation_about(about: Mapping[str, Any]) -> str:
    """Return what was measured in validation, and its value in words, of the contents of ``run.json``."""
    measure, value = measured(about)
    shown = f"{percent(value)} %" if measure.share else decimals(value)
    return f"validation {measure.name} {shown}"


def measured_by(results: Sequence[Result]) -> str:
    """Return the title of the table of tests."""
    if any(not one.has_accuracy for one in results):
        return "correlation and error"
    return "F1 and exact match" if share_name(results) == "exact match" else "accuracy"


def summary_rows(results: Sequence[Result], *, measures: bool = True) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of tests; with ``measures``, also macro F1, ECE and the bag of words.

    Several labels are measured by F1 and exact matches, numbers by correlations and errors.
    """
    if any(not result.has_accuracy for result in results):
        return _number_rows(results)
    header = [
        "test",
        "protocol",
        "inference",
        "examples",
        "mean length",
        f"{share_name(results)} %",
        "95 % interval",
        "baseline %",
        "seconds",
    ]
    columns = _of_labels(results) or (_measured(results) if measures else {})
    header[-1:-1] = columns
    rows = [
        [
            result.test,
            result.protocol or "",
            result.inference or "",
            str(result.total.examples),
            f"{result.mean_length:.0f}",
            percent(result.total.accuracy),
            interval(result.total),
            percent(result.baseline),
            *(column[number] for column in columns.values()),
            f"{result.seconds:.1f}",
        ]
        for number, result in enumerate(results)
    ]
    return header, rows


def _number_rows(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of tests whose answers are numbers."""
    header = ["test", "protocol", "inference", "examples", "mean length", "Pearson", "95 % interval", "Spearman"]
    header += ["MSE", "baseline MSE", "MAE", "baseline MAE", "seconds"]
    rows = []
    for result in results:
        found = result.measures
        values = [""] * 7
        if isinstance(found, NumberMeasures):
            values = [decimals(found.pearson), correlation_interval(found), decimals(found.spearman)]
            values += [f"{value:.4g}" for value in (found.mse, found.baseline_mse, found.mae, found.baseline_mae)]
        about = [result.test, result.protocol or "", result.inference or "", str(result.total.examples)]
        rows.append([*about, f"{result.mean_length:.0f}", *values, f"{result.seconds:.1f}"])
    return header, rows


def decimals(correlation: float | None) -> str:
    """Return a correlation with three decimals; a hyphen where it is not defined."""
    return "-" if correlation is None else f"{correlation:.3f}"


def correlation_interval(measures: NumberMeasures) -> str:
    """Return the 95 % interval of the Pearson correlation; an empty string where there is none."""
    return "" if measures.interval is None else " to ".join(f"{bound:.3f}" for bound in measures.interval)


def _of_labels(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the columns of F1 of results of several labels, by name; none for others."""
    found = [result.measures for result in results]
    if not any(isinstance(one, LabelMeasures) for one in found):
        return {}
    names = {"micro F1 %": "micro_f1", "macro F1 %": "macro_f1", "baseline micro F1 %": "constant_micro_f1"}
    return {name: [percent(getattr(one, key, None)) for one in found] for name, key in names.items()}


def _measured(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the columns of further measures that any of the results has, by name."""
    columns = {
        "bag of words %": [percent(one.bag_of_words and one.bag_of_words.accuracy) for one in results],
        "macro F1 %": [percent(one.class_measures and one.class_measures.macro_f1) for one in results],
        "ECE %": [percent(one.class_measures and one.class_measures.ece) for one in results],
    }
    return {name: column for name, column in columns.items() if any(column)}


def tree_rows(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the scores of the most probable trees, and of trees that need no training.

    See [`nestree.trees.scores.tree_scores`][] for the columns.
    """
    header = ["test", "inference", "score %", "model", "random", "left", "right", "balanced", "limit"]
    rows = []
    for result in results:
        for name, key in (("bracket F1", "f1"), ("operator recall", "recall")):
            shares = [percent(getattr(result.trees[kind], key)) for kind in header[3:]] if result.trees else []
            rows += [[result.test, result.inference or "", name, *shares]] if shares else []
    return header, rows


def stratum_rows(results: Sequence[Result], stratum: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of accuracy by the groups of a stratum.

    Up to [`MAX_COLUMNS`][] groups are columns; a cell has accuracy, interval and number of examples. With more groups,
    there is a row per test and group.
    """
    groups = {share.group: None for result in results for share in result.strata.get(stratum, [])}
    order = sorted(groups, key=group_order)
    several = any(result.inference for result in results)
    rows = []
    for result in results:
        shares = {share.group: share for share in result.strata.get(stratum, [])}
        test = [result.test, *([result.inference or ""] if several else [])]
        if len(order) <= MAX_COLUMNS:
            rows.append([*test, *(cell(shares.get(group)) for group in order)])
        else:
            rows += [
                [*test, group, percent(share.accuracy), interval(share), str(share.examples)]
                for group, share in sorted(shares.items(), key=lambda item: group_order(item[0]))
            ]
    share = f"{share_name(results)} %"
    columns = order if len(order) <= MAX_COLUMNS else [stratum, share, "95 % interval", "examples"]
    return ["test", *(["inference"] if several else []), *columns], rows


def cell(share: Share | None) -> str:
    """Return accuracy, interval and number of examples in one cell."""
    if share is None:
        return ""
    low, high = share.interval
    return f"{100 * share.accuracy:.1f} [{100 * low:.0f}, {100 * high:.0f}] n={share.examples}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return a Markdown table; columns whose indices are in ``right`` are right-aligned."""
    rule = ["---:" if number in right else "---" for number in range(len(header))]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def show(console: Console, results: Sequence[Result], *, strata: bool = True, without: Collection[str] = ()) -> None:
    """Print the table of tests and, with ``strata``, one table per stratum other than those ``without``.

    The table of tests leaves out the measures besides accuracy if they do not fit into the width.
    """
    title = measured_by(results)
    table = text_table(*summary_rows(results), title=title)
    if Measurement.get(console, console.options.update(width=10_000), table).maximum > console.width:
        table = text_table(*summary_rows(results, measures=False), title=title)
    console.print(table)
    if any(result.trees for result in results):
        _print(console, *tree_rows(results), title="most probable trees compared with gold trees")
    names: dict[str, None] = {}
    for result in results:
        names |= dict.fromkeys(result.strata)
    for name in names if strata else ():
        if name in without:
            continue
        _print(console, *stratum_rows(results, name), title=f"{share_name(results)} % [95 % interval] by {name}")


def _print(console: Console, header: list[str], rows: list[list[str]], *, title: str) -> None:
    console.print(text_table(header, rows, title=title))


def text_table(header: list[str], rows: list[list[str]], *, title: str) -> Table:
    """Return a table for the terminal."""
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(
            name, justify="left" if name in ("test", "protocol", "inference", "score %", header[0]) else "right"
        )
    for row in rows:
        table.add_row(*row)
    return table
