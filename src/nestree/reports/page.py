"""The report as one self-contained HTML page, about one run or several side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nestree.consoles import quoted
from nestree.data.files import check_free, replacing
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.mistakes import MistakenInput, mistaken_inputs
from nestree.evaluation.readings import Reading, read
from nestree.reports.answer_reports import other_answers
from nestree.reports.class_plots import MOST_NUMBERS
from nestree.reports.class_tables import FEW, answers_about, certainty, class_rows, detailed, pair_rows, test_name
from nestree.reports.gallery import gallery
from nestree.reports.markdown import (
    accuracy_about,
    all_series,
    current_results,
    curriculum_rows,
    protocol_about,
    training_facts,
)
from nestree.reports.page_charts import accuracy_chart, class_chart, scatter_chart, stratum_chart, training_chart
from nestree.reports.panels import Panel, panels
from nestree.reports.tables import (
    measured_by,
    share_name,
    stratum_rows,
    summary_rows,
    tree_rows,
    validation_about,
)
from nestree.runs import Run
from nestree.runs.history import Row, read_history
from nestree.runs.provenance import nestree_version
from nestree.trees.svg import STYLE, draw_svg

TREES = 3
"""Default number of trees for correct answers, and for wrong ones."""

WIDTH = 80
"""Maximal number of tokens and folded parts per tree."""


@dataclass(frozen=True)
class _RunView:
    """A run, and what the page shows of it."""

    name: str
    run: Run

    @cached_property
    def about(self) -> dict[str, Any]:
        return self.run.about()

    @cached_property
    def results(self) -> list[Result]:
        return current_results(self.run)

    @cached_property
    def history(self) -> list[Row]:
        return read_history(self.run)

    @property
    def evaluate(self) -> str:
        """Command that evaluates the run."""
        return f"nestree evaluate {quoted(self.run.name)}"


def write_page(
    runs: Sequence[Run],
    path: str | Path,
    *,
    trees: int = TREES,
    overwrite: bool = False,
    command: str = "",
    advance: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the page from the files of the run folders; only the trees are computed.

    Args:
        runs: at least one.
        path: path of the page.
        trees: number of trees per run for correct answers, and for wrong ones; 0 for no trees.
        overwrite: replace an existing file.
        command: command that writes the page, which the page shows.
        advance: called with a description of each step that begins.

    Raises:
        UserError: the file exists or cannot be written, or a run folder is damaged.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite)
    page = render_page(runs, trees=trees, command=command, advance=advance)
    try:
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    return path


def render_page(
    runs: Sequence[Run], *, trees: int = TREES, command: str = "", advance: Callable[[str], None] = lambda _: None
) -> str:
    """Return the page as HTML; for the arguments see [`write_page`][]."""
    views = [_RunView(name, run) for name, run in zip(names(runs), runs, strict=True)]
    series = all_series({one.run.labelled(one.name) if len(views) > 1 else "": one.run for one in views})
    drawn = panels(series, advance=advance)
    scored = [one for one in views if any(result.trees for result in one.results)]
    environment = Environment(
        loader=PackageLoader("nestree.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        views=views,
        title=", ".join(one.name for one in views),
        summary=_summary(views),
        tests=_joined(views, drawn, summary_rows, alone=len(views) == 1),
        scores=_joined(scored, drawn, tree_rows, alone=len(views) == 1),
        strata=_strata(views, drawn),
        accuracy=accuracy_chart(drawn, accuracy_about(series, drawn), baseline=_baseline(views)),
        classes=_classes(views, trees, advance),
        answers=_answers(views),
        measured=_capital(measured_by([result for one in views for result in one.results])),
        share=share_name([result for one in views for result in one.results]),
        few=FEW,
        training=training_chart({one.name: one.history for one in views if one.history}),
        speed=_speed(views),
        galleries=[_gallery(one, trees, advance) for one in views] if trees else [],
        options=_options(views),
        facts=[(one, training_facts(one.about), curriculum_rows(one.about)) for one in views],
        protocols=_protocols(views),
        yaml={one.name: yaml.safe_dump(one.run.config.as_dict(), sort_keys=False) for one in views},
        command=command,
        version=nestree_version(),
        tree_style=Markup(STYLE),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the runs' folders, or the full paths where two names are equal."""
    short = [run.title for run in runs]
    return [run.title if short.count(run.title) == 1 else run.address or str(run.path.resolve()) for run in runs]


def _summary(views: Sequence[_RunView]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the first table."""
    header = ["run", "encoder", "task", "parameters", "seed", "validation", "examples trained on", "longest", "step"]
    rows = [
        [
            one.run.labelled(one.name),
            one.run.config.encoder_name,
            one.run.config.data.task,
            _count(one.about.get("parameters")),
            str(one.run.config.seed),
            validation_about(one.about).removeprefix("validation "),
            _count(one.about.get("train_examples")),
            _count(one.about.get("train_longest")),
            f"{_count(one.about.get('best_step'))} of {_count(one.about.get('steps'))}",
        ]
        for one in views
    ]
    return header, rows


def _protocols(views: Sequence[_RunView]) -> dict[str, list[str]]:
    """Return the descriptions of the data, each with the runs that it applies to."""
    found: dict[str, list[str]] = {}
    for one in views:
        protocol = protocol_about(one.run.protocol)
        about = f"Data: {protocol}. The baseline always answers {one.run.task.baseline_about}."
        found.setdefault(about, []).append(one.name)
    return found


def _baseline(views: Sequence[_RunView]) -> str | None:
    """Return the baseline's answer if it is the same for all runs."""
    about = {one.run.task.baseline_about for one in views}
    return about.pop() if len(about) == 1 else None


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _joined(
    views: Sequence[_RunView],
    drawn: Sequence[Panel],
    rows_of: Callable[[Sequence[Result]], tuple[list[str], list[list[str]]]],
    *,
    alone: bool,
) -> tuple[list[str], list[list[str]]]:
    """Join the runs' tables to one.

    The first column is the run, unless it is ``alone`` on the page. To save width, empty columns, a protocol that is
    the same everywhere (it is given above) and seconds (speed has its own table) are left out.
    """
    header: list[str] = []
    joined: list[list[str]] = []
    for one in views:
        columns, rows = rows_of(_in_order(one.results, drawn))
        header = ["run", *columns]
        joined += [[one.name, *row] for row in rows]
    values = {name: {row[place] for row in joined} for place, name in enumerate(header)}
    hidden = {"seconds", *(["run"] if alone else []), *(name for name, found in values.items() if found == {""})}
    if len(values.get("protocol", ())) == 1:
        hidden.add("protocol")
    kept = [place for place, name in enumerate(header) if name not in hidden]
    return [header[place] for place in kept], [[row[place] for place in kept] for row in joined]


def _strata(views: Sequence[_RunView], drawn: Sequence[Panel]) -> list[dict[str, Any]]:
    """Return a chart and a table per run for each stratum."""
    found = list(dict.fromkeys(name for one in views for result in one.results for name in result.strata))
    strata = []
    for number, name in enumerate(found):
        shown = [one for one in views if any(name in result.strata for result in one.results)]
        tables = [
            (one, stratum_rows(_in_order([r for r in one.results if name in r.strata], drawn), name)) for one in shown
        ]
        strata.append({"name": name, "tables": tables, "chart": stratum_chart(drawn, name, name=f"stratum-{number}")})
    return strata


def _in_order(results: Sequence[Result], drawn: Sequence[Panel]) -> list[Result]:
    """Sort results in the order of the tests in the panels."""
    order = [test for panel in drawn for test in panel.tests]
    return sorted(results, key=lambda result: order.index(result.test) if result.test in order else len(order))


def _speed(views: Sequence[_RunView]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of speed and memory."""
    header = ["run", "what", "mean length", "sequences per second", "peak memory"]
    rows = []
    for one in views:
        memory, speed = one.about.get("peak_memory_bytes"), one.about.get("sequences_per_second")
        if speed is not None:
            rows.append([one.name, "training", "", f"{speed:.1f}", f"{memory / 1e9:.2f} GB" if memory else "not known"])
        for result in one.results:
            what = f"{result.test}{f' ({result.inference})' if result.inference else ''}"
            rate = f"{result.total.examples / result.seconds:.1f}" if result.seconds else ""
            rows.append([one.name, what, f"{result.mean_length:.0f}", rate, ""])
    return header, rows


def _classes(views: Sequence[_RunView], trees: int, advance: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return what the page shows by class, per run and test."""
    found = []
    for one in views:
        for result in detailed(one.results):
            assert result.class_measures is not None
            name, count = test_name(result), len(result.class_measures.classes)
            found.append(
                {
                    "name": name if len(views) == 1 else f"{one.name}: {name}",
                    "certainty": certainty(result, one.run.task),
                    "classes": class_rows(result.class_measures),
                    "pairs": pair_rows(result.class_measures) if count > MOST_NUMBERS else ([], []),
                    "chart": class_chart(result, name=f"classes-{len(found)}"),
                    **_mistakes(one, result, trees, advance),
                }
            )
    return found


def _answers(views: Sequence[_RunView]) -> list[dict[str, Any]]:
    """Return what the page shows of answers of several labels, and of numbers, per run and test."""
    found = []
    for one in views:
        for result in other_answers(one.results):
            name, measures = test_name(result), result.measures
            found.append(
                {
                    "name": name if len(views) == 1 else f"{one.name}: {name}",
                    "about": answers_about(result),
                    "labels": class_rows(measures) if isinstance(measures, LabelMeasures) else ([], []),
                    "chart": scatter_chart(result, name=f"answers-{len(found)}"),
                }
            )
    return found


def _mistakes(one: _RunView, result: Result, trees: int, advance: Callable[[str], None]) -> dict[str, Any]:
    """Return the most confident mistakes with their trees, or the reason why they cannot be shown."""
    if result.class_measures is None or not result.class_measures.mistakes:
        return {"mistakes": [], "why": "There are no wrong answers."}
    try:
        inputs = mistaken_inputs(one.run, result)
        drawn = _mistake_trees(one.run, result, inputs, advance) if trees and inputs else [[] for _ in inputs]
    except (UserError, ValueError) as error:
        return {"mistakes": [], "why": str(error)}
    why = "" if inputs else "The examples of the test have changed since."
    return {"mistakes": list(zip(inputs, drawn, strict=True)), "why": why}


def _mistake_trees(
    run: Run, result: Result, inputs: Sequence[MistakenInput], advance: Callable[[str], None]
) -> list[list[Markup]]:
    """Draw the most probable tree of each side of each input."""
    advance(f"reading the most confident mistakes in {result.test}")
    tokens = run.config.data.evaluation_tokens
    readings = read(run.model(result.inference), run.task, [one.sequences for one in inputs], beams=1, tokens=tokens)
    return [[Markup(svg) for svg in _drawings(reading)] for reading in readings]


def _gallery(one: _RunView, each: int, advance: Callable[[str], None]) -> dict[str, Any]:
    """Return a run's trees, or the reason why there are none."""
    task = one.run.config.data.task
    try:
        tests = [result.test for result in sorted(one.results, key=lambda result: result.mean_length)]
        splits = one.run.task.splits
        test = next(name for name in (*tests, *one.run.task.first_tests, *splits) if name in splits)
        advance(f"reading examples of {test} with {one.name}")
        specimens, read = gallery(one.run, test, each=each)
    except UserError as error:
        return {"one": one, "why": str(error), "specimens": []}
    if not any(specimen.reading.sides[0] for specimen in specimens):
        return {"one": one, "why": f"encoder {one.run.config.encoder_name} has no trees", "specimens": []}
    why = f"The most probable tree of some of the first {read} examples of {task}, {test}."
    shown = [(specimen, [Markup(svg) for svg in _drawings(specimen.reading)]) for specimen in specimens]
    return {"one": one, "why": why, "specimens": shown}


def _drawings(reading: Reading) -> list[str]:
    """Draw the most probable tree of each side."""
    return [
        draw_svg([(f"probability {trees[0].probability:.2f}", trees[0])], width=WIDTH, style=False)
        for trees in reading.sides
        if trees
    ]


def _options(views: Sequence[_RunView]) -> list[tuple[str, list[str], bool]]:
    """Return each option, its value in each run, and whether the values differ."""
    flat = [_flat(one.run.config.as_dict()) for one in views]
    found = []
    for name in dict.fromkeys(name for options in flat for name in options):
        values = [options.get(name, "") for options in flat]
        found.append((name, values, len(set(values)) > 1))
    return found


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested options under dotted names, as YAML writes them."""
    found: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):  # the stages of a curriculum
            found |= {prefix + stage["name"]: _stage(stage) for stage in value}
        else:
            found[prefix + name] = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return found


def _stage(options: dict[str, Any]) -> str:
    """Return a stage's options that are set, in one line."""
    return ", ".join(f"{name} {value}" for name, value in options.items() if name != "name" and value not in (None, {}))
