"""A run's report as Markdown with two plots; [`nestree.reports.page`][] writes the HTML page with trees."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from nestree.consoles import quoted
from nestree.data.files import replacing
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.mistakes import mistaken_inputs
from nestree.evaluation.number_measures import NumberMeasures
from nestree.evaluation.record import as_configured, largest
from nestree.reports.answer_reports import other_answers, scatter_about, scatter_figure
from nestree.reports.class_plots import MOST_NUMBERS, confusion_figure, reliability_figure
from nestree.reports.class_tables import (
    answers_about,
    calibration_about,
    certainty,
    class_rows,
    confusion_about,
    detailed,
    pair_rows,
    test_name,
)
from nestree.reports.panel_plots import panels_figure
from nestree.reports.panels import Panel, Series, left_out, panels
from nestree.reports.plots import save_png, training_figure
from nestree.reports.tables import (
    decimals,
    markdown_table,
    measured_by,
    percent,
    share_name,
    stratum_rows,
    summary_rows,
    validation_about,
)
from nestree.runs import Run
from nestree.runs.history import read_history
from nestree.tasks.stages import LABEL

EXAMPLES = 200
"""Number of examples per test that a report evaluates by default."""
MOST_ROWS = 50
"""Maximal number of labels in a table of Markdown."""


def write_report(run: Run) -> Path:
    """Write ``report.md`` and its plots from the files of the run folder, and return its path.

    Raises:
        UserError: there are no results of the run's current weights.
    """
    results = current_results(run)
    if not results:
        raise UserError(
            f"{run.path} has no results of its current weights: run `nestree evaluate {quoted(run.name)}` first"
        )
    about = run.about()
    series = all_series({"": run})
    drawn = panels(series)
    if drawn:
        save_png(panels_figure(drawn, baseline=run.task.baseline_about), run.path / "accuracy.png")
    history = read_history(run)
    if history:
        save_png(training_figure({"": history}), run.path / "training.png")
    parts = [
        _heading(run, about, results),
        *(["![Accuracy](accuracy.png)", " ".join(accuracy_about(series, drawn))] if drawn else []),
        *_accuracy(results),
        *_classes(run, results),
        *_other_answers(run, results),
        "## Training",
        *(["![Loss and validation](training.png)"] if history else []),
        markdown_table(["", ""], training_facts(about)),
        *curriculum_table(about),
        "## How to reproduce it",
        *_reproduction(run, about),
    ]
    with replacing(run.report) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    return run.report


def current_results(run: Run) -> list[Result]:
    """Return the results of the run's current weights: per test and inference, the one with the most examples."""
    if not run.weights.is_file():
        return []
    results = [Result.from_dict(entry) for entry in largest(as_configured(run))]
    return sorted(results, key=lambda result: (str(result.inference), result.mean_length))


def all_series(runs: Mapping[str, Run]) -> list[Series]:
    """Return the series to draw: one per run and inference with results that have an accuracy.

    Args:
        runs: runs by name; the name of a single run may be empty.
    """
    found: list[Series] = []
    for name, run in runs.items():
        results = current_results(run)
        for inference in dict.fromkeys(result.inference for result in results):
            parts = filter(None, (name, f"{inference} inference" if inference else ""))
            part = [result for result in results if result.inference == inference and result.has_accuracy]
            if not part:
                continue
            found.append(Series(", ".join(parts) or "accuracy", run, part, len(found)))
    return found


def accuracy_about(series: Sequence[Series], drawn: Sequence[Panel]) -> list[str]:
    """Return sentences about the examples that the panels show, and about tests without a panel."""
    said = [panel.about for panel in drawn]
    missing = left_out(series, drawn)
    if missing:
        said.append(f"Not shown, as the runs were not tested on the same examples: {', '.join(missing)}.")
    results = [result for one in series for result in one.results]
    if share_name(results) == "exact match":
        said.append("Accuracy is the share of exact matches: examples of which all labels are right.")
    return [*said, "Bars are 95 % Wilson intervals."]


def _heading(run: Run, about: dict[str, Any], results: Sequence[Result]) -> str:
    config = run.config
    first, *_ = results
    baseline = f"; baseline {percent(first.baseline)} %" if first.baseline is not None else ""
    if first.has_accuracy:
        found = f"{share_name([first])} on {first.test}: **{percent(first.total.accuracy)} %**{baseline}."
        found, kind = found[:1].upper() + found[1:], "Wilson intervals"
    else:
        found, kind = f"Pearson correlation on {first.test}: **{decimals(first.main)}**.", "intervals by Fisher"
    lines = [
        f"# {config.recipe}: {config.encoder_name} on {config.data.task}",
        f"Encoder `{config.encoder_name}` ({about.get('parameters', 0):,} parameters), trained on "
        f"{about.get('train_examples', 0):,} examples of at most {about.get('train_longest')} tokens, seed "
        f"{config.seed}; best weights at step {about.get('best_step')} of {about.get('steps')}, "
        f"{validation_about(about)} on {about.get('validation_examples', 0):,} examples.",
        f"{found} The baseline always answers {run.task.baseline_about}.",
        f"Data: {protocol_about(run.protocol)}. Intervals are 95 % {kind}.",
    ]
    return "\n\n".join(lines)


def protocol_about(protocol: str) -> str:
    """Return the origin of the splits, and the curriculum if there was one."""
    kind, *curricula = protocol.split(LABEL)
    taught = f"; trained with curriculum {' and '.join(curricula)}, not only on the published distribution"
    about = {
        "generated": "generated with the published sampling procedure, not the official files",
        "official": "official files, with their own validation split",
        "own": "user's own tables, with one for validation",
        "clean": "protocol clean: the validation split is held out of the training split",
        "paper": "protocol paper: validated on the test split, as published, so the test split is not held out",
    }.get(kind, kind)
    return about + (taught if curricula else "")


def _accuracy(results: Sequence[Result]) -> list[str]:
    counts = ", ".join(f"{result.test} {result.total.examples}" for result in results)
    title = measured_by(results)
    parts = [
        f"## {title[:1].upper()}{title[1:]}",
        f"Examples of each test: {counts}.",
        markdown_table(*summary_rows(results)),
    ]
    strata: dict[str, None] = {}
    for result in results:
        strata |= dict.fromkeys(result.strata)
    for name in strata:
        parts += [
            f"### By {name}",
            f"{share_name(results).capitalize()} in per cent, its interval, and number of examples.",
            markdown_table(*stratum_rows(results, name)),
        ]
    return parts


def _classes(run: Run, results: Sequence[Result]) -> list[str]:
    """Write the pictures, and return the parts about the labels of each test that a report shows in detail."""
    shown = detailed(results)
    parts = ["## Labels"] if shown else []
    for result in shown:
        assert result.class_measures is not None
        measures, count = result.class_measures, len(result.class_measures.classes)
        file = _file_name(result)
        confusion = confusion_figure(measures)
        if confusion is not None:
            save_png(confusion, run.path / f"confusion-{file}.png")
        save_png(reliability_figure(measures), run.path / f"reliability-{file}.png")
        pairs = markdown_table(*pair_rows(measures), right=(2, 3)) if count > MOST_NUMBERS and measures.pairs else None
        left_out = f"\n\nThe {MOST_ROWS} most frequent of {count:,} labels." if count > MOST_ROWS else ""
        parts += [
            f"### {test_name(result)}",
            " ".join(certainty(result, run.task)),
            *([] if confusion is None else [f"![Confusion matrix](confusion-{file}.png)", confusion_about(measures)]),
            *([] if pairs is None else ["The most confused pairs of labels:", pairs]),
            markdown_table(*class_rows(measures, most=MOST_ROWS), right=range(1, 6)) + left_out,
            f"Macro F1: {percent(measures.macro_f1)} %.",
            f"![Reliability](reliability-{file}.png)",
            calibration_about(result),
            *_mistakes(run, result),
        ]
    return parts


def _other_answers(run: Run, results: Sequence[Result]) -> list[str]:
    """Write the pictures, and return the parts about answers of several labels, and about numbers."""
    parts = []
    for result in other_answers(results):
        parts += [f"### {test_name(result)}", *answers_about(result)]
        if isinstance(result.measures, LabelMeasures):
            parts.append(markdown_table(*class_rows(result.measures, most=MOST_ROWS), right=range(1, 6)))
            if len(result.measures.labels) > MOST_ROWS:
                parts.append(f"The {MOST_ROWS} most frequent of {len(result.measures.labels):,} labels.")
        elif isinstance(result.measures, NumberMeasures):
            file = f"scatter-{_file_name(result)}.png"
            save_png(scatter_figure(result.measures), run.path / file)
            parts += [f"![Predicted and true numbers]({file})", scatter_about(result.measures)]
    return ["## Answers", *parts] if parts else []


def _file_name(result: Result) -> str:
    """Return test and inference of a result as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(filter(None, (result.test, result.inference))))


def _mistakes(run: Run, result: Result) -> list[str]:
    """Return the most confident mistakes, one line each; none without wrong answers or without the test's files."""
    try:
        inputs = mistaken_inputs(run, result)
    except (UserError, ValueError) as error:
        return [f"The most confident mistakes cannot be shown: {error}"]
    lines = [
        f"- {code(one.mistake.predicted)} ({one.mistake.probability:.2f}), should be {code(one.mistake.label)}: "
        + " and ".join(code(shorten(text, 200, placeholder=" …")) for text in one.texts)
        for one in inputs
    ]
    return ["The most confident mistakes:", "\n".join(lines)] if lines else []


def code(text: str) -> str:
    """Return text in one line as Markdown code, which nothing in it can end."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def training_facts(about: dict[str, Any]) -> list[list[str]]:
    """Return table rows about a training run: time, steps, speed, memory, machine and versions."""
    memory = about.get("peak_memory_bytes")
    versions = ", ".join(f"{name} {version}" for name, version in (about.get("versions") or {}).items())
    return [
        ["ended because", str(about.get("why"))],
        ["time", f"{about.get('minutes') or 0:.1f} minutes, validation included"],
        ["steps, epochs, sequences", f"{about.get('steps')}, {about.get('epochs')}, {about.get('sequences') or 0:,}"],
        [
            "speed",
            f"{about.get('sequences_per_second') or 0:.1f} sequences per second, all processes together",
        ],
        ["peak memory", f"{memory / 1e9:.2f} GB, all processes together" if memory else "not known"],
        ["machine", f"{about.get('platform')}, {about.get('cpus')} CPUs, {about.get('threads')} threads used"],
        ["versions", versions],
        ["commit", str(about.get("commit"))],
    ]


def curriculum_rows(about: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table of when each stage of a curriculum ended; no rows without a curriculum."""
    how = {"mark": "reached its mark", "time": "ran out of time", "again": "started again"}
    rows = [
        [
            left["stage"] + (f", attempt {left['attempt']}" if left["attempt"] > 1 else ""),
            f"{left['step']:,}",
            f"{left['minutes']:.2f}",
            percent(left["accuracy"]),
            how.get(left["how"], left["how"]),
        ]
        for left in about.get("curriculum") or ()
    ]
    return ["stage", "ended at step", "minutes", "training accuracy %", "because it"], rows


def curriculum_table(about: dict[str, Any]) -> list[str]:
    """Return the Markdown parts that show when each stage ended; none without a curriculum."""
    header, rows = curriculum_rows(about)
    return ["Curriculum: when each stage ended.", markdown_table(header, rows, right=(1, 2, 3))] if rows else []


def _reproduction(run: Run, about: dict[str, Any]) -> list[str]:
    config = yaml.safe_dump(run.config.as_dict(), sort_keys=False)
    return [
        f"```sh\n{about.get('command')}\n```",
        f"HTML page with trees: `nestree report {quoted(run.path)}`. "
        f"All examples of every test: `nestree evaluate {quoted(run.path)}`.",
        "Every option, resolved:",
        f"```yaml\n{config}```",
    ]
