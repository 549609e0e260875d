"""Where is printed: results on standard output, progress and messages on standard error."""

from __future__ import annotations

from importlib.util import find_spec

from rich.console import Console


def output() -> Console:
    """Return the console of results; a pipe gets lines of any width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def messages(*, shown: bool = True) -> Console:
    """Return the console of progress and messages, on standard error; nothing is ``shown``: one that is silent."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=not shown)


def has_bars(console: Console) -> bool:
    """Tell whether a progress bar can be drawn: in a terminal, or in a notebook that has ipywidgets."""
    return not console.quiet and (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None))
