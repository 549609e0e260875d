"""``nestree recipes``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nestree.cli.parsing import command_parser, output, parse_command
from nestree.encoders.registry import ENCODERS
from nestree.recipes import load_recipe, recipe_names
from nestree.training.config import read_config


def main(arguments: Sequence[str]) -> int:
    """List recipes with their encoders, and all encoders."""
    parse_command(command_parser("recipes", "List the recipes, and the encoders that --encoder.name takes."), arguments)
    recipes = Table(title="recipes", title_justify="left")
    for column in ("name", "task", "encoder", "what", "rough time"):
        recipes.add_column(column, no_wrap=column == "name")
    for name in recipe_names():
        recipe = load_recipe(name)
        config = read_config(recipe.values, source=name)
        recipes.add_row(name, config.data.task, config.encoder_name, recipe.about, recipe.time)
    encoders = Table(title="encoders, with their default options", title_justify="left")
    for column in ("name", "parameters", "what"):
        encoders.add_column(column, justify="right" if column == "parameters" else "left")
    for name, options in ENCODERS.items():
        count = sum(parameter.numel() for parameter in options().build().parameters())
        encoders.add_row(name, f"{count:,}", (options.__doc__ or "").splitlines()[0])
    console = output()
    console.print(recipes)
    console.print(encoders)
    return 0
