"""How the commands print a user's mistakes."""

from __future__ import annotations

from nestree.consoles import one_line
from nestree.errors import UserError


def error_line(error: UserError) -> str:
    """Return an error as one line. Options are written as flags, unless the error is in a file or a contender."""
    text = f"{error.where}{error.text('' if error.where else '--')}"
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return one_line(f"nestree: {' '.join(f'{text}{notes}'.split())}")
