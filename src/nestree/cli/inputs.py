"""Inputs of ``predict`` and ``parse``: on the command line, in a file or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from nestree.errors import UserError

AT_ONCE = 256
"""Number of inputs that are read before the first is answered."""


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
