"""``nestree models``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from rich.table import Table

from nestree.cli.arguments import command_parser, parse_command
from nestree.consoles import output
from nestree.encoders.registry import ENCODERS
from nestree.pretrained import pretrained_names
from nestree.reports.markdown import current_results
from nestree.reports.tables import percent
from nestree.runs import Run


def main(arguments: Sequence[str]) -> int:
    """List the encoders with their parameters and options, and the models that ship with the package."""
    parse_command(
        command_parser("models", "List the encoders (values of --encoder.name) and the trained models of the package."),
        arguments,
    )
    encoders = Table(title="encoders, with their default options", title_justify="left")
    for column in ("name", "parameters", "description", "options"):
        encoders.add_column(column, justify="right" if column == "parameters" else "left", no_wrap=column == "name")
    for name, options in ENCODERS.items():
        count = sum(parameter.numel() for parameter in options().build().parameters())
        encoders.add_row(
            name,
            f"{count:,}",
            (options.__doc__ or "").splitlines()[0],
            ", ".join(field.name for field in fields(options)),
        )
    output().print(encoders)
    output().print(_shipped())
    return 0


def _shipped() -> Table:
    models = Table(title="trained models, accepted by every command that takes a run", title_justify="left")
    for column in ("name", "encoder", "parameters", "trained on", "accuracy %"):
        models.add_column(column, no_wrap=column == "name")
    for name in pretrained_names():
        run = Run.of_package(name)
        about, data = run.about(), run.config.data
        found = {f"{one.test}{f', {one.inference}' if one.inference else ''}": one for one in current_results(run)}
        accuracies = [f"{test} {percent(result.total.accuracy)}" for test, result in found.items()]
        models.add_row(
            name,
            run.config.encoder_name,
            f"{about.get('parameters', 0):,}",
            f"{run.labelled(data.task)}, at most {about.get('train_longest')} tokens",
            "; ".join(accuracies),
        )
    return models
