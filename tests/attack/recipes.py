"""Mutated recipes of the package; a process of its own, since it forks.

    python tests/attack/recipes.py FOLDER SECONDS SEED

Prints one JSON object per attack. A recipe whose data are a tiny table trains a step; of others the configuration is
read. Each may work, or say in one line what is wrong.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.damage import CONTENTS, flipped, truncated
from attack.tiny import prepare
from nestree.cli.main import main
from nestree.config.config import read_config
from nestree.errors import UserError
from nestree.recipes import FOLDER, load_recipe

VALUES = (
    *(None, [], {}, "", "x", -1, 0, 1, 3, 0.5, 1e300, float("nan"), float("inf"), True, 2**63, 10**400, [1, 2], [[]]),
    *({"x": {}}, {"task": 3}, "9" * 5_000, "[/a]", "\x1b[2J", "3", "1e-4", [{"tokens": 5}], "../x", 10**9),
)
TAGGED = (
    *("!!int x", "!!float x", "!!bool x", "!!timestamp x", "2024-13-45", "!!binary x", "!!python/object:os.system x"),
    *("!!set {a, b}", "&a [*a]", "*a", "!x y", "? [a]\n: b", "0b", "1:60:99", "!!omap [a]", "9" * 5_000),
)
"""YAML that fails when it is made into a value."""


def mutated(values: dict[str, Any], rng: random.Random) -> str:
    """Return YAML with one to three mistakes."""
    tagged = rng.random() < 0.15
    for _ in range(rng.choice([1, 1, 2, 3])):
        at: Any = values
        if not at:
            break
        key = rng.choice(list(at))
        while isinstance(at[key], dict) and at[key] and rng.random() > 0.2:
            at = at[key]
            key = rng.choice(list(at))
        dice = rng.random()
        if dice < 0.15:
            del at[key]
        elif dice < 0.3:
            at[rng.choice([f"{key}{key[-1:]}" if isinstance(key, str) else "x", 3, None, "", "x.y", True])] = at.pop(
                key
            )
        elif dice < 0.4:
            at[rng.choice(["unknown", "encoder", "data", "recipe", "task", "seed"])] = rng.choice(VALUES)
        else:
            at[key] = "TAGGED" if tagged else rng.choice(VALUES)
    return yaml.safe_dump(values, allow_unicode=True).replace("TAGGED", rng.choice(TAGGED))


def recipe(rng: random.Random, tiny: Path) -> tuple[str, bytes]:
    """Return the name of a recipe, and it with mistakes."""
    names = sorted(FOLDER.glob("*.yaml"))
    path = rng.choice([*names, *[tiny] * (len(names) // 3)])
    content = path.read_bytes()
    dice = rng.random()
    if dice < 0.05:
        return path.name, rng.choice(CONTENTS)
    if dice < 0.15:
        return path.name, rng.choice([truncated, flipped])(content, rng)
    return path.name, mutated(yaml.safe_load(content), rng).encode("utf-8", "replace")


def configured(path: Path) -> int:
    """Read a recipe, as ``nestree train`` does before it opens the data."""
    try:
        values = load_recipe(str(path)).values
        read_config(values, source=str(path))
    except UserError as error:
        print(f"nestree: {error}", file=sys.stderr)
        return 2
    return 0


def attack(place: Path, rng: random.Random) -> dict[str, object]:
    """Write a recipe with mistakes, and train it."""
    shutil.rmtree(place / "new", ignore_errors=True)
    name, content = recipe(rng, place / "recipe.yaml")
    path = place / "mutated.yaml"
    path.write_bytes(content)
    ended = in_child(lambda: configured(path), place / "output.txt", limit=LONGEST)
    if ended.code == 0 and name == "recipe.yaml":
        arguments = ["train", str(path), "--run", str(place / "new"), "--trainer.max_steps=1", "--trainer.max_epochs=1"]
        ended = in_child(lambda: main(arguments), place / "output.txt", limit=LONGEST)
    said = ended.output[-300:] if ended.code else ""
    return {"recipe": name, "code": ended.code, "wrong": ended.wrong(), "memory": ended.memory, "said": said}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    prepare(place)
    began = time.monotonic()
    rng = random.Random(seed)
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
