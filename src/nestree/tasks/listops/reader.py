"""Reading, checking and writing the official ListOps files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestree.data import RaggedExamples, offsets_of, replacing
from nestree.errors import UserError
from nestree.tasks.listops.expression import (
    CLOSE,
    VOCABULARY,
    decode,
    encode,
    evaluate_checked,
    nesting_steps,
)

_DIGITS = tuple("0123456789")
_HEADER = ("source", "target")
_UTF8_MARK = b"\xef\xbb\xbf"


def read_tsv(path: str | Path) -> RaggedExamples:
    """Read an official file in UTF-8: ``label TAB expression``, or the Long Range Arena's ``expression TAB label``.

    The Long Range Arena's files begin with the header ``Source TAB Target``; without a header, the first row with an
    operator decides the order of the columns. Binary parentheses are optional, and checked. Labels are checked by
    evaluating the expressions.

    Args:
        path: The file, with LF or CRLF, with or without a byte order mark.

    Raises:
        UserError: The file cannot be read, has no rows, or a row is damaged; names file and line.
    """
    expressions: list[bytes] = []
    labels: list[int] = []
    for _, expression, label in verified_rows(Path(path)):
        expressions.append(expression)
        labels.append(label)
    lengths = np.fromiter(map(len, expressions), dtype=np.int64, count=len(expressions))
    tokens = np.frombuffer(b"".join(expressions), dtype=np.uint8)
    return RaggedExamples(
        tokens, offsets_of(lengths), np.array(labels), f"listops/{Path(path).name}", source={"file": str(path)}
    )


def verified_rows(path: Path) -> Iterator[tuple[str, bytes, int]]:
    """Yield (file and line, token ids, label) of each row of an official file; every row is checked.

    Raises:
        UserError: see [`read_tsv`][].
    """
    none = True
    try:
        for number, row in _rows(path):
            try:
                expression, label = _parse(*row)
            except ValueError as error:
                raise UserError(f"{path}:{number}: {error}") from None
            none = False
            yield f"{path}:{number}", expression, label
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if none:
        raise UserError(f"{path}: no rows; expected lines of label TAB expression")


def write_tsv(examples: RaggedExamples, path: str | Path) -> None:
    """Write ``label TAB expression`` rows with binary parentheses, atomically.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            for tokens, label in (examples[index] for index in range(len(examples))):
                file.write(f"{label}\t{decode(tokens, parentheses=True)}\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def root_operators(examples: RaggedExamples) -> NDArray[np.str_]:
    """Return the root operator of each example, "digit" if there is none; shape (examples,)."""
    names = np.array([*VOCABULARY[:CLOSE], *["digit"] * (len(VOCABULARY) - CLOSE)])
    return names[examples.tokens[examples.offsets[:-1]]]


def depths(examples: RaggedExamples) -> NDArray[np.int64]:
    """Return the maximal number of nested operators of each example; shape (examples,)."""
    if len(examples) == 0:
        return np.empty(0, dtype=np.int64)
    opened = np.cumsum(nesting_steps(examples.tokens), dtype=np.int32)  # 0 again at the end of every example
    return np.maximum.reduceat(opened, examples.offsets[:-1]).astype(np.int64)


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield (line number, (expression, label)) of each row."""
    label_first: bool | None = None
    undecided: list[tuple[int, tuple[str, str]]] = []  # rows in which both columns are single digits
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            columns = _columns(line.removeprefix(_UTF8_MARK) if number == 1 else line, f"{path}:{number}")
            names = tuple(column.strip().lower() for column in columns)
            if number == 1 and sorted(names) == sorted(_HEADER):
                label_first = names[0] == "target"
            elif label_first is None and all(column.strip() in _DIGITS for column in columns):
                undecided.append((number, columns))  # the order of the columns makes no difference
            else:
                if label_first is None:
                    label_first = not _looks_like_expression(columns[0])
                yield from undecided
                undecided.clear()
                yield number, ((columns[1], columns[0]) if label_first else columns)
    yield from undecided


def _columns(line: bytes, where: str) -> tuple[str, str]:
    try:
        columns = line.decode("utf-8").rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8") from None
    if len(columns) != 2:
        found = "the line is empty" if columns == [""] else f"{len(columns)} column{'s' * (len(columns) > 1)}"
        raise UserError(f"{where}: {found}; a row has two columns, label TAB expression (or expression TAB label)")
    return columns[0], columns[1]


def _looks_like_expression(column: str) -> bool:
    """Whether a column has an expression with an operator, and not a label; both may be damaged."""
    return "[" in column or "(" in column or len(column.split()) > 1


def _parse(text: str, label: str) -> tuple[bytes, int]:
    """Return token ids and label; the label must be the expression's value."""
    expression = encode(text).tobytes()
    if label.strip() not in _DIGITS:
        shown = label if len(label) <= 20 else label[:20] + "..."
        raise ValueError(f"the label must be a digit from 0 to 9, not {shown!r}")
    value = evaluate_checked(expression)
    if value != int(label):
        raise ValueError(f"the label is {int(label)}, but the expression's value is {value}")
    return expression, value
