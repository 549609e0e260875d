"""Changes to a configuration, as with ``--section.option value`` on the command line."""

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
    """Return the configuration of ``values`` (as in a recipe) with the options in ``arguments`` changed.

    Raises:
        UserError: an option is invalid; names it.
    """
    changed = rebased(values, arguments)
    parser = config_parser(encoder_name(changed), task_name(changed), defaults=changed)
    return config_from(str(values["recipe"]), parse(parser, arguments=arguments))


def as_arguments(options: Mapping[str, object]) -> list[str]:
    """Return options, ``{"encoder.dim": 64}`` or ``{"encoder": {"dim": 64}}``, as command line arguments.

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
    return [f"--{key}={_as_argument(value)}" for key, value in flat.items()]


def _as_argument(value: object) -> str:
    plain = value is None or isinstance(value, bool | list | tuple | dict)
    return json.dumps(value) if plain else str(value)


def rebased(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return ``values`` without ``recipe``, and with the encoder and the task that ``arguments`` name.

    If these differ from those in ``values``, options are kept where the new encoder or task has them too.
    """
    changed = {key: value for key, value in values.items() if key != "recipe"}
    encoder, task = (option_value(arguments, option) for option in ("--encoder.name", "--data.task"))
    if encoder is not None and encoder != values.get("encoder", {}).get("name"):
        changed["encoder"] = {**_known(ENCODERS.get(encoder), values.get("encoder", {})), "name": encoder}
    if task is not None and task != values.get("data", {}).get("task"):
        kept = _known(TASKS.get(task), values.get("data", {}))
        kept.pop("curriculum", None)  # its stages belong to the previous task
        changed["data"] = {**kept, "task": task}
    return changed


@contextmanager
def naming_source(values: Mapping[str, Any], source: object) -> Iterator[None]:
    """On an error, name the ``source`` of ``values`` if they are invalid even without the changes to them.

    Raises:
        UserError: the error; its text begins with the source if the mistake is there.
    """
    try:
        yield
    except UserError:
        read_config(values, source=str(source))
        raise


def option_value(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of an option in ``arguments``, the last if it is repeated, or None, without a parser.

    Raises:
        UserError: the option has no value.
    """
    found = None
    for at, argument in enumerate(arguments):
        if argument == option:
            if at + 1 == len(arguments):
                raise OptionError(option.lstrip("-"), "needs a value")
            found = arguments[at + 1]
        elif argument.startswith(f"{option}="):
            found = argument.partition("=")[2]
    return found


def _known(options: type[Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that a class has; none if the class is None."""
    names = [] if options is None else [field.name for field in fields(options)]
    return {key: value for key, value in given.items() if key in names}
