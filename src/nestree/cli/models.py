"""``nestree models``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from rich.table import Table

from nestree.cli.parsing import command_parser, output, parse_command
from nestree.encoders.registry import ENCODERS


def main(arguments: Sequence[str]) -> int:
    """List the encoders with their parameters and options."""
    parse_command(command_parser("models", "List the encoders that --encoder.name takes."), arguments)
    encoders = Table(title="encoders, with their default options", title_justify="left")
    for column in ("name", "parameters", "what", "options"):
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
    return 0
