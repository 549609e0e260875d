"""Damages the files of a run in every way, and asks the command line; a process of its own, since it forks.

    python tests/attack/damage.py FOLDER SECONDS SEED

Prints one JSON object per attack. A command may work, or say in one line what is wrong. Flipped bits in what the run
keeps checksums of must be found.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.tiny import prepare
from nestree.cli.main import main

FILES = ("config.yaml", "run.json", "task.json", "weights.safetensors", "last.ckpt", "evaluation.json")
KEPT = ("task.json", "weights.safetensors", "last.ckpt")
"""Files with checksums."""
_NAMES = "abcdefghijkl"
ALIASES = (
    "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 6 if old else ['x'] * 6)}]\n"
        for old, new in zip(" " + _NAMES[:-1], _NAMES, strict=True)
    )
    .replace("* ", "x")
    .encode()
)
"""YAML of a few hundred bytes that stands for billions of values."""
CONTENTS = (
    *(b"", b"[]", b"3", b"null", b"{}", b'"x"', b"\x00", b"\xff\xfe", b"{" * 20_000, b"[" * 20_000, b"- " * 20_000),
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"state": [], "steps": {}, "minutes": "x", "labels": 3, "words": [[]], "results": [3]}',
    ALIASES,
)
"""Contents that may parse, but are of the wrong kind."""
VALUES = (None, [], {}, "", "x", -1, 0, 3, 1e300, float("nan"), True, [[]], {"x": {}}, "9" * 5_000, "[/a]", "\x1b[2J")


def truncated(content: bytes, rng: random.Random) -> bytes:
    """Cut a file."""
    return content[: rng.randrange(len(content) + 1)]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip a bit."""
    at = rng.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def other_content(content: bytes, rng: random.Random) -> bytes:
    """Replace all of it."""
    return rng.choice(CONTENTS)


def noise(content: bytes, rng: random.Random) -> bytes:
    """Replace all of it by random bytes."""
    return rng.randbytes(rng.choice([1, 100, len(content)]))


def mutated(content: bytes, rng: random.Random, load: Callable[[bytes], Any], dump: Callable[[Any], str]) -> bytes:
    """Remove or replace one value of a JSON or YAML file."""
    values = load(content)
    at = values
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys)
        if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.4:
            break
        at = at[key]
    if rng.random() < 0.3:
        del at[key]
    else:
        at[key] = rng.choice(VALUES)
    return dump(values).encode()


def weights(content: bytes, rng: random.Random, path: Path) -> bytes:
    """Change the tensors of the weights."""
    tensors = load_file(path)
    name = rng.choice(sorted(tensors))
    how = rng.randrange(5)
    if how == 0:
        tensors[name].view(-1)[0] = float("nan")
    elif how == 1:
        tensors = {key: torch.full_like(tensor, float("nan")) for key, tensor in tensors.items()}
    elif how == 2:
        tensors[name] = tensors[name].half()
    elif how == 3:
        del tensors[name]
    else:
        tensors[name] = tensors[name].reshape(-1)[:1].clone()
    return save(tensors)


def damage(folder: Path, rng: random.Random) -> tuple[str, str]:
    """Damage one file of a run; return its name and how."""
    path = folder / rng.choice(FILES)
    content = path.read_bytes()
    ways: dict[str, Callable[[], bytes]] = {
        "cut": lambda: truncated(content, rng),
        "bit": lambda: flipped(content, rng),
        "other content": lambda: other_content(content, rng),
        "noise": lambda: noise(content, rng),
    }
    if path.suffix == ".json":
        ways["value"] = lambda: mutated(content, rng, json.loads, json.dumps)
    elif path.suffix == ".yaml":
        ways["value"] = lambda: mutated(content, rng, yaml.safe_load, yaml.safe_dump)
    elif path.suffix == ".safetensors":
        ways["tensor"] = lambda: weights(content, rng, path)
    how = rng.choice([*ways, "missing", "folder"])
    if how in ways:
        path.write_bytes(ways[how]())
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
    return path.name, how


def commands(folder: Path) -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Return commands, and the files with checksums that each reads."""
    name = str(folder)
    return {
        "predict": (["predict", name, "a good film"], ("task.json", "weights.safetensors")),
        "evaluate": (["evaluate", name, "--limit", "5"], ("task.json", "weights.safetensors")),
        "resume": (["train", "--resume", name, "--trainer.max_steps", "19"], ("task.json", "last.ckpt")),
        "report": (["report", name], ()),
        "start": (["train", str(folder.parent / "recipe.yaml"), "--trainer.start", name, "--run", f"{name}-new"], ()),
    }


def attack(place: Path, rng: random.Random, number: int) -> dict[str, object]:
    """Damage a copy of the run, and ask for something."""
    folder, output = place / "attacked", place / "output.txt"
    for left in (folder, place / "attacked-new"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(place / "whole", folder)
    before = {name: (folder / name).read_bytes() for name in FILES}
    file, how = damage(folder, rng)
    name, (command, reads) = rng.choice(sorted(commands(folder).items()))
    ended = in_child(lambda: main(command), output, limit=LONGEST)
    wrong = ended.wrong()
    same = (folder / file).is_file() and (folder / file).read_bytes() == before[file]
    if how == "bit" and file in reads and ended.code == 0 and not same:
        wrong.append("not found")
    return {"file": file, "how": how, "command": name, "code": ended.code, "wrong": wrong, "memory": ended.memory}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    recipe = prepare(place)
    began = time.monotonic()
    for command in (["train", str(recipe), "--run", str(place / "whole")], ["evaluate", str(place / "whole")]):
        ended = in_child(lambda command=command: main(command), place / "output.txt")
        if ended.code != 0:
            sys.exit(ended.output)
    rng = random.Random(seed)
    number = 0
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng, number)), flush=True)
        number += 1


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
