"""Attacks trainings of two processes, and the processes that commands start; Linux only.

    python tests/attack/processes.py FOLDER SECONDS SEED

Signals come to the first process, to the second and to both, at given moments; then training is resumed, and its
weights are compared with those of an undisturbed training. Killed parents must leave no process alive. Prints one
JSON object per attack, until the time is over; there are at least two attacks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
TARGETS = ("first", "second", "both")
MOMENTS = ("validation", "training", "last step", "start")
MOMENT = "NESTREE_ATTACK_MOMENT"
"""Environment variable: the moment at which training waits for a signal, and the folder for the processes' numbers."""
PAUSE = 1.5
"""Time that training waits for a signal, seconds."""
HUNG = 120
"""Time after which a training is judged to hang, seconds: starting it takes the most of it."""
GONE = 10
"""Time for processes to end after their parent, seconds."""
INTERRUPTED = 130
DEVICES = ["--trainer.devices", "2", "--trainer.accelerator", "cpu"]
ENDLESS = ["--trainer.max_epochs", "100000", "--trainer.max_steps", "1000000", "--trainer.checkpoint_every", "5"]


def train(arguments: list[str]) -> int:
    """Train, and wait for a signal at the moment that the environment names; both processes come here."""
    moment, _, place = os.environ.get(MOMENT, "").partition("=")
    waited = False

    def wait() -> None:
        nonlocal waited
        if not waited:
            waited = True
            rank = os.environ.get("LOCAL_RANK", "0")
            Path(place, f"{rank}.tmp").write_text(str(os.getpid()))
            Path(place, f"{rank}.tmp").rename(Path(place, rank))
            time.sleep(PAUSE)

    if moment == "start" and os.environ.get("LOCAL_RANK", "0") == "1":
        wait()
    from nestree.cli.main import main
    from nestree.training.callbacks import Keeper
    from nestree.training.progress import TrainingProgress

    after_step, before_validation = Keeper.on_train_batch_end, TrainingProgress.on_validation_start

    def on_train_batch_end(self: Keeper, *arguments: Any) -> None:
        if (moment, self.stream.position) in (("training", 7), ("last step", self.steps)):
            wait()
        after_step(self, *arguments)

    def on_validation_start(self: TrainingProgress, *arguments: Any) -> None:
        if moment == "validation":
            wait()
        before_validation(self, *arguments)

    Keeper.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign]
    TrainingProgress.on_validation_start = on_validation_start  # type: ignore[method-assign]
    return main(["train", *arguments])


def started(command: list[str], place: Path, moment: str = "") -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; its output goes to a file."""
    shutil.rmtree(place / "waiting", ignore_errors=True)
    (place / "waiting").mkdir()
    environment = {**os.environ, MOMENT: f"{moment}={place / 'waiting'}"}
    with (place / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, env=environment, start_new_session=True
        )


def alive(place: Path) -> list[int]:
    """Return the numbers of the processes that were started for an attack, whatever started them."""
    mark, found = str(place / "waiting").encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def all_gone(place: Path) -> list[str]:
    """Wait for the processes of an attack to end; return what is wrong."""
    end = time.monotonic() + GONE
    while (left := alive(place)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return [f"{len(left)} processes alive"] if left else []


def ended(process: subprocess.Popen[bytes], place: Path) -> int | None:
    """Wait for a command to end; None if it hangs."""
    try:
        return process.wait(timeout=HUNG)
    except subprocess.TimeoutExpired:
        for pid in alive(place):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        return None


def signalled(place: Path, name: str, target: str, moment: str) -> dict[str, Any]:
    """Send a signal to a training of two processes at a moment, and resume it."""
    folder, waiting = place / "attacked", place / "waiting"
    shutil.rmtree(folder, ignore_errors=True)
    process = started([__file__, str(place / "recipe.yaml"), *DEVICES, "--run", str(folder)], place, moment)
    ranks = {"first": ["0"], "second": ["1"], "both": ["0", "1"]}[target]
    if moment == "start":
        (waiting / "0").write_text(str(process.pid))
    end = time.monotonic() + HUNG
    while not all((waiting / rank).is_file() for rank in ("0", "1")) and time.monotonic() < end:
        time.sleep(0.05)
    for rank in ranks:
        os.kill(int((waiting / rank).read_text()), getattr(signal, name))
    codes = [ended(process, place)]
    said = (place / "output.txt").read_text()
    wrong = all_gone(place)
    if codes[0] == INTERRUPTED:
        wrong += [] if "to continue: nestree train --resume" in said else [f"no line: {said[-1500:]}"]
        codes.append(ended(started([__file__, "--resume", str(folder)], place), place))
        said += (place / "output.txt").read_text()
    if codes[-1] != 0:
        wrong.append(said[-2500:])
    elif (folder / "weights.safetensors").read_bytes() != (place / "whole" / "weights.safetensors").read_bytes():
        wrong.append("the weights differ")
    if "Traceback" in said:
        wrong.append(said[-2500:])
    return {"attack": f"{name} to {target}, {moment}", "codes": codes, "wrong": wrong}


def orphaned(place: Path, command: str) -> dict[str, Any]:
    """Kill a command that trains, and wait for all processes to end."""
    folder, recipe = place / command, str(place / "recipe.yaml")
    shutil.rmtree(folder, ignore_errors=True)
    (place / "space.yaml").write_text("optimizer.learning_rate: [0.001, 0.002]\n")
    arguments = {
        "train": [recipe, "--run", str(folder), *ENDLESS],
        "compare": [recipe, "--budget", "10m", "--tests", "validation", "--out", str(folder)],
        "sweep": [
            *(recipe, "--space", str(place / "space.yaml"), "--trials", "2", *ENDLESS),
            *("--storage", str(place / "study.log"), "--out", str(folder)),
        ],
    }
    (place / "study.log").unlink(missing_ok=True)
    process = started(["-m", "nestree", command, *arguments[command], *DEVICES], place)
    end = time.monotonic() + HUNG
    while not list(folder.rglob("last.ckpt")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    trained = bool(list(folder.rglob("last.ckpt")))
    process.kill()
    process.wait()
    wrong = all_gone(place) + ([] if trained else ["not trained: " + (place / "output.txt").read_text()[-1500:]])
    return {"attack": f"{command} killed", "codes": [process.returncode], "wrong": wrong}


def run(place: Path, limit: float, seed: int) -> None:
    """Attack until the time is over, or every attack was made."""
    from attack.tiny import prepare

    recipe = prepare(place)
    os.environ["OMP_NUM_THREADS"] = "1"
    code = ended(started([__file__, str(recipe), *DEVICES, "--run", str(place / "whole")], place), place)
    if code != 0:
        sys.exit((place / "output.txt").read_text())
    began, rng = time.monotonic(), random.Random(seed)
    cases = [(name, target, moment) for moment in MOMENTS for target in TARGETS for name in SIGNALS]
    rng.shuffle(cases)
    orphans = ["compare", "train", "sweep"]
    for number, case in enumerate(cases):
        print(json.dumps(signalled(place, *case)), flush=True)
        if number < len(orphans):
            print(json.dumps(orphaned(place, orphans[number])), flush=True)
        if time.monotonic() > began + limit:
            break


if __name__ == "__main__":
    if MOMENT in os.environ:
        sys.exit(train(sys.argv[1:]))
    run(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
