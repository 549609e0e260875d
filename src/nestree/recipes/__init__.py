"""Recipes: complete configurations as YAML files, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from nestree.data.files import read_json, read_yaml
from nestree.errors import UserError

FOLDER = Path(str(resources.files(__name__)))


@dataclass(frozen=True)
class Recipe:
    """A configuration with a name."""

    name: str
    about: str
    """Description in one line."""
    time: str
    """Approximate training time, and the machine."""
    values: Mapping[str, Any]
    """Options for [`nestree.config.config.read_config`][]."""


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a recipe of the package by name, or of a YAML file by path.

    Raises:
        UserError: there is no such recipe (suggests similar names), or the file cannot be read.
    """
    if name in recipe_names():
        path = FOLDER / f"{name}.yaml"
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        alike = [known for known in recipe_names() if known.startswith(f"{name}-")]
        close = alike or difflib.get_close_matches(name, recipe_names(), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(f"there is no recipe {name!r}; {hint}`nestree recipes` lists them, or give a YAML file")
    values = read_yaml(path)
    about, time = (str(values.pop(key, "")) for key in ("about", "time"))
    return Recipe(path.stem, about, time, {**values, "recipe": path.stem})


@dataclass(frozen=True)
class Kept:
    """Accuracy of other recipes with a recipe's budget, from an earlier comparison."""

    date: str
    """Date of the comparison, such as 2026-01-31."""
    command: str
    """Command of the comparison."""
    accuracies: Mapping[str, Mapping[str, float]]
    """Accuracy by contender, then by test."""


def kept_figures(name: str) -> Kept | None:
    """Return the kept figures to compare a recipe of the package with; None if there are none."""
    path = FOLDER / f"{name}.json"
    return Kept(**read_json(path)) if name in recipe_names() and path.is_file() else None
