"""Parsing of arguments, shared by the commands."""

from __future__ import annotations

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from nestree.config.config import parse
from nestree.errors import OptionError, UserError

RUN = "Run folder; name of a model that ships with the package (see nestree models); or hf:OWNER/NAME on the Hub"
"""Help of an argument that names a run."""
SHORT = ("-o", "-h")
"""One-letter options; any other argument that begins with a single hyphen may be an input."""


def command_parser(command: str, description: str) -> ArgumentParser:
    """Return a parser for ``nestree COMMAND``."""
    return ArgumentParser(prog=f"nestree {command}", description=description, exit_on_error=False, allow_abbrev=False)


def parse_command(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Return the parsed arguments.

    Raises:
        UserError: an argument is invalid; names it, and the command that prints the help.
    """
    try:
        return parse(parser, arguments=arguments)
    except UserError as error:
        error.add_note(f"see {parser.prog} --help")
        raise


def options_first(arguments: Sequence[str], *, flags: Sequence[str]) -> list[str]:
    """Return the arguments with the options first; options other than ``flags`` are followed by a value.

    argparse matches all positional arguments at the first one it meets, and would reject INPUT in
    ``RUN --json INPUT``.
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
    """Return a command's own arguments, and those that are options of a configuration, as ``--section.option=value``.

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
