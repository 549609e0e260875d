"""Progress of an evaluation: a bar, examples of how many, and the time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from nestree.consoles import Description, has_bars


def progress_bars(console: Console) -> Progress:
    """Return bars, to be entered as a context, that are gone at its end; none where none can be drawn."""
    return Progress(
        Description(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not has_bars(console),
    )
