"""Training in a process of its own: its peak memory is its own, and whatever becomes of it can be reported."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import torch
from rich.console import Console

from nestree.config.config import Config
from nestree.errors import INTERRUPTED
from nestree.runs import Run
from nestree.tasks import Task

LOOK_EVERY = 0.25
"""Seconds between two looks whether a training should stop."""
OVER = ("finished", "not finite")
"""States of a run whose training, gone on with, would come to the same end."""


class Train(Protocol):
    """What trains a run that has begun, to its end or from where it stopped, and returns an exit code."""

    def __call__(self, run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        """Train.

        Args:
            run: it; ``run.json`` says afterwards how far it got.
            stop: asked now and then; true interrupts the training as Ctrl-C does.
            keep: open files that live on in the process that trains (a lock is free only when that has ended too).
        """
        ...


def settle(config: Config, console: Console) -> tuple[Config, Task]:
    """Put a training together without beginning it.

    Args:
        config: its configuration.
        console: for progress of what the data takes on first use.

    Returns:
        The configuration with what was left to the machine filled in, and the task.

    Raises:
        UserError: options that fit neither the data nor the machine.
    """
    from nestree.training.fit import Training, load_examples

    task = config.data.open()
    threads = torch.get_num_threads()
    try:
        train, validation = load_examples(task, config.data, console)
        training = Training(Run("not there"), config, task, train, validation, console=Console(quiet=True))
    finally:
        torch.set_num_threads(threads)
    return training.config, task


def train_in_child_process(run: Run, *, stop: Callable[[], bool] = lambda: False, keep: Sequence[int] = ()) -> int:
    """Train in a process of its own; see [`Train`][].

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM: the training has saved and ended, and somebody wants to stop.
    """
    command = [sys.executable, "-m", "nestree", "train", "--resume", str(run.path)]
    code, signalled = attended(command, stop=stop, keep=keep, output=subprocess.DEVNULL)
    if signalled:
        raise KeyboardInterrupt
    return code


def attended(
    command: Sequence[str],
    *,
    stop: Callable[[], bool] = lambda: False,
    keep: Sequence[int] = (),
    output: int | None = None,
) -> tuple[int, bool]:
    """Run a command to its end, and hand on the signals to stop that come here.

    Args:
        command: what to run.
        stop: see [`Train`][].
        keep: see [`Train`][].
        output: where its standard output goes; None: where that of this process goes.

    Returns:
        Its exit code, and whether there were signals.
    """
    with _collected_signals() as came:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,  # or a terminal's Ctrl-C would reach it twice, which means: at once
            pass_fds=keep,
        )
        asked, sent = False, 0
        while (code := _ended(process)) is None:
            if not asked and not came and stop():
                asked = True
                _send(process, signal.SIGINT)
            for signum in came[sent:]:
                _send(process, signum)
                sent += 1
    return code, bool(came)


def note_end(run: Run, code: int) -> str:
    """Return the state of a run after its training, and note it where the training itself could not any more."""
    about = run.about()
    state = str(about.get("state", "begun"))
    if code in (0, INTERRUPTED) or state in (*OVER, "failed"):
        return state
    error = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    run.note(state="failed", error=f"training was {error}" if code < 0 else f"training {error}")
    return "failed"


@contextmanager
def _collected_signals() -> Iterator[list[int]]:
    """Yield the list of the signals to stop that come."""
    came: list[int] = []

    def collect(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    before = {number: signal.signal(number, collect) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Wait a little, and return the exit code if there is one."""
    try:
        return process.wait(timeout=LOOK_EVERY)
    except subprocess.TimeoutExpired:
        return None


def _send(process: subprocess.Popen[bytes], signum: int) -> None:
    """Send a signal to a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)
