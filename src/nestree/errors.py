"""The exceptions that stand for a mistake of the user's, not ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code after Ctrl-C, or of a training that a signal stopped; its checkpoint is written."""


class UserError(ValueError):
    """Something the user can put right: its text is one line that names the option or the file and row.

    The command line prints it on standard error and exits with 2; every other exception is our fault and exits with 1.
    """

    where: str = ""
    """The file, recipe or contender in which it was found, for the beginning of the text; see [`located`][]."""

    def __str__(self) -> str:
        """Return the whole text."""
        return f"{self.where}{self.text()}"

    def text(self, mark: str = "") -> str:
        """Return what is wrong, without ``where``; the names of options begin with ``mark``."""
        del mark
        return super().__str__()


class OptionError(UserError):
    """An option, or an argument, whose value cannot be used.

    Whoever checks a value knows the bare name; each layer that holds the options in a section puts its name before it,
    with [`within`][]; only the command line writes it as a flag.

    Examples:
        >>> str(OptionError("dim", "must be an integer of at least 1, not 0"))
        'dim must be an integer of at least 1, not 0'
    """

    def __init__(self, option: str, reason: str, *, problem: str = "") -> None:
        """Name an option.

        Args:
            option: its name, with its sections before it where they are known: ``dim`` or ``encoder.dim``.
            reason: what is wrong or would be right, to follow the name: ``must be at least 1, not 0``.
            problem: what went wrong elsewhere, in a file for example, where the option is what may help.
        """
        super().__init__(option, reason)
        self.option = option
        self.reason = reason
        self.problem = problem

    def text(self, mark: str = "") -> str:
        """Return what is wrong, without ``where``; the name of the option begins with ``mark``."""
        return f"{self.problem}{'; ' * bool(self.problem)}{mark}{self.option} {self.reason}"


class NoSuchOption(OptionError):
    """An option that does not exist."""

    def __init__(self, option: str, meant: Sequence[str] = ()) -> None:
        """Name it, and those that may have been meant."""
        super().__init__(option, "is no option")
        self.args = (option, meant)
        self.meant = meant

    def text(self, mark: str = "") -> str:
        """Return what is wrong, without ``where``; the names of options begin with ``mark``."""
        names = " or ".join(f"{mark}{name}" for name in self.meant)
        return f"there is no option {mark + self.option!r}" + (f"; did you mean {names}?" if names else "")


@contextmanager
def within(section: str) -> Iterator[None]:
    """Put the name of a section before that of the option in an [`OptionError`][]: ``dim`` becomes ``encoder.dim``."""
    try:
        yield
    except OptionError as error:
        error.option = f"{section}.{error.option}"
        raise


@contextmanager
def located(where: object) -> Iterator[None]:
    """Put a file, recipe or contender before the text of a [`UserError`][]."""
    try:
        yield
    except UserError as error:
        error.where = f"{where}: {error.where}"
        raise


@contextmanager
def without(section: str) -> Iterator[None]:
    """Take the name of a section away again, for a command whose own options are those of one section."""
    try:
        yield
    except OptionError as error:
        first, _, rest = error.option.partition(".")
        error.option = rest if first == section and rest else error.option
        raise
