"""Extreme values of every option, with little memory; a process of its own, since it forks.

    python tests/attack/options.py FOLDER SECONDS SEED

Prints one JSON object per attack. A training of one step may work, or say in one line which option is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import random
import resource
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.tiny import prepare
from nestree.cli.main import main
from nestree.config.config import FIXED
from nestree.encoders.registry import ENCODERS
from nestree.tasks import TASKS

MEMORY = 4 * 1024**3
"""What a training may allocate, bytes."""
VALUES = (
    *("0", "-1", "1", "2", "3", "1000", "1000000000", str(2**31), str(2**63), str(2**64), "1" + "0" * 400),
    *(
        "1e300",
        "-1e300",
        "1e-300",
        "nan",
        "inf",
        "-inf",
        "0.5",
        "true",
        "null",
        "",
        "x",
        "[]",
        "{}",
        "[1, 2]",
        "x" * 5000,
    ),
    *("../x", "/dev/null", "\ud83c\udf33", "0x10", "1_000", "1e3", " 1 "),
)
TASKS_TRIED = ("own", "listops")


def options(rng: random.Random) -> list[str]:
    """Return one option, with an extreme value, and the encoder or task that has it."""
    section = rng.choice(["encoder", "encoder", "encoder", "data", "data", *FIXED, *FIXED, ""])
    value = rng.choice(VALUES)
    if section == "":
        return [f"--seed={value}"]
    if section == "encoder":
        name = rng.choice(sorted(ENCODERS))
        field = rng.choice(dataclasses.fields(ENCODERS[name]))
        return [f"--encoder.name={name}", f"--encoder.{field.name}={value}"]
    if section == "data":
        task = rng.choice(TASKS_TRIED)
        field = rng.choice(dataclasses.fields(TASKS[task]))
        sizes = ["--data.train_size=20", "--data.validation_size=20", "--trainer.validate_every=1"]
        return [f"--data.task={task}", *(sizes if task == "listops" else []), f"--data.{field.name}={value}"]
    field = rng.choice(dataclasses.fields(FIXED[section]))
    return [f"--{section}.{field.name}={value}"]


def attack(place: Path, rng: random.Random) -> dict[str, object]:
    """Train one step with an extreme option."""
    new = place / "new"
    shutil.rmtree(new, ignore_errors=True)
    chosen = options(rng)
    limits = ["--trainer.max_steps=1", "--trainer.max_epochs=1"]
    limits = [limit for limit in limits if limit.partition("=")[0] != chosen[-1].partition("=")[0]]

    def action() -> int:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        return main(["train", str(place / "recipe.yaml"), *limits, *chosen, "--run", str(new)])

    ended = in_child(action, place / "output.txt", limit=LONGEST)
    said = ended.output[-300:] if ended.code else ""
    return {"option": chosen[-1][:60], "code": ended.code, "wrong": ended.wrong(), "memory": ended.memory, "said": said}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    prepare(place)
    began = time.monotonic()
    rng = random.Random(seed)
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
