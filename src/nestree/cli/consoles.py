"""Where the commands print: results on standard output, messages on standard error."""

from __future__ import annotations

from rich.console import Console


def output() -> Console:
    """Return the console of results; a pipe gets lines of any width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def messages() -> Console:
    """Return the console of progress and messages, on standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)
