"""Inputs of ``predict`` and ``parse``: on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from nestree.consoles import messages
from nestree.errors import UserError
from nestree.tasks import Task
from nestree.tasks.text import TextTask

AT_ONCE = 256
"""Number of inputs that are read before the first is answered."""


def say_coverage(task: Task, what: str = "inputs", *, only_low: bool = True) -> None:
    """Print, on standard error, how much of the texts encoded so far the task knows, and what it cut.

    Args:
        task: any task; only tasks on texts have something to say.
        what: what to call the texts.
        only_low: print the share of known tokens only if it is low.
    """
    if isinstance(task, TextTask):
        for line in task.encoded_remarks(what, only_low=only_low):
            messages().print(line, markup=False)


def inputs(texts: list[str], file: str | None) -> Iterator[tuple[str, str]]:
    """Yield (position, text) of every input, the position as errors name it; blank lines are skipped."""
    if texts and texts != ["-"]:
        yield from ((f"input {number}", text) for number, text in enumerate(texts, start=1))
        return
    name = file or "standard input"
    try:
        stream = Path(file).open("rb") if file else sys.stdin.buffer  # noqa: SIM115 (closed below)
        with stream:
            for number, line in enumerate(stream, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    raise UserError(f"{name}:{number}: not UTF-8") from None
                if text.strip():
                    yield f"{name}:{number}", text
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from None
