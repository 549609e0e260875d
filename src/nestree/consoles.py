"""Consoles: results go to standard output, progress and messages to standard error; a user's text is never markup."""

from __future__ import annotations

import shlex
import sys
import unicodedata
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any, TextIO

from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

_ESCAPED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of the characters that are not printed as they are."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which the others on the line are shown."""


class PlainConsole(Console):
    """A console that prints texts as they are: without markup, names of emoji and highlighting.

    Control characters are escaped, except line breaks.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as what is printed; cells and titles of tables come here too."""
        return super().render_str("\n".join(map(one_line, text.split("\n"))), **options)


def output(file: TextIO | None = None) -> Console:
    """Return the console for results; in a pipe, lines are 160 characters wide."""
    console = PlainConsole(file=file)
    return console if console.is_terminal else PlainConsole(file=file, width=160)


def messages(*, shown: bool = True) -> Console:
    """Return the console for progress and messages, on standard error; a silent one unless ``shown``."""
    return PlainConsole(stderr=True, soft_wrap=True, quiet=not shown)


def say(line: object, *, error: bool = False) -> None:
    """Print one line to standard output or standard error."""
    print(one_line(str(line)), file=sys.stderr if error else sys.stdout)


def quoted(argument: object) -> str:
    """Return a path or name as it is written in a command to copy."""
    return shlex.quote(str(argument))


def one_line(text: str) -> str:
    r"""Return a text with line breaks, tabs, other control characters and lone surrogates escaped.

    Examples:
        >>> one_line("two\nlines")
        'two\\nlines'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter in _DIRECTIONS or unicodedata.category(letter) in _ESCAPED
        else letter
        for letter in text
    )


def replace_unknown_characters() -> None:
    """Let standard output and standard error print what their encoding lacks as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def has_bars(console: Console) -> bool:
    """Return whether a progress bar can be drawn: in a terminal, or in a notebook with ipywidgets."""
    return not console.quiet and (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None))


class Description(ProgressColumn):
    """The description of a bar, as it is: rich's own column takes it for markup."""

    def render(self, task: Task) -> Text:
        """Return the description."""
        return Text(one_line(task.description))
