"""Shapes of JSON values, to check files that may be damaged or of another program before they are used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nestree.errors import UserError

_SHOWN = 40
"""Maximal length of a wrong value in a message, characters."""


@dataclass(frozen=True)
class Kind:
    """A kind of plain value."""

    name: str
    """As in "must be a number"."""
    accepts: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (INTEGER.accepts(value) and abs(value) < 2**1000)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and len(value) % 2 == 0 and all(digit in "0123456789abcdef" for digit in value)


TEXT = Kind("a text", lambda value: isinstance(value, str))
TRUTH = Kind("true or false", lambda value: isinstance(value, bool))
INTEGER = Kind("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool))
COUNT = Kind("an integer from 0 to 2^53", lambda value: INTEGER.accepts(value) and 0 <= value <= 2**53)
NUMBER = Kind("a number", lambda value: _is_number(value) and abs(value) != math.inf)
"""NaN is one: the mean of nothing."""
LOSS = Kind("a number", _is_number)
SHARE = Kind("a number from 0 to 1", lambda value: _is_number(value) and (0 <= value <= 1 or value != value))
HEX = Kind("hexadecimal digits", _is_hex)
ANYTHING = Kind("a value", lambda _: True)


@dataclass(frozen=True)
class Ruled:
    """A shape with a rule for values that have it."""

    shape: Shape
    rule: Callable[[Any], str | None]
    """Returns what is wrong, such as "has more correct answers than examples"; None if nothing is."""


@dataclass(frozen=True)
class Choice:
    """A shape of an object that depends on its values."""

    of: Callable[[Mapping[str, Any]], Shape]


Shape = Any
"""A [`Kind`][]; a [`Ruled`][] shape; a [`Choice`][]; a list ``[shape]`` of any number of values; a tuple of shapes,
for a list of that length; a mapping ``{str: shape}`` with any keys; or one of names to shapes, where ``"name?"`` may be
missing or null. Other names are ignored, as a later version may write them."""


def _counted(values: Mapping[str, Any]) -> str | None:
    if (values.get("correct") or 0) > values["examples"]:
        return f"has {values['correct']} correct answers to {values['examples']} examples"
    right = values.get("right")
    if right is not None and len(right) != 2 * -(-values["examples"] // 8):
        return f"has {4 * len(right)} bits for {values['examples']} examples"
    return None


COUNTED = Ruled({"correct": COUNT, "examples": COUNT}, _counted)
"""Correct answers, and ``right``, if it is there: a bit per example, in hexadecimal digits."""
ANSWERED = Ruled({"correct?": COUNT, "examples": COUNT}, _counted)
"""The same, or only the number of examples where answers are not simply right or wrong."""


def check_shape(values: Any, shape: Shape, where: str) -> None:
    """Check JSON values against a shape.

    Args:
        values: the values.
        shape: their shape.
        where: name of the values, such as their file.

    Raises:
        UserError: a value is missing or of the wrong kind; names it, as ``FILE: results[2].correct must be ...``.
    """
    _check(values, shape, where, "")


def _check(value: Any, shape: Shape, file: str, at: str) -> None:
    if isinstance(shape, Kind):
        if not shape.accepts(value):
            raise _wrong(file, at, shape.name, value)
    elif isinstance(shape, Ruled):
        _check(value, shape.shape, file, at)
        if (problem := shape.rule(value)) is not None:
            raise UserError(f"{file}: damaged, {at or 'it'} {problem}")
    elif isinstance(shape, Choice):
        _check(value, {}, file, at)
        _check(value, shape.of(value), file, at)
    elif isinstance(shape, list | tuple):
        if not isinstance(value, list) or (isinstance(shape, tuple) and len(value) != len(shape)):
            raise _wrong(file, at, f"a list of {len(shape)}" if isinstance(shape, tuple) else "a list", value)
        for number, one in enumerate(value):
            _check(one, shape[number if isinstance(shape, tuple) else 0], file, f"{at}[{number}]")
    else:
        if not isinstance(value, Mapping):
            raise _wrong(file, at, "an object", value)
        dot = "." * bool(at)
        if str in shape:
            for name, one in value.items():
                _check(one, shape[str], file, f"{at}{dot}{name}")
            return
        for name, part in shape.items():
            key = name.removesuffix("?")
            if value.get(key) is None and name != key:
                continue
            if key not in value:
                raise UserError(f"{file}: damaged, {at}{dot}{key} is missing")
            _check(value[key], part, file, f"{at}{dot}{key}")


def _wrong(file: str, at: str, kind: str, value: Any) -> UserError:
    if isinstance(value, int) and abs(value) > 2**1000:  # Python refuses to print thousands of digits
        return UserError(f"{file}: damaged, {at or 'it'} must be {kind}, not a number of {value.bit_length()} bits")
    found = repr(value)
    shown = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    return UserError(f"{file}: damaged, {at or 'it'} must be {kind}, not {shown}")
