"""Commands that cannot write what they should: no room, a limit of a file's size, /dev/full, read-only folders.

    python tests/attack/disk.py FOLDER SECONDS SEED

A process of its own, since it forks. Prints one JSON object per attack. A command says in one line what it could not
write, loses nothing that was there before, and shows what it has computed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import LONGEST, in_child
from attack.tiny import prepare
from nestree.cli.main import main


def commands(place: Path) -> dict[str, list[str]]:
    """Return commands that write; {} is replaced by a copy of the run."""
    recipe, table = str(place / "recipe.yaml"), str(place / "train.csv")
    return {
        "train": ["train", recipe, "--run", str(place / "new")],
        "resume": ["train", "--resume", "{}", "--trainer.max_steps", "24", "--trainer.max_epochs", "9"],
        "evaluate": ["evaluate", "{}"],
        "report": ["report", "{}"],
        "predict": ["predict", "{}", table, "--output", str(place / "out.csv"), "--text", "text"],
        "explain": ["explain", "{}", "a good film", "--svg", str(place / "out.svg")],
    }


def limited(size: int, arguments: list[str], *, to_full: bool) -> int:
    """Run a command whose files can have no more than that many bytes, maybe with a full standard output."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails, as on a full disk
    if to_full:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return main(arguments)


def attack(place: Path, rng: random.Random) -> dict[str, object]:
    """Let one command run out of room, or write to a full device or a read-only folder."""
    folder = place / "attacked"
    for left in (folder, place / "new"):
        shutil.rmtree(left, ignore_errors=True)
    for name in ("out.csv", "out.svg"):
        (place / name).unlink(missing_ok=True)
    shutil.copytree(place / "whole", folder)
    name, words = rng.choice(sorted(commands(place).items()))
    arguments = [str(folder) if word == "{}" else word for word in words]
    size, to_full = rng.choice([5_000, 10_000, 20_000, 30_000, 45_000, 60_000]), False
    how = f"{size} bytes"
    if rng.random() < 0.2:
        size, how, to_full = 2**30, "/dev/full", True
    elif rng.random() < 0.2 and os.getuid() != 0:
        size, how = 2**30, "read-only"
        folder.chmod(0o555)
    output = place / f"output-{rng.random()}.txt"  # a new one, as the limit applies to it too
    before = (folder / "weights.safetensors").read_bytes()
    ended = in_child(lambda: limited(size, arguments, to_full=to_full), output, limit=LONGEST)
    folder.chmod(0o755)
    wrong = ended.wrong()
    if name != "resume" and (folder / "weights.safetensors").read_bytes() != before:
        wrong.append("weights changed")
    if name == "evaluate" and how != "/dev/full" and "validation" not in ended.output:
        wrong.append(f"what was computed is lost: {ended.output[-500:]}")
    left = [path.name for path in [*folder.rglob(".*.tmp"), *place.glob(".*.tmp")]]
    wrong += [f"left behind: {one}" for one in left]
    output.unlink()
    return {"command": name, "how": how, "code": ended.code, "wrong": wrong, "said": ended.output[-300:]}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    recipe = prepare(place)
    import nestree.cli.explain  # noqa: F401

    began = time.monotonic()
    ended = in_child(lambda: main(["train", str(recipe), "--run", str(place / "whole")]), place / "output.txt")
    if ended.code != 0:
        sys.exit(ended.output)
    rng = random.Random(seed)
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, rng)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
