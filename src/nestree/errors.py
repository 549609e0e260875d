"""The one exception that stands for a mistake of the user's, not ours."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code after Ctrl-C, or of a training that a signal stopped; its checkpoint is written."""


class UserError(ValueError):
    """Something the user can put right: its text is one line that names the option or the file and row.

    The command line prints it on standard error and exits with 2; every other exception is our fault and exits with 1.
    """
