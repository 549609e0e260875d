"""Measures of classes as tables and sentences, for the terminal, Markdown and the page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from nestree.evaluation.bag_of_words import EXTRA, fits_bag_of_words, is_installed
from nestree.evaluation.evaluate import Result
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.measures import BINS, ClassMeasures
from nestree.evaluation.number_measures import NumberMeasures
from nestree.reports.class_plots import MOST_NUMBERS
from nestree.reports.tables import correlation_interval, decimals, percent, text_table
from nestree.tasks import Task

FEW = 20
"""Maximal number of labels whose table is shown in the terminal unless it is asked for."""
DETAILED = 4
"""Maximal number of results that a report shows by class."""


def detailed(results: Sequence[Result]) -> list[Result]:
    """Return the results that a report shows by class: of generated tests, which are many, only the first."""
    measured = [result for result in results if result.class_measures is not None]
    generated = any((result.protocol or "").startswith("generated") for result in measured)
    return measured[: 1 if generated else DETAILED]


def class_rows(
    measures: ClassMeasures | LabelMeasures, *, most: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of labels; with ``most``, those of the labels with most examples."""
    scores = measures.classes if isinstance(measures, ClassMeasures) else measures.labels
    kept = sorted(range(len(scores)), key=lambda n: -scores[n].support)[:most]
    rows = [
        [one.label, str(one.support), str(one.predicted), *map(_score, (one.precision, one.recall, one.f1))]
        for number, one in enumerate(scores)
        if number in set(kept)
    ]
    return ["label", "support", "predicted", "precision %", "recall %", "F1 %"], rows


def pair_rows(measures: ClassMeasures) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of the most confused pairs of labels."""
    support = {one.label: one.support for one in measures.classes}
    rows = [[label, answer, str(count), percent(count / support[label])] for label, answer, count in measures.pairs]
    return ["correct label", "predicted", "examples", "% of the label"], rows


def confusion_about(measures: ClassMeasures) -> str:
    """Return a sentence that explains the picture of the confusion matrix."""
    numbers = " with numbers of examples" if len(measures.classes) <= MOST_NUMBERS else ""
    missing = [one.label for one in measures.classes if not one.support]
    none = f" Without examples in this test: {', '.join(missing)}." if missing else ""
    shade = "the colour is stronger the larger the share of the row"
    return f"Confusion matrix: a row per correct label{numbers}; {shade}.{none}"


def calibration_about(result: Result) -> str:
    """Return sentences about the calibration."""
    measures = result.class_measures
    assert measures is not None
    bins = measures.bins
    mean = sum(one.confidence * one.examples for one in bins) / max(1, sum(one.examples for one in bins))
    return (
        f"ECE {percent(measures.ece)} %: the mean distance of probability and accuracy, over {BINS} bins of "
        f"probability. The mean probability of the answers is {percent(mean)} %, the accuracy "
        f"{percent(result.total.accuracy)} %."
    )


def certainty(result: Result, task: Task) -> list[str]:
    """Return sentences about the accuracy compared with the baseline and the bag of words."""
    low, high = result.total.interval
    said = [f"Accuracy {percent(result.total.accuracy)} % (95 % interval {percent(low)} to {percent(high)})."]
    if result.baseline is not None:
        said.append(f"Always answering {task.baseline_about}: {percent(result.baseline)} %, {_place(result)}.")
    return said + [sentence[:1].upper() + sentence[1:] for sentence in bag_about(result, task)]


def bag_about(result: Result, task: Task) -> list[str]:
    """Return a sentence about the bag of words, or what to do to get one; nothing for tasks that it does not fit."""
    bag = result.bag_of_words
    if bag is not None and result.right is not None:
        difference, low, high = bag.behind(result.right)
        verdict = "better" if low > 0 else "worse" if high < 0 else "neither clearly better nor worse"
        return [
            f"bag of words (TF-IDF and logistic regression, trained on {bag.trained_on:,} texts): "
            f"{percent(bag.accuracy)} %; the model's accuracy differs by {_points(difference)} points "
            f"(95 % interval {_points(low)} to {_points(high)}): {verdict}."
        ]
    if not fits_bag_of_words(task):
        return []
    if not is_installed():
        return [f"bag of words: not measured, as it needs scikit-learn: pip install '{EXTRA}'."]
    return ["bag of words: not measured yet; nestree evaluate does."]


def label_count(result: Result) -> int:
    """Return the number of labels that a result measures; 0 if none."""
    measures = result.measures
    if isinstance(measures, ClassMeasures):
        return len(measures.classes)
    return len(measures.labels) if isinstance(measures, LabelMeasures) else 0


def answers_about(result: Result) -> list[str]:
    """Return sentences about answers that are not single labels, compared with always giving the same answer."""
    found = result.measures
    if isinstance(found, LabelMeasures):
        always = ", ".join(found.constant[:8]) + f" and {len(found.constant) - 8} more" * (len(found.constant) > 8)
        than = f"; always answering {always}: {percent(found.constant_micro_f1)} %" * bool(found.constant)
        return [
            f"Micro F1 {percent(found.micro_f1)} %{than}. An example has {found.mean_labels:.2f} labels on average, "
            f"and is given {found.mean_predicted:.2f}."
        ]
    if isinstance(found, NumberMeasures):
        between = f" (95 % interval {correlation_interval(found)})" * (found.interval is not None)
        return [
            f"Pearson correlation {decimals(found.pearson)}{between}, Spearman {decimals(found.spearman)}. Mean "
            f"squared error {found.mse:.4g}; always answering the training mean {found.mean:.4g}: "
            f"{found.baseline_mse:.4g}."
        ]
    return []


def show_classes(console: Console, results: Sequence[Result]) -> None:
    """Print the table of classes of each result, with macro F1."""
    for result in results:
        measures = result.measures
        if isinstance(measures, ClassMeasures | LabelMeasures):
            title = f"{test_name(result)}, by label; macro F1 {percent(measures.macro_f1)} %"
            console.print(text_table(*class_rows(measures), title=title))


def test_name(result: Result) -> str:
    """Return the test of a result, with its inference if there are several."""
    return result.test if result.inference is None else f"{result.test}, {result.inference} inference"


def _place(result: Result) -> str:
    """Say where the baseline is compared with the interval of the accuracy."""
    low, high = result.total.interval
    baseline = result.baseline or 0.0
    where = "below" if baseline < low else "above" if baseline > high else "within"
    return f"{where} the interval"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _score(value: float | None) -> str:
    return "-" if value is None else percent(value)
