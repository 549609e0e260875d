"""The whole configuration of a run, read by one parser from YAML or the command line."""

from __future__ import annotations

import dataclasses
import re
from argparse import SUPPRESS
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from nestree.checks import MOST_SEED, check_at_least
from nestree.config.options import OptimizerOptions, TrainerOptions
from nestree.encoders.options import EncoderOptions
from nestree.encoders.registry import ENCODERS
from nestree.errors import NoSuchOption, OptionError, UserError, located, within
from nestree.models import ClassifierOptions
from nestree.suggest import unknown
from nestree.tasks import TASKS, DataOptions

set_parsing_settings(docstring_parse_attribute_docstrings=True)

FIXED = {"model": ClassifierOptions, "optimizer": OptimizerOptions, "trainer": TrainerOptions}
"""Sections of a configuration that are the same for every task and encoder."""

SECTIONS = ("data", *FIXED)
"""All sections but the encoder's."""

_DIGITS = 300
"""Numbers of this many digits are too large for a float."""

_KINDS = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null"}


@dataclass(frozen=True)
class Config:
    """All options of a run."""

    recipe: str
    """Name of the recipe that it is based on."""
    seed: int
    """Seed of weights, dropout, noise and the order of the examples."""
    encoder_name: str
    """A key of [`nestree.encoders.registry.ENCODERS`][]."""
    encoder: EncoderOptions
    data: DataOptions
    """Options of the task, one of [`nestree.tasks.TASKS`][]."""
    model: ClassifierOptions
    optimizer: OptimizerOptions
    trainer: TrainerOptions

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, from which [`read_config`][] restores an equal configuration."""
        sections = {name: dataclasses.asdict(getattr(self, name)) for name in SECTIONS}
        encoder = {"name": self.encoder_name, **dataclasses.asdict(self.encoder)}
        return {"recipe": self.recipe, "seed": self.seed, "encoder": encoder, **sections}


def read_config(values: Mapping[str, Any], *, source: str) -> Config:
    """Return the configuration given as plain values; options that are left out have their defaults.

    Args:
        values: as in a recipe: ``recipe``, ``seed``, ``encoder`` with its ``name``, and the [`SECTIONS`][].
        source: their file or recipe, for error messages.

    Raises:
        UserError: an unknown section, encoder or option, or an invalid value; names it.
    """
    with located(source):
        parser = config_parser(encoder_name(values), task_name(values))
        given = {key: value for key, value in values.items() if key != "recipe"}
        return config_from(str(values.get("recipe", "")), parse(parser, values=given))


def encoder_name(values: Mapping[str, Any]) -> str:
    """Return the encoder that plain values name.

    Raises:
        UserError: there is no such encoder, or a section is not a mapping.
    """
    for section in ("encoder", *SECTIONS):
        if not isinstance(values.get(section, {}), Mapping):
            raise OptionError(section, f"is a section: set its options, not {values[section]!r}")
    name = values.get("encoder", {}).get("name")
    if not isinstance(name, str) or name not in ENCODERS:
        raise UserError(unknown("encoder", str(name), ENCODERS))
    return name


def task_name(values: Mapping[str, Any]) -> str:
    """Return the task that plain values name.

    Raises:
        UserError: there is no such task.
    """
    name = values.get("data", {}).get("task", "listops")
    if not isinstance(name, str) or name not in TASKS:
        raise UserError(unknown("task", str(name), TASKS))
    return name


def config_parser(
    encoder: str, task: str, *, defaults: Mapping[str, Any] | None = None, **arguments: Any
) -> ArgumentParser:
    """Return a parser of all options, those of one encoder and one task included.

    Args:
        encoder: a key of ENCODERS.
        task: a key of TASKS.
        defaults: plain values that replace the defaults of the options.
        arguments: for ArgumentParser.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, **arguments)
    parser.add_argument(
        "--seed", type=int, default=1, help="Seed of weights, dropout, noise and the order of the examples."
    )
    parser.add_argument("--data.task", type=str, default=task, help=f"One of {', '.join(TASKS)}.")
    parser.add_class_arguments(TASKS[task], "data", help=f"Data of task {task}", skip={"task"})
    parser.add_argument("--encoder.name", type=str, default=encoder, help=f"One of {', '.join(ENCODERS)}.")
    parser.add_class_arguments(ENCODERS[encoder], "encoder", help=f"Encoder {encoder}")
    parser.add_class_arguments(ClassifierOptions, "model", help="Embedding and head")
    parser.add_class_arguments(OptimizerOptions, "optimizer", help="Optimizer and schedule")
    parser.add_class_arguments(TrainerOptions, "trainer", help="Trainer")
    for action in parser._actions:
        if action.option_strings in [[f"--{section}"] for section in ("encoder", *SECTIONS)]:
            action.help = SUPPRESS  # jsonargparse also reads a whole section from a file, which we do not offer
    if defaults:
        parser.set_defaults(_dotted(defaults))
    return parser


def parse(
    parser: ArgumentParser, *, values: Mapping[str, Any] | None = None, arguments: Sequence[str] = ()
) -> Namespace:
    """Parse plain values, or arguments if there are no values.

    Raises:
        UserError: one line that names the option and what would be right.
    """
    try:
        return parser.parse_args(list(arguments)) if values is None else parser.parse_object(dict(values))
    except ArgumentError as error:
        raise _user_error(parser, str(error)) from None
    except OverflowError:  # of integers that no float can be
        given = _dotted(values or {}).items() if values is not None else _given(arguments)
        large = [key for key, value in given if len(re.sub(r"\D", "", str(value))) > _DIGITS]
        raise OptionError(next(iter(large), "an option"), "is too large a number") from None


def _given(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the options in arguments with their values, given as ``--option=value`` or ``--option value``."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    return [(name.lstrip("-"), value) for name, value in pairwise(words) if name.startswith("--")]


def config_from(recipe: str, parsed: Namespace) -> Config:
    """Return the configuration in parsed arguments; arguments that are not options of it are ignored.

    Raises:
        UserError: a value is invalid; names the option.
    """
    plain = parsed.as_dict()
    encoder = dict(plain["encoder"])
    name = encoder.pop("name")
    made = {
        "encoder": _options("encoder", ENCODERS[name], encoder),
        "data": _options("data", TASKS[plain["data"]["task"]], plain["data"]),
    }
    for section, options in FIXED.items():
        made[section] = _options(section, options, plain[section])
    check_at_least("seed", plain["seed"], 0, MOST_SEED)
    return Config(recipe=recipe, seed=plain["seed"], encoder_name=name, **made)  # pyright: ignore[reportArgumentType]


def _options(section: str, options: type[Any], values: Mapping[str, Any]) -> Any:
    """Create the options of a section; a plain ValueError, as from an encoder of your own, becomes a UserError."""
    tuples = {field.name for field in dataclasses.fields(options) if str(field.type).startswith("tuple")}
    values = {
        name: tuple(value) if name in tuples and isinstance(value, list) else value for name, value in values.items()
    }
    try:
        with within(section):
            return options(**values)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{section}: {error}") from None


def _dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn sections into dotted keys, such as ``data.batch``; a value may itself be a mapping."""
    found = {}
    for key, value in values.items():
        found |= {f"{key}.{name}": it for name, it in value.items()} if isinstance(value, Mapping) else {key: value}
    return found


def _user_error(parser: ArgumentParser, message: str) -> UserError:
    """Return an error with the message of a parser in one line."""
    if found := re.search(r'Parser key "([\w.]+)"', message):
        key, value = found[1], re.search(r"(?:Got value|Given value): (.*)", message)
        if key in ("encoder", *SECTIONS):
            return OptionError(key, "is a section: set its options one by one")
        return OptionError(key, f"must be {_kind(parser, key)}" + (f", not {value[1]!r}" if value else ""))
    if found := re.search(r"unrecognized arguments: (.*)", message):
        option = next((word for word in found[1].split() if word.startswith("-")), None)
        if option is None:
            return UserError(f"{(found[1].split() or [found[1]])[0]!r} is an unexpected argument")
        return _no_such_option(parser, option.split("=")[0].lstrip("-"))
    if found := re.search(r"Group '(\w+)' does not accept option '([\w.]+)'", message):
        return _no_such_option(parser, f"{found[1]}.{found[2]}")
    if found := re.search(r"Option '([\w.]+)' is not accepted", message):
        return _no_such_option(parser, found[1])
    if found := re.search(r"argument (?:-\w/)?--([\w.]+): expected (?:one|at least one) argument", message):
        return OptionError(found[1], "needs a value")
    return UserError(" ".join(message.split()))


def _no_such_option(parser: ArgumentParser, option: str) -> NoSuchOption:
    """Return the error for an unknown option; for ``dim`` and ``model.dim`` it suggests ``encoder.dim``."""
    shown = (action for action in parser._actions if action.help != SUPPRESS)
    known = [string.lstrip("-") for action in shown for string in action.option_strings]
    last = option.rsplit(".", 1)[-1]
    same = [name for name in known if name.rsplit(".", 1)[-1] == last]
    return NoSuchOption(option, same or get_close_matches(option, known, n=2))


def _kind(parser: ArgumentParser, key: str) -> str:
    """Return in words which values an option takes."""
    hint = next((getattr(action, "_typehint", None) for action in parser._actions if action.dest == key), None)
    kinds = []
    for part in get_args(hint) or (hint,):
        if get_origin(part) is tuple and set(get_args(part)) <= {int, float}:
            kinds.append(f"a list of {len(get_args(part))} numbers ([20, 200])")
        elif isinstance(part, type):
            kinds.append(_KINDS.get(part.__name__, part.__name__))
    return " or ".join(kinds)
