"""Processes of a training: which is the first one, the run folder that all share, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nestree.runs import Run

RUN_VARIABLE = "NESTREE_RUN"
"""Environment variable with the run folder, for all processes of a parallel training except the first."""

PARENT = "NESTREE_PARENT"
"""Environment variable with the process number of the process that must not be outlived."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that stop a training, with a checkpoint to resume from; Windows has no SIGHUP."""

LOOK_EVERY = 0.5
"""Time between two checks whether the parent is alive, seconds."""
LAST_CHECKPOINT = 5.0
"""Time for a process to end by itself after its parent has, seconds."""


def is_further_process() -> bool:
    """Whether this is a process of a parallel training other than the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


def end_with_parent() -> None:
    """End this process soon after its parent has ended, if nestree or Lightning started it.

    It gets SIGTERM, which makes a training write a checkpoint, and is killed if it is still there a few seconds later.
    Without the first process, the others cannot go on, and end at once.
    """
    # Started by another program, the process can only hope that its parent is still there.
    parent = os.environ.pop(PARENT, "") or (str(os.getppid()) if is_further_process() else "")
    if not parent.isdecimal():
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(LOOK_EVERY)
        if is_further_process():
            os._exit(1)
        signal.raise_signal(signal.SIGTERM)
        time.sleep(LAST_CHECKPOINT)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


@contextmanager
def run_folder_known(run: Run) -> Iterator[None]:
    """Pass the run folder, and which process is the first, to the processes that training starts."""
    os.environ.update({RUN_VARIABLE: str(run.path), PARENT: str(os.getpid())})
    try:
        yield
    finally:
        del os.environ[RUN_VARIABLE], os.environ[PARENT]


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals wait; processes that are started meanwhile get theirs when they call [`signals_come`][]."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def signals_come() -> None:
    """Get the signals that have waited since the process was started, and all others."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
