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
    """What it is, in a line."""
    time: str
    """How long it takes, roughly, and on what."""
    values: Mapping[str, Any]
    """As [`nestree.config.config.read_config`][] takes them."""


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return a recipe of the package by name, or of a YAML file by path.

    Raises:
        UserError: no such recipe (says what may have been meant), or a file that cannot be read.
    """
    if name in recipe_names():
        path = FOLDER / f"{name}.yaml"
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        alike = [known for known in recipe_names() if known.startswith(f"{name}-")]
        close = alike or difflib.get_close_matches(name, recipe_names(), n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(f"there is no recipe {name!r}; {hint}`nestree recipes` lists them, and a YAML file will do too")
    values = read_yaml(path)
    about, time = (str(values.pop(key, "")) for key in ("about", "time"))
    return Recipe(path.stem, about, time, {**values, "recipe": path.stem})


@dataclass(frozen=True)
class Kept:
    """What other recipes achieve at a recipe's budget, kept from a comparison."""

    date: str
    """As 2026-01-31."""
    command: str
    """What made it."""
    accuracies: Mapping[str, Mapping[str, float]]
    """Share of right answers, by what is compared and test."""


def kept_figures(name: str) -> Kept | None:
    """Return the figures that are kept for a recipe of the package to be compared with, if there are any."""
    path = FOLDER / f"{name}.json"
    return Kept(**read_json(path)) if name in recipe_names() and path.is_file() else None
