"""Model cards, written from a run folder: use, accuracy, and training of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from nestree.consoles import quoted
from nestree.data.files import replacing
from nestree.errors import UserError
from nestree.evaluation.evaluate import EDGES, Result
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.number_measures import NumberMeasures
from nestree.pretrained import pretrained_names
from nestree.reports.markdown import current_results, curriculum_table, protocol_about, training_facts
from nestree.reports.tables import interval, markdown_table, percent, stratum_rows, summary_rows, validation_about
from nestree.runs import Run
from nestree.runs.hub import PREFIX
from nestree.tasks.target import target_of

LICENSE = "apache-2.0"
"""License of the models that ship with the package, as the Hub spells it."""


def model_card(run: Run, *, name: str | None = None, license: str = LICENSE) -> str:
    """Return a run's model card as Markdown.

    Purpose and limits, which only a person can know, are copied from ``about.md`` in the run folder, if it exists.

    Args:
        run: with or without results.
        name: the model's name for ``nestree.load``; None for the last part of the run's name.
        license: license of the model, as the Hub spells it.
    """
    about, name, results = run.about(), name or run.title, current_results(run)
    title = name.removeprefix(PREFIX).rpartition("/")[2]
    written = run.written_about
    commands = [
        f"nestree evaluate {quoted(name)}",
        *([f"nestree reproduce {name}"] if name in pretrained_names() else []),
    ]
    parts = [
        f"---\n{yaml.safe_dump(_header(run, title, license, results), sort_keys=False)}---",
        f"# {title}",
        *([written.read_text(encoding="utf-8").strip()] if written.is_file() else []),
        "## Use",
        f"```python\nimport nestree\n\nmodel = nestree.load({json.dumps(name)})\n```",
        "```sh\n" + "\n".join(commands) + "\n```",
        "## Accuracy",
        *_accuracy(run, results, f"nestree evaluate {quoted(name)}"),
        "## Training",
        f"{about.get('train_examples', 0):,} examples of at most {about.get('train_longest')} tokens, seed "
        f"{run.config.seed}; {about.get('parameters', 0):,} parameters; {validation_about(about)} on "
        f"{about.get('validation_examples', 0):,} examples. "
        + ("The last command's run:" if len(run.commands()) > 1 else "The run:"),
        markdown_table(["", ""], training_facts(about)),
        *curriculum_table(about),
        "```sh\n" + "\n".join(run.commands()) + "\n```",
        *(["The training log is in `log.csv`."] if run.thin_log.is_file() else []),
        f"Every option, resolved:\n\n```yaml\n{yaml.safe_dump(run.config.as_dict(), sort_keys=False)}```",
    ]
    return "\n\n".join(parts) + "\n"


def write_card(run: Run) -> Path:
    """Write a run's model card to ``README.md`` in its folder, and return the path.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with replacing(run.card) as temporary:
            temporary.write_text(model_card(run), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{run.card}: cannot be written ({error.strerror or error})") from None
    return run.card


def _header(run: Run, title: str, license: str, results: list[Result]) -> dict[str, Any]:
    """Return the metadata that the Hub reads, with the results."""
    task = run.config.data.task
    header: dict[str, Any] = {
        "license": license,
        "library_name": "nestree",
        "tags": [run.config.encoder_name, task],
    }
    if results:
        found = [
            {
                "task": {"type": "text-classification"},
                "dataset": {"type": task, "name": f"{task}, {result.test}", "split": result.test},
                "metrics": [_metric(result)],
            }
            for result in results
        ]
        header["model-index"] = [{"name": title, "results": found}]
    return header


def _metric(result: Result) -> dict[str, Any]:
    """Return what a model is chosen by, as the Hub reads it."""
    measures = result.measures
    if isinstance(measures, NumberMeasures):
        kind, name, value = "pearsonr", "Pearson correlation", round(measures.pearson or 0.0, 4)
    elif isinstance(measures, LabelMeasures):
        kind, name, value = "f1", "micro F1", round(100 * measures.micro_f1, 2)
    else:
        kind, name, value = "accuracy", "accuracy", round(100 * result.total.accuracy, 2)
    return {"type": kind, "name": ", ".join(filter(None, (name, result.inference))), "value": value}


def _accuracy(run: Run, results: list[Result], command: str) -> list[str]:
    """Return the tables of accuracy, or the command that evaluates the model."""
    if not results:
        return [f"Not evaluated yet: run `{command}`."]
    named = dict.fromkeys(name for result in results for name in result.strata if name not in EDGES)
    return [
        f"Data: {protocol_about(run.protocol)}, seed {run.config.data.seed}. Intervals are 95 % "
        f"intervals; the baseline always answers {run.task.baseline_about}.",
        figures_table(results) if target_of(run.task).kind == "class" else markdown_table(*summary_rows(results)),
        *(
            f"By {stratum}: accuracy in per cent, its interval, and examples.\n\n"
            + markdown_table(*stratum_rows(results, stratum))
            for stratum in named
        ),
    ]


def training_line(run: Run) -> str:
    """Return a line about how a model was trained: seed, total time, machine and commit."""
    about, trainings = run.about(), run.trainings()
    minutes = sum(training.get("minutes", 0) for training in trainings)
    runs = f" in {len(trainings)} runs" if len(trainings) > 1 else ""
    versions = about.get("versions", {})
    with_curricula = "".join(f", curriculum {name}" for name in run.curricula())
    return (
        f"{about.get('parameters', 0):,} parameters, seed {run.config.seed}{with_curricula}; "
        f"{minutes:,.0f} minutes of training{runs} on {about.get('threads')} "
        f"of {about.get('cpus')} CPUs ({about.get('processor')}), PyTorch {versions.get('torch')}; commit "
        f"{str(about.get('commit'))[:10]}; weights chosen at a {validation_about(about)}."
    )


def figures_table(results: list[Result], *, command: str | None = None) -> str:
    """Return results as a Markdown table; with ``command``, each row ends with the command that reproduces it."""
    header = ["test", "inference", "tokens, mean", "examples", "accuracy %", "95 % interval", "baseline %"]
    rows = [
        [
            result.test,
            result.inference or "",
            f"{result.mean_length:,.0f}",
            f"{result.total.examples:,}",
            percent(result.total.accuracy),
            interval(result.total),
            percent(result.baseline),
            *([f"`{command}/{result.test}{f'/{result.inference}' if result.inference else ''}`"] if command else []),
        ]
        for result in results
    ]
    first_number = 2
    if not any(result.inference for result in results):
        header, rows, first_number = _without(header), [_without(row) for row in rows], 1
    numbers = range(first_number, len(header))
    return markdown_table([*header, *(["command"] if command else [])], rows, right=numbers)


def _without(cells: list[str]) -> list[str]:
    """Remove the column of the inference."""
    return cells[:1] + cells[2:]
