"""Actions in forked processes: Python and PyTorch are imported once, and an attack costs a fraction of a second."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BUG = 70
"""Exit code after an exception that the command line let through."""
LONGEST = 30
"""Time that a command may take, seconds."""
LARGEST = 2 * 1024**3
"""Memory that a command may take, bytes."""


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    code: int
    """Exit code, or -N if signal N ended it."""
    output: str
    """What it printed, to both streams."""
    memory: int
    """Peak memory, bytes."""

    def wrong(self) -> list[str]:
        """Return what is wrong with a command that was given something broken: it may work, or say why in one line."""
        problems = []
        if self.code not in (0, 2):
            problems.append(f"exit code {self.code}")
        if "Traceback" in self.output:
            problems.append(self.output[-1500:])
        if self.code == 2 and sum(line.startswith("nestree: ") for line in self.output.splitlines()) != 1:
            problems.append(f"not one line: {self.output[-500:]!r}")
        if self.memory > LARGEST:
            problems.append(f"{self.memory >> 20} MB")
        return problems


def in_child(action: Callable[[], int], output: Path, *, limit: int = 0) -> Ended:
    """Run an action in a forked process; after ``limit`` seconds (0: never) SIGALRM ends it."""
    before = output.stat().st_size if output.exists() else 0
    pid = os.fork()
    if pid == 0:
        code = BUG
        try:
            number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(number, 1)
            os.dup2(number, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(limit)
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(ValueError, OSError):  # closed, or full
                    stream.flush()
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    said = output.read_bytes()[before:].decode("utf-8", "replace")
    return Ended(os.waitstatus_to_exitcode(status), said, used.ru_maxrss * 1024)
