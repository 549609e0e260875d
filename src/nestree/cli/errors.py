"""How the commands print the user's errors."""

from __future__ import annotations

from nestree.errors import UserError


def error_line(error: UserError) -> str:
    """Return the line that tells of an error: options as flags, unless they stand in a file or behind a recipe."""
    text = f"{error.where}{error.text('' if error.where else '--')}"
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"nestree: {' '.join(f'{text}{notes}'.split())}"
