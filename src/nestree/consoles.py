"""Consoles: results go to standard output, progress and messages to standard error."""

from __future__ import annotations

from importlib.util import find_spec

from rich.console import Console


def output() -> Console:
    """Return the console for results; in a pipe, lines are 160 characters wide."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def messages(*, shown: bool = True) -> Console:
    """Return the console for progress and messages, on standard error; a silent one unless ``shown``."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=not shown)


def has_bars(console: Console) -> bool:
    """Return whether a progress bar can be drawn: in a terminal, or in a notebook with ipywidgets."""
    return not console.quiet and (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None))
