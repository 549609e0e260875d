"""Exceptions for mistakes of the user, as opposed to bugs."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code after Ctrl-C, or of training that a signal stopped after it wrote a checkpoint."""


class UserError(ValueError):
    """A mistake that the user can correct: its text is one line that names the option, or the file and row.

    The command line prints it on standard error and exits with 2; any other exception is a bug and exits with 1.
    """

    where: str = ""
    """The file, recipe or contender that contains the mistake, at the beginning of the text; see [`located`][]."""

    def __str__(self) -> str:
        return f"{self.where}{self.text()}"

    def text(self, mark: str = "") -> str:
        """Return what is wrong, without ``where``; the names of options begin with ``mark``."""
        del mark
        return super().__str__()


class OptionError(UserError):
    """An invalid value of an option or argument.

    The check of a value knows only the option's own name; [`within`][] adds the section, and the command line writes
    the name as a flag.

    Examples:
        >>> str(OptionError("dim", "must be an integer of at least 1, not 0"))
        'dim must be an integer of at least 1, not 0'
    """

    def __init__(self, option: str, reason: str, *, problem: str = "") -> None:
        """Describe the mistake.

        Args:
            option: name of the option, with its section if that is known: ``dim`` or ``encoder.dim``.
            reason: what is wrong and what would be right, following the name: ``must be at least 1, not 0``.
            problem: what went wrong elsewhere, in a file for example, if the option would help.
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
        """Name the option, and those that may have been meant."""
        super().__init__(option, "is no option")
        self.args = (option, meant)
        self.meant = meant

    def text(self, mark: str = "") -> str:
        """Return what is wrong, without ``where``; the names of options begin with ``mark``."""
        names = " or ".join(f"{mark}{name}" for name in self.meant)
        return f"there is no option {mark + self.option!r}" + (f"; did you mean {names}?" if names else "")


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Error numbers of a full disk, an exhausted quota, and a folder that is read-only."""


def is_unwritable(error: BaseException) -> bool:
    """Whether an error is that something could not be written because of the disk or its permissions."""
    return isinstance(error, OSError) and error.errno in UNWRITABLE


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or PyTorch is that memory could not be allocated."""
    said = (
        "allocate memory",
        "out of memory",
        "Storage size calculation overflowed",
        "tensor is too large",
        "invalid size",
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )


@contextmanager
def within(section: str) -> Iterator[None]:
    """Prefix the option in an [`OptionError`][] with the name of its section: ``dim`` becomes ``encoder.dim``."""
    try:
        yield
    except OptionError as error:
        error.option = f"{section}.{error.option}"
        raise


@contextmanager
def located(where: object) -> Iterator[None]:
    """Prefix the text of a [`UserError`][] with a file, recipe or contender."""
    try:
        yield
    except UserError as error:
        error.where = f"{where}: {error.where}"
        raise


@contextmanager
def without(section: str) -> Iterator[None]:
    """Remove the name of a section from the option, for commands whose own options are those of one section."""
    try:
        yield
    except OptionError as error:
        first, _, rest = error.option.partition(".")
        error.option = rest if first == section and rest else error.option
        raise
