"""Output at the end of ``nestree train --report``: accuracy by length, a tree, and figures of other recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nestree.evaluation.evaluate import Result
from nestree.evaluation.readings import Reading, read
from nestree.recipes import Kept, kept_figures
from nestree.reports.class_tables import FEW, answers_about, bag_about, label_count, show_classes
from nestree.reports.tables import interval, percent, show
from nestree.runs import Run, load
from nestree.tasks.base import SplitAbout
from nestree.tasks.target import target_of
from nestree.trees.terminal import ascii_only, draw_text

SHORTEST_BAR, LONGEST_BAR = 10, 40
"""Width of a bar of 100 %, in columns."""
WIDTH = 76
"""Width of the table without its bars, in columns."""
SIGNS = {False: "█·│", True: "#.|"}
"""Characters of a bar (reached, missing, mark), by whether only ASCII can be used."""
TREE_TOKENS = 300
"""Preferred length of the example whose tree is drawn, in tokens."""
TREE_LINES = 24
"""Maximal number of leaves and folded parts of that tree."""


def show_glance(console: Console, run: Run, results: Sequence[Result]) -> None:
    """Print accuracy by length, the kept figures of other recipes, and one tree."""
    plain, room = console.options.ascii_only, console.width - WIDTH
    title = f"{run.config.recipe}: accuracy, {run.protocol}"
    bars = max(SHORTEST_BAR, min(LONGEST_BAR, room))
    if target_of(run.task).kind != "class":
        _show_answers(console, results)
        show_tree(console, run, results)
        return
    console.print(accuracy_table(results, run.task.splits, title=title, columns=bars, plain=plain))
    show_labels(console, run, results)
    for claim in claims(results, run.task.splits):
        console.print(f"{SIGNS[plain][2]} {claim}", style="dim")
    kept = kept_figures(run.config.recipe)
    if kept is not None:
        console.print(kept_table(kept, run, results))
        console.print(f"measured on {kept.date} with: {kept.command}", style="dim", soft_wrap=True)
    show_tree(console, run, results)


def _show_answers(console: Console, results: Sequence[Result]) -> None:
    """Print what is measured of several labels, or of numbers."""
    show(console, results, strata=False)
    show_classes(console, [one for one in results if label_count(one) <= FEW])
    for result in results:
        for sentence in answers_about(result):
            console.print(f"{result.test}: {sentence}", markup=False, soft_wrap=True)


def show_labels(console: Console, run: Run, results: Sequence[Result]) -> None:
    """Print macro F1, ECE and the bag of words of each test, and for tests of texts with few labels their table."""
    for result in results:
        if result.class_measures is not None:
            macro, ece = percent(result.class_measures.macro_f1), percent(result.class_measures.ece)
            sentences = " ".join(bag_about(result, run.task))
            said = f"{result.test}: macro F1 {macro} %, ECE {ece} %{'; ' * bool(sentences)}{sentences}"
            console.print(said, soft_wrap=True)
    if run.task.protocol != "generated":
        show_classes(console, [one for one in results if one.class_measures and len(one.class_measures.classes) <= FEW])


def accuracy_table(
    results: Sequence[Result],
    splits: Mapping[str, SplitAbout],
    *,
    title: str,
    columns: int = LONGEST_BAR,
    plain: bool = False,
) -> Table:
    """Return a table of accuracy by test, with bars; a mark in a bar is a published accuracy.

    Args:
        results: one per test.
        splits: splits of the task.
        title: title of the table.
        columns: width of a bar of 100 %.
        plain: use only ASCII.
    """
    inferences = {result.inference for result in results} - {None}
    title += "".join(f", {inference} inference" for inference in sorted(map(str, inferences)))
    table = Table(title=title, title_justify="left")
    for name in ("test", "tokens", "accuracy %", "95 % interval", "baseline %"):
        table.add_column(name, justify="left" if name == "test" else "right", no_wrap=True)
    table.add_column(f"0{'100 %':>{columns - 1}}", no_wrap=True)
    for result in results:
        split = splits.get(result.test)
        claim = None if split is None else split.family.claim
        mark = None if claim is None else claim.accuracy
        cells = (
            result.test,
            f"{result.mean_length:,.0f}",
            percent(result.total.accuracy),
            interval(result.total),
            percent(result.baseline),
        )
        table.add_row(*cells, bar(result.total.accuracy, mark, columns=columns, plain=plain))
    return table


def bar(share: float, mark: float | None, *, columns: int = LONGEST_BAR, plain: bool = False) -> Text:
    """Draw a share from 0 to 1 as a bar, with a mark at the share ``mark``."""
    reached, missing, line = SIGNS[plain]
    filled = round(columns * share)
    drawn = Text.assemble((reached * filled, "green"), (missing * (columns - filled), "dim"))
    if mark is None:
        return drawn
    at = min(columns - 1, round(columns * mark))
    return Text.assemble(drawn[:at], (line, "bold magenta"), drawn[at + 1 :])


def claims(results: Sequence[Result], splits: Mapping[str, SplitAbout]) -> list[str]:
    """Return the sources of the published accuracies that are marked in the bars."""
    families = [splits[result.test].family for result in results if result.test in splits]
    return list(dict.fromkeys(family.claim.about for family in families if family.claim is not None))


def kept_table(kept: Kept, run: Run, results: Sequence[Result]) -> Table:
    """Return a table of a run's accuracy and the kept figures of other recipes with the same budget."""
    table = Table(title="accuracy of other recipes with the same budget", title_justify="left")
    table.add_column("recipe")
    tests = [result.test for result in results]
    for test in tests:
        table.add_column(f"{test} %", justify="right")
    found = {result.test: result.total.accuracy for result in results}
    rows = [(f"{run.config.recipe}, this run", found), *kept.accuracies.items()]
    for name, accuracies in rows:
        table.add_row(name, *(percent(accuracies.get(test)) for test in tests))
    return table


def show_tree(console: Console, run: Run, results: Sequence[Result]) -> None:
    """Draw the most probable tree of one test example, if the encoder has trees."""
    found = chosen(results, run)
    if found is None:
        return
    result, row = found
    examples = run.task.load(result.test, size=result.total.examples)
    label = target_of(run.task).written(examples, row)
    options = {} if result.inference is None else {"inference": result.inference}
    (reading,) = read(load(run, **options), run.task, [tuple(examples.sequences(row))], beams=1)
    if not reading.sides[0]:
        return
    console.print(_said(reading, label, result.test))
    for trees in reading.sides:
        for line in draw_text(trees[0], columns=console.width, width=TREE_LINES):
            console.print(ascii_only(line) if console.options.ascii_only else line, soft_wrap=True)


def chosen(results: Sequence[Result], run: Run) -> tuple[Result, int] | None:
    """Return the example whose length is closest to [`TREE_TOKENS`][]: its result and row.

    It is one that was answered correctly, if there is any.
    """
    best: tuple[tuple[bool, int], Result, int] | None = None
    for result in results:
        if result.right is None:
            continue
        lengths = run.task.load(result.test, size=result.total.examples).lengths
        right = np.unpackbits(np.frombuffer(bytes.fromhex(result.right), np.uint8), count=len(lengths)).astype(bool)
        away = np.abs(lengths - TREE_TOKENS)
        for which in (right, ~right):
            if which.any():
                row = int(np.flatnonzero(which)[away[which].argmin()])
                rank = (not right[row], int(away[row]))
                best = min((best or (rank, result, row)), (rank, result, row), key=lambda found: found[0])
    return None if best is None else best[1:]


def _said(reading: Reading, label: str, test: str) -> str:
    """Return the caption of a tree."""
    trees = [side[0] for side in reading.sides]
    tokens = " and ".join(f"{tree.tree.leaves} tokens" for tree in trees)
    right = "right" if reading.label == label else f"wrong, should be {label or 'none'}"
    return f"\nthe tree found in {tokens} of {test}: answer {reading.label or 'none'}{reading.certainty}, {right}"
