"""Where the commands print: results on standard output, messages on standard error."""

from __future__ import annotations

from rich.console import Console

from nestree.errors import UserError


def output() -> Console:
    """Return the console of results; a pipe gets lines of any width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def messages() -> Console:
    """Return the console of progress and messages, on standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def error_line(error: UserError) -> str:
    """Return the line that tells of an error: options as flags, unless they stand in a file or behind a recipe."""
    text = f"{error.where}{error.text('' if error.where else '--')}"
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"nestree: {' '.join(f'{text}{notes}'.split())}"
