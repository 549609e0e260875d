"""Damages the cache of prepared data; a process of its own, since it forks.

    python tests/attack/cache.py FOLDER SECONDS SEED

Prints one JSON object per attack. Training and evaluation must end as with an intact cache, and the damaged file must
be written again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.damage import CONTENTS, flipped, mutated, noise, truncated
from attack.tiny import prepare
from nestree.cli.main import main

KEPT = ("task.json", "weights.safetensors")


def train(place: Path, folder: Path) -> list[str]:
    """Train and evaluate; return what went wrong."""
    steps = ["--trainer.max_steps=2", "--trainer.max_epochs=1"]
    wrong = []
    for command in (["train", str(place / "recipe.yaml"), *steps, "--run", str(folder)], ["evaluate", str(folder)]):
        ended = in_child(lambda command=command: main(command), place / "output.txt", limit=LONGEST)
        wrong += ended.wrong() if ended.code == 0 else [ended.output[-1500:]]
    return wrong


def outcome(folder: Path) -> list[object]:
    """Return what a training and its evaluation end with."""
    result = json.loads((folder / "evaluation.json").read_text())["results"][0]
    return [*((folder / name).read_bytes() for name in KEPT), result["right"], result["strata"]]


def damage(path: Path, rng: random.Random) -> str:
    """Damage a file of the cache, and return how."""
    content = path.read_bytes()
    how = rng.choice(["cut", "bit", "bit", "content", "noise", "value", "header", "stale"])
    if how == "value" and path.suffix == ".json":
        path.write_bytes(mutated(content, rng, json.loads, json.dumps))
    elif how == "header" and path.suffix == ".safetensors":
        changed = bytearray(content)
        changed[rng.randrange(int.from_bytes(content[:8], "little") + 8)] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(changed))
    elif how == "content":
        path.write_bytes(rng.choice(CONTENTS))
    else:
        path.write_bytes({"cut": truncated, "noise": noise}.get(how, flipped)(content, rng))
    return how


def attack(place: Path, rng: random.Random, expected: list[object]) -> dict[str, object]:
    """Damage a file of the cache, leave a stale temporary file, train, and compare."""
    cache = place / "cache"
    shutil.rmtree(cache)
    shutil.copytree(place / "intact", cache)
    shutil.rmtree(place / "new", ignore_errors=True)
    path = rng.choice(sorted(path for path in cache.rglob("*") if path.is_file()))
    stale = path.with_name(f".{path.name}.{'0' * 32}.tmp")
    stale.write_bytes(b"x")
    os.utime(stale, (0, 0))
    before = path.read_bytes()
    how = damage(path, rng)
    damaged = path.read_bytes() != before
    wrong = train(place, place / "new")
    if not wrong and outcome(place / "new") != expected:
        wrong.append("another outcome")
    if path.read_bytes() != before:
        wrong.append("not repaired")
    if damaged and stale.exists():
        wrong.append("stale file left")
    return {"file": f"{path.name.partition('-')[0]}{path.suffix}", "how": how, "code": 0, "wrong": wrong}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    prepare(place)
    began = time.monotonic()
    if wrong := train(place, place / "whole"):
        sys.exit(wrong[0])
    shutil.copytree(place / "cache", place / "intact")
    expected = outcome(place / "whole")
    rng = random.Random(seed)
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng, expected)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
