"""A configuration with some options changed, as ``--section.option value`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from nestree.config.config import (
    SECTIONS,
    Config,
    config_from,
    config_parser,
    encoder_name,
    parse,
    read_config,
    task_name,
)
from nestree.encoders.registry import ENCODERS
from nestree.errors import OptionError, UserError
from nestree.tasks import TASKS


def configure(values: Mapping[str, Any], arguments: Sequence[str]) -> Config:
    """Return the configuration of ``values`` (as a recipe has them) with the options in ``arguments`` changed.

    Raises:
        UserError: names the option.
    """
    changed = rebased(values, arguments)
    parser = config_parser(encoder_name(changed), task_name(changed), defaults=changed)
    return config_from(str(values["recipe"]), parse(parser, arguments=arguments))


def as_arguments(options: Mapping[str, object]) -> list[str]:
    """Return options given in Python, as ``{"encoder.dim": 64}`` or ``{"encoder": {"dim": 64}}``, as arguments.

    Examples:
        >>> as_arguments({"encoder": {"dim": 64}, "trainer.patience": None})
        ['--encoder.dim=64', '--trainer.patience=null']
    """
    flat: dict[str, object] = {}
    for key, value in options.items():
        if key in ("encoder", *SECTIONS) and isinstance(value, Mapping):
            flat |= {f"{key}.{name}": one for name, one in value.items()}
        else:
            flat[key] = value
    return [f"--{key}={_spelt(value)}" for key, value in flat.items()]


def _spelt(value: object) -> str:
    """Return a value as the command line takes it."""
    plain = value is None or isinstance(value, bool | list | tuple | dict)
    return json.dumps(value) if plain else str(value)


def rebased(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the values that options change: without ``recipe``, and for the encoder and task in ``arguments``.

    Of another encoder's or task's options those are kept that it has too.
    """
    changed = {key: value for key, value in values.items() if key != "recipe"}
    encoder, task = (option_value(arguments, option) for option in ("--encoder.name", "--data.task"))
    if encoder is not None and encoder != values.get("encoder", {}).get("name"):
        changed["encoder"] = {**_known(ENCODERS.get(encoder), values.get("encoder", {})), "name": encoder}
    if task is not None and task != values.get("data", {}).get("task"):
        kept = _known(TASKS.get(task), values.get("data", {}))
        kept.pop("curriculum", None)  # its stages are of the other task
        changed["data"] = {**kept, "task": task}
    return changed


@contextmanager
def naming_source(values: Mapping[str, Any], source: object) -> Iterator[None]:
    """Where a configuration cannot be made, name the ``source`` of its ``values`` if these are wrong by themselves.

    Raises:
        UserError: names the source too, or the option alone.
    """
    try:
        yield
    except UserError:
        read_config(values, source=str(source))
        raise


def option_value(arguments: Sequence[str], option: str) -> str | None:
    """Return an option's value, before there is a parser.

    Raises:
        UserError: the option is the last word.
    """
    for at, argument in enumerate(arguments):
        if argument == option:
            if at + 1 == len(arguments):
                raise OptionError(option.lstrip("-"), "needs a value")
            return arguments[at + 1]
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return None


def _known(options: type[Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given of the options of a class; nothing if there is no such class."""
    names = [] if options is None else [field.name for field in fields(options)]
    return {key: value for key, value in given.items() if key in names}
