"""``nestree recipes``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nestree.cli.arguments import command_parser, parse_command
from nestree.config.config import read_config
from nestree.consoles import output
from nestree.recipes import load_recipe, recipe_names


def main(arguments: Sequence[str]) -> int:
    """List the recipes with their tasks and encoders."""
    parse_command(
        command_parser("recipes", "List the recipes, with task, encoder and approximate training time."), arguments
    )
    recipes = Table(title="recipes", title_justify="left")
    for column in ("name", "task", "encoder", "description", "training time"):
        recipes.add_column(column, no_wrap=column == "name")
    for name in recipe_names():
        recipe = load_recipe(name)
        config = read_config(recipe.values, source=name)
        recipes.add_row(name, config.data.task, config.encoder_name, recipe.about, recipe.time)
    output().print(recipes)
    return 0
