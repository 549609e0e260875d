"""Training in a child process, whose peak memory is measured separately and whose crash can be reported."""

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
from nestree.consoles import messages
from nestree.data.files import INHERITED
from nestree.errors import INTERRUPTED
from nestree.runs import Run
from nestree.tasks import Task
from nestree.training.parallel import PARENT, SIGNALS

POLL_EVERY = 0.25
"""Time between two checks whether training should stop, seconds."""
OVER = ("finished", "not finite")
"""States of a run that resuming would not change."""


class Train(Protocol):
    """A function that trains or resumes a run, and returns the exit code."""

    def __call__(self, run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        """Train.

        Args:
            run: a run with options; training updates its ``run.json``.
            stop: called regularly; if it returns true, training is interrupted as by Ctrl-C.
            keep: file descriptors that the training process inherits, so that a lock lasts until it has ended too.
        """
        ...


def settle(config: Config, console: Console) -> tuple[Config, Task]:
    """Set up training without starting it, to check the options and fill in defaults.

    Args:
        config: the configuration.
        console: for progress while data are prepared.

    Returns:
        The configuration with defaults for this machine filled in, and the task.

    Raises:
        UserError: options do not fit the data or the machine.
    """
    from nestree.training.fit import Training, load_examples

    task = config.data.open()
    threads = torch.get_num_threads()
    try:
        train, validation = load_examples(task, config.data, console)
        training = Training(Run("not there"), config, task, train, validation, console=messages(shown=False))
    finally:
        torch.set_num_threads(threads)
    return training.config, task


def train_in_child_process(run: Run, *, stop: Callable[[], bool] = lambda: False, keep: Sequence[int] = ()) -> int:
    """Train in a child process; see [`Train`][].

    Raises:
        KeyboardInterrupt: a signal came; training has saved a checkpoint and ended.
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
    """Run a command to its end, forwarding [`SIGNALS`][] to it.

    Args:
        command: the command.
        stop: see [`Train`][].
        keep: see [`Train`][].
        output: file descriptor for its standard output; None for that of this process.

    Returns:
        The exit code, and whether any signals were forwarded.
    """
    with _collected_signals() as came:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,  # otherwise a terminal's Ctrl-C would reach it twice, and stop it immediately
            pass_fds=keep,
            env={**os.environ, INHERITED: ",".join(map(str, keep)), PARENT: str(os.getpid())},
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
    """Return the state of a run after its training process has ended, and record it if the process could not."""
    about = run.about()
    state = str(about.get("state", "begun"))
    if code in (0, INTERRUPTED) or state in (*OVER, "failed"):
        return state
    error = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    run.note(state="failed", error=f"training was {error}" if code < 0 else f"training {error}")
    return "failed"


@contextmanager
def _collected_signals() -> Iterator[list[int]]:
    """Catch [`SIGNALS`][]; yield the list that they are appended to."""
    came: list[int] = []

    def collect(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    before = {number: signal.signal(number, collect) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Wait briefly, and return the exit code if the process has ended."""
    try:
        return process.wait(timeout=POLL_EVERY)
    except subprocess.TimeoutExpired:
        return None


def _send(process: subprocess.Popen[bytes], signum: int) -> None:
    """Send a signal to a process and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)
