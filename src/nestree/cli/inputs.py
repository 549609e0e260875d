"""Inputs of ``predict`` and ``parse``: on the command line, in a file or on standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nestree.cli.arguments import END, Arguments
from nestree.consoles import messages
from nestree.data.files import bounded_lines
from nestree.errors import OptionError, UserError
from nestree.tasks import Task
from nestree.tasks.text import TextTask
from nestree.tasks.text.encodings import check_encoding
from nestree.tasks.text.lines import opened, reading, shown, text_lines
from nestree.tasks.text.record import text_of
from nestree.tasks.text.table_style import TEXT_FORMATS, sheet_of, table_format

AT_ONCE = 256
"""Number of inputs that are read before the first is answered."""

STANDARD_INPUT = "-"

SPREADSHEETS = (".xls", ".ods")
"""Tables in formats that are not read."""


LARGEST_ARRAY = 2**25
"""Maximal size of a JSON array, bytes."""

_LITERAL = f"if it is meant as a text, put it after {END}"


@dataclass(frozen=True)
class Source:
    """Where the inputs of a command come from."""

    kind: Literal["texts", "lines", "array", "table", "stdin"]
    texts: tuple[str, ...] = ()
    path: str = ""


def source_of(arguments: Arguments) -> Source:
    """Return the source of the inputs.

    An argument before ``--`` that names a file is that file: a table (folders are, too), ``.txt`` with one input per
    line, or ``.json`` with an array of texts.

    Args:
        arguments: the command's; ``options.file`` names a file with one input per line, whatever it is called.

    Raises:
        UserError: there are several sources; or a file is of an unknown kind, or missing (a table may be).
    """
    texts = (*arguments.inputs, *arguments.literal)
    if (file := arguments.options.file) is not None:
        if texts:
            raise UserError("give inputs or --file, not both")
        return Source("lines", path=file)
    if not texts or texts == arguments.inputs == (STANDARD_INPUT,):
        return Source("stdin")
    files = [text for text in arguments.inputs if _names_file(text)]
    if not files:
        return Source("texts", texts)
    if len(texts) > 1:
        raise UserError(
            f"{files[0]} is a file: give one file and no other inputs; a text named like a file goes after {END}"
        )
    return _file(files[0])


def say_coverage(task: Task, what: str = "inputs", *, only_low: bool = True) -> None:
    """Print, on standard error, how much of the texts encoded so far the task knows, and what it cut.

    Args:
        task: any task; only tasks on texts have something to say.
        what: what to call the texts.
        only_low: print the share of known tokens only if it is low.
    """
    if isinstance(task, TextTask):
        for line in task.encoded_remarks(what, only_low=only_low):
            messages().print(line)


def not_a_table(path: str) -> UserError:
    """Return the error for a table in a command, or for a task, that reads none."""
    kind = table_format(path)
    problem = f"{path} is a {'folder' if kind == 'folder' else 'table'}; {_LITERAL}"
    if kind in TEXT_FORMATS and Path(path).exists():
        return OptionError("file", f"{path} reads each line as one input", problem=problem)
    return OptionError("file", "reads a file with one input per line", problem=problem)


def _names_file(text: str) -> bool:
    """Return whether a text is the path of a file or folder, or looks as if one was meant."""
    if text and os.path.lexists(sheet_of(text)[0]):
        return True
    name = text.lower().removesuffix(".gz")
    return len(text.split()) == 1 and (
        table_format(text) is not None or name.endswith((".txt", ".json", *SPREADSHEETS))
    )


def _file(path: str) -> Source:
    """Return how to read a file by its name.

    Raises:
        UserError: it is missing and no table, or of an unknown kind.
    """
    name = path.lower().removesuffix(".gz")
    if table_format(path) is not None:
        return Source("table", path=path)
    if not Path(path).exists():
        raise UserError(f"{path}: there is no such file; {_LITERAL}")
    if name.endswith(".json"):
        return Source("array", path=path)
    if name.endswith(".txt"):
        return Source("lines", path=path)
    if name.endswith(SPREADSHEETS):
        raise UserError(f"{path}: save it as .xlsx or .csv, which is read as a table")
    raise OptionError("file", f"{path} reads it, each line as one input", problem=f"{path} is a file; {_LITERAL}")


def inputs(source: Source, encoding: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (position, text) of every input, the position as errors name it; blank lines are inputs, too.

    Args:
        source: where they come from; not a table.
        encoding: of a file; None: UTF-8.

    Raises:
        UserError: a file cannot be read, or ``encoding`` is given without one.
    """
    if encoding is not None and source.kind in ("texts", "stdin"):
        raise OptionError("encoding", "is for files, and none is given")
    if encoding is not None:
        check_encoding(encoding)
    if source.kind == "texts":
        yield from ((f"input {number}", text) for number, text in enumerate(source.texts, start=1))
    elif source.kind == "stdin":
        yield from _standard_input()
    elif source.kind == "array":
        yield from _array(Path(source.path), encoding)
    else:
        path = Path(source.path)
        for number, line in text_lines(path, encoding or "utf-8"):
            yield f"{shown(path)}:{number}", line.rstrip("\r\n")


def _standard_input() -> Iterator[tuple[str, str]]:
    name = "standard input"
    try:
        with sys.stdin.buffer as stream:
            for number, line in enumerate(bounded_lines(stream, name), start=1):
                try:
                    yield f"{name}:{number}", line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    raise UserError(f"{name}:{number}: not UTF-8") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from None


def _array(path: Path, encoding: str | None) -> Iterator[tuple[str, str]]:
    """Yield the texts of a JSON array; null is an empty text."""
    name = shown(path)
    with reading(path), opened(path) as file:
        content = file.read(LARGEST_ARRAY + 1)
    if len(content) > LARGEST_ARRAY:
        raise UserError(
            f"{name}: larger than {LARGEST_ARRAY >> 20} MB; JSON lines, in a file .jsonl, may have any size"
        )
    try:
        text = content if encoding is None else content.decode(encoding)
        values: Any = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except UnicodeError:
        raise OptionError("encoding", "can name another", problem=f"{name}: not {encoding or 'UTF-8'}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{name}: not one JSON value; JSON lines, one object per line, end in .jsonl") from None
    if not isinstance(values, list):
        raise UserError(f'{name}: must be an array of texts, such as ["a text", "another"]')
    for number, value in enumerate(values, start=1):
        where = f"{name}: element {number}"
        if isinstance(value, dict):
            raise UserError(f"{where} is an object; with one object per line, in a file .jsonl, it is a table")
        if isinstance(value, list):
            raise UserError(f"{where} is an array, not a text")
        yield where, text_of(value, where, "") or ""
