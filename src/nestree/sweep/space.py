"""The search space of a sweep: options, and the values that each may have."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nestree.config.config import Config
from nestree.data.files import read_yaml
from nestree.errors import OptionError, UserError, located, within
from nestree.suggest import unknown

KEYS = ("low", "high", "log", "step")
"""Keys of a range."""


def read_space(path: str | Path, configure: Callable[[Mapping[str, Any]], Config]) -> dict[str, BaseDistribution]:
    """Read a YAML file of options: ``optimizer.learning_rate: {low: 1e-4, high: 1e-2, log: true}``.

    A range has ``low`` and ``high``, both inclusive, and may have ``log: true`` or a ``step``. It is a range of
    integers if the option takes only integers. A list is a list of choices.

    Args:
        path: the file.
        configure: returns the configuration with some options set, or raises UserError.

    Raises:
        UserError: the ends of a range or a choice are invalid; names the file and the option.
    """
    space = {}
    for name, values in read_yaml(Path(path)).items():
        with located(path):
            space[name] = _distribution(name, values, configure)
    if not space:
        raise UserError(f"{path}: not a mapping of options")
    return space


def argument(name: str, value: object) -> str:
    """Return a chosen value as an option of ``nestree train``."""
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def _distribution(name: str, values: object, configure: Callable[[Mapping[str, Any]], Config]) -> BaseDistribution:
    if isinstance(values, list):
        if not values or any(not isinstance(value, bool | int | float | str | None) for value in values):
            raise OptionError(name, "must be a list of numbers, words, true, false or null")
        for value in values:
            configure({name: value})
        return CategoricalDistribution(values)
    if not isinstance(values, Mapping) or not {"low", "high"} <= values.keys():
        raise OptionError(
            name, "must be a list of choices, or a range {low: ..., high: ...}, optionally with log or step"
        )
    for key in values:
        if key not in KEYS:
            raise OptionError(name, f"must be a range, and {unknown('part of a range', str(key), KEYS)}")
    log = values.get("log", False)
    with within(name):
        if not isinstance(log, bool):
            raise OptionError("log", f"must be true or false, not {log!r}")
        numbers = {key: _number(key, values[key]) for key in ("low", "high", "step") if values.get(key) is not None}
    low, high = numbers["low"], numbers["high"]
    whole = _is_whole(name, configure({name: int(low) if low == int(low) else low}))
    with within(name):
        _check_range(numbers, log=log, whole=whole)
    for value in (low, high):
        configure({name: int(value) if whole else value})
    return _range(numbers, log=log, whole=whole)


def _check_range(numbers: Mapping[str, float], *, log: bool, whole: bool) -> None:
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    for key, value in numbers.items():
        if whole and value != int(value):
            raise OptionError(key, f"must be an integer, not {value}")
    if low >= high:
        raise OptionError("low", f"must be below high, not {low:g} and {high:g}")
    if log and (low <= 0 or step is not None):
        raise OptionError("log", "needs low above 0 and no step")
    if step is not None and step <= 0:
        raise OptionError("step", f"must be above 0, not {step:g}")


def _range(numbers: Mapping[str, float], *, log: bool, whole: bool) -> IntDistribution | FloatDistribution:
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Optuna's warning that a step does not reach the end exactly
        if whole:
            return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
        return FloatDistribution(low, high, log=log, step=step)


def _number(key: str, value: object) -> float:
    """Return a number; YAML reads 1e-4, without a decimal point, as a string."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(key, f"must be a number, not {value!r}")
    return number


def _is_whole(name: str, config: Config) -> bool:
    """Whether an option takes integers but no other numbers.

    Raises:
        UserError: the option takes no numbers.
    """
    section, _, option = name.partition(".")
    hint = get_type_hints(type(getattr(config, section)))[option] if option else int
    kinds = get_args(hint) or (hint,)
    if float not in kinds and int not in kinds:
        raise OptionError(name, "is not a number: give a list of choices")
    return float not in kinds
