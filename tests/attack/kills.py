"""Kills trainings at chosen moments, resumes them, and compares; a process of its own, since it forks.

    python tests/attack/kills.py FOLDER SECONDS SEED

Every training is the command line's, in a forked process, so that Python and PyTorch are imported only once. One is
trained to its end. Then, until the time is over, others are killed before a file operation in their folder, all of them
in random order, or get a signal after a random time, and are resumed. Prints one JSON object per attack.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from attack.children import in_child
from attack.tiny import prepare
from nestree.cli.main import main

KILLED = 9
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
INTERRUPTED = 130
ATTACKED_AGAIN = 0.33
"""Share of the trainings whose resumption is attacked as well."""


def counting(folder: Path, stop_at: int | None, report: Path | None = None) -> None:
    """Count file operations at or below a folder (or its temporary name); end the process before the given one."""
    count = 0
    names = (str(folder), str(folder.parent / f".{folder.name}."))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & WRITING):
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            path = arguments[0]
        else:
            return
        if not str(path).startswith(names):
            return
        count += 1
        if count == stop_at:
            os._exit(KILLED)
        if report is not None:
            report.write_text(str(count))

    sys.addaudithook(hook)


def train(recipe: Path, folder: Path) -> int:
    """Train, or resume if there is a run."""
    if (folder / "config.yaml").is_file():
        return main(["train", "--resume", str(folder)])
    return main(["train", str(recipe), "--run", str(folder)])


def attacked(recipe: Path, folder: Path, output: Path, how: int | signal.Signals, after: float) -> int:
    """Train or resume with an attack: killed before file operation number ``how``, or signalled after a time."""

    def action() -> int:
        if isinstance(how, signal.Signals):
            pid = os.getpid()
            threading.Timer(after, lambda: os.kill(pid, how)).start()
        else:
            counting(folder, how)
        return train(recipe, folder)

    return in_child(action, output).code


def judge(folder: Path, whole: Path, output: Path) -> list[str]:
    """Return what is wrong with a resumed training."""
    problems = []
    for name in ("weights.safetensors", "task.json"):
        if not (folder / name).is_file():
            problems.append(f"no {name}")
        elif (folder / name).read_bytes() != (whole / name).read_bytes():
            problems.append(f"{name} differs")
    states = [torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (folder, whole)]
    problems += [
        f"checkpoint: {name} differs" for name in states[0] if not torch.equal(states[0][name], states[1][name])
    ]
    about = json.loads((folder / "run.json").read_text())
    if about["state"] != "finished":
        problems.append(f"state {about['state']}")
    left = [*folder.rglob("*.tmp"), *folder.parent.glob(f".{folder.name}.*")]
    problems += [f"left behind: {path.name}" for path in left]
    if "Traceback" in output.read_text():
        problems.append(output.read_text()[-2000:])
    return problems


def attack(place: Path, number: int, rng: random.Random, operations: list[int], seconds: float) -> dict[str, object]:
    """Attack one training, resume it to its end, and return what happened."""
    folder, output, recipe = place / f"run-{number}", place / f"output-{number}.txt", place / "recipe.yaml"
    how: int | signal.Signals = rng.choice(SIGNALS) if number % 3 == 2 else operations[number % len(operations)]
    after = rng.uniform(0, 1.2 * seconds)
    codes = [attacked(recipe, folder, output, how, after)]
    if rng.random() < ATTACKED_AGAIN:
        codes.append(attacked(recipe, folder, output, rng.choice(operations), 0.0))
    codes += [in_child(lambda: train(recipe, folder), output).code]
    wrong = judge(folder, place / "whole", output) if codes[-1] == 0 else [output.read_text()[-2000:]]
    allowed = {0, KILLED, INTERRUPTED, -signal.SIGKILL}
    if isinstance(how, signal.Signals) and codes[0] < 0 and how != signal.SIGKILL:
        allowed.add(-how)  # before training took the signals over, the system's own action applies
    wrong += [f"exit code {code}" for code in codes if code not in allowed]
    name = how.name if isinstance(how, signal.Signals) else f"operation {how}"
    return {"attack": name, "codes": codes, "wrong": wrong}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over."""
    recipe = prepare(place)
    began = time.monotonic()
    counted = place / "operations.txt"

    def whole() -> int:
        counting(place / "whole", None, counted)
        return train(recipe, place / "whole")

    if in_child(whole, place / "whole.txt").code != 0:
        sys.exit((place / "whole.txt").read_text())
    seconds = time.monotonic() - began
    rng = random.Random(seed)
    operations = list(range(1, int(counted.read_text()) + 1))
    rng.shuffle(operations)
    number = 0
    while time.monotonic() < began + limit:
        print(json.dumps(attack(place, number, rng, operations, seconds)), flush=True)
        number += 1


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
