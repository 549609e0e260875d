"""Inputs of the commands that read a user's own: given on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestree.errors import UserError
from nestree.tasks import Task

AT_ONCE = 256
"""Inputs that are read before any is answered."""


def encoded(task: Task, where: str, text: str) -> tuple[NDArray[np.unsignedinteger], ...]:
    """Return an input's token ids, of both sides of a pair.

    Raises:
        UserError: it is no input of the task; says where it stands.
    """
    try:
        return task.encode(*(text.split("\t") if task.sides > 1 else (text,)))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def inputs(texts: list[str], file: str | None) -> Iterator[tuple[str, str]]:
    """Yield (where it stands, text) of every input; empty lines are passed over."""
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
