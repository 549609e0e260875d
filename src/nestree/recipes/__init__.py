"""Recipes: complete configurations as YAML files, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from nestree.errors import UserError
from nestree.runs import read_yaml
from nestree.suggest import unknown

FOLDER = Path(str(resources.files(__name__)))


@dataclass(frozen=True)
class Recipe:
    """A configuration with a name."""

    name: str
    about: str
    """What it is, in a line."""
    time: str
    """How long it takes, roughly, and on what."""
    values: Mapping[str, Any]
    """As :func:`nestree.training.config.read_config` takes them."""


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a recipe of the package by name, or of a YAML file by path.

    Raises:
        UserError: no such recipe (lists the ones there are), or a file that cannot be read.
    """
    if name in recipe_names():
        path = FOLDER / f"{name}.yaml"
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        known = ", ".join(recipe_names())
        raise UserError(
            f"{unknown('recipe', name, recipe_names()).split(';')[0]}; recipes: {known}, or a YAML file's path"
        )
    values = read_yaml(path)
    about, time = (str(values.pop(key, "")) for key in ("about", "time"))
    return Recipe(path.stem, about, time, {**values, "recipe": path.stem})
