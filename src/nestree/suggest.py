"""Suggestions for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Return "there is no WHAT 'NAME'; did you mean ...?", or with all known names where none is close."""
    close = difflib.get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    return f"there is no {what} {name!r}; {hint}"
