"""Store a comparison's figures for a recipe; they are shown at the end of its training as what other recipes achieve.

nestree compare listops-s4d listops-transformer --budget 570s --data.batch 64 --out runs/without
python tools/keep_figures.py runs/without listops-rir-quick

The budget must be the recipe's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from nestree.comparison.plan import Comparison
from nestree.comparison.rows import rows
from nestree.data.files import write_json
from nestree.errors import UserError
from nestree.recipes import FOLDER, recipe_names


def figures(comparison: Comparison) -> dict[str, Any]:
    """Return what is stored of a comparison.

    Raises:
        UserError: not all of it is done.
    """
    found = rows(comparison)
    undone = [row.name for row in found if set(row.results) != set(comparison.tests)]
    if undone:
        raise UserError(f"{comparison.path}: there are no results yet of {', '.join(undone)}")
    return {
        "date": max(str(row.about["ended"]) for row in found)[: len("2026-01-31")],
        "command": comparison.plan.command,
        "accuracies": {
            row.name: {test: round(result.total.accuracy, 4) for test, result in row.results.items()} for row in found
        },
    }


def keep(comparison: Comparison, recipe: str, folder: Path = FOLDER) -> Path:
    """Write a comparison's figures next to a recipe, and return the file.

    Raises:
        UserError: there is no such recipe, or not all of the comparison is done.
    """
    if recipe not in recipe_names():
        raise UserError(f"there is no recipe {recipe!r} in the package")
    path = folder / f"{recipe}.json"
    write_json(path, figures(comparison))
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/keep_figures.py COMPARISON RECIPE")
    print(keep(Comparison.open(sys.argv[1]), sys.argv[2]))
