"""What the commands' parsers share."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from nestree.config.config import parse
from nestree.errors import OptionError, UserError

RUN = "Run folder, as `nestree train` made it; a model of the package (nestree models); or hf:OWNER/NAME of the Hub"
"""What the commands that use a run take."""
SHORT = ("-o", "-h")
"""Options of one letter; any other argument that begins with one hyphen may be an input."""


def command_parser(command: str, description: str) -> ArgumentParser:
    """Return a parser for ``nestree COMMAND``."""
    return ArgumentParser(prog=f"nestree {command}", description=description, exit_on_error=False, allow_abbrev=False)


def parse_command(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse arguments.

    Raises:
        UserError: one line.
    """
    try:
        return parse(parser, arguments=arguments)
    except UserError as error:
        error.add_note(f"see {parser.prog} --help")
        raise


def options_first(arguments: Sequence[str], *, flags: Sequence[str]) -> list[str]:
    """Return the arguments with options (``flags`` take no value, the others one) before all that are none.

    Python's parser would take the inputs in ``RUN --json INPUT`` for one argument too many.
    """
    options, others, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--") and argument not in SHORT:
            others.append(argument)
            continue
        options.append(argument)
        if argument not in flags and "=" not in argument and rest:
            options.append(rest.pop(0))
    return options + others


def shared_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part a command's own arguments from options of a configuration, which come back as ``--section.option=value``.

    Raises:
        UserError: an option without a value.
    """
    own, options, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, _ = argument.partition("=")
        if not name.startswith("--") or (name != "--seed" and "." not in name):
            own.append(argument)
        elif equals:
            options.append(argument)
        elif not rest:
            raise OptionError(name.lstrip("-"), "needs a value")
        else:
            options.append(f"{name}={rest.pop(0)}")
    return own, options
