"""Parsing of arguments, shared by the commands."""

from __future__ import annotations

from argparse import Action
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from jsonargparse import ArgumentParser, Namespace

from nestree.config.config import parse
from nestree.errors import OptionError, UserError

RUN = "Run folder; name of a model that ships with the package (see nestree models); or hf:OWNER/NAME on the Hub"
"""Help of an argument that names a run."""

END = "--"
"""Ends the options: what follows is never one."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a command that takes a run and inputs."""

    options: Namespace
    """Options and ``run``."""
    inputs: tuple[str, ...]
    """Inputs that may also be files, or - for standard input."""
    literal: tuple[str, ...]
    """Inputs after [`END`][], which are texts whatever they look like."""


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


def add_run_and_inputs(parser: ArgumentParser, *, tables: bool = False) -> None:
    """Add the arguments that [`parse_with_inputs`][] needs: ``run``, inputs, and ``--file``."""
    parser.add_argument("run", help=f"{RUN}.")
    parser.add_argument(
        "text",
        nargs="*",
        type=str,
        default=[],
        help=f"Inputs, the texts of a pair separated by a tab; or {'one table, ' * tables}one .txt with an input per "
        "line, or one .json with an array of texts. Without any, or with -: standard input, one per line. After --, "
        "arguments are texts, whatever they look like.",
    )
    parser.add_argument("--file", type=str, help="File with one input per line, whatever its name.")


def parse_with_inputs(parser: ArgumentParser, arguments: Sequence[str]) -> Arguments:
    """Return the parsed arguments of a command whose positional arguments are ``run`` and inputs.

    Options may be anywhere before ``--``. argparse sees only them and the run: it would match all positional arguments
    at the first one, reject INPUT in ``RUN --json INPUT``, and take a text that looks like an option for one.

    Raises:
        UserError: as for [`parse_command`][].
    """
    arguments = list(arguments)
    end = arguments.index(END) if END in arguments else len(arguments)
    try:
        options, before = _split(arguments[:end], parser._option_string_actions)
    except UserError as error:
        error.add_note(f"see {parser.prog} --help")
        raise
    literal = arguments[end + 1 :]
    words = before or literal
    run = [words.pop(0)] if words else []
    return Arguments(parse_command(parser, [*options, END, *run]), tuple(before), tuple(literal))


def _split(arguments: Sequence[str], known: Mapping[str, Action]) -> tuple[list[str], list[str]]:
    """Return the options with their values, and the other arguments.

    Raises:
        UserError: an argument begins with - and is no option.
    """
    options, others, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            others.append(argument)
            continue
        name, equals, _ = argument.partition("=")
        if name not in known:
            raise UserError(_no_option(name, known))
        if known[name].nargs == 0 or equals or not rest:
            options.append(argument)
        elif name.startswith("--"):
            options.append(f"{name}={rest.pop(0)}")  # so that a value may begin with -
        else:
            options += [argument, rest.pop(0)]
    return options, others


def _no_option(name: str, known: Mapping[str, Action]) -> str:
    close = get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    shown = name if len(name) <= 40 else f"{name[:40]}..."
    return f"there is no option {shown!r}; {hint}a text that begins with - goes after {END}"


def shared_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a command's own arguments, and those that are options of a configuration, as ``--section.option=value``.

    Raises:
        UserError: an option without a value.
    """
    own, options, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, _ = argument.partition("=")
        if argument == END:
            own += [argument, *rest]
            break
        if not name.startswith("--") or (name != "--seed" and "." not in name):
            own.append(argument)
        elif equals:
            options.append(argument)
        elif not rest:
            raise OptionError(name.lstrip("-"), "needs a value")
        else:
            options.append(f"{name}={rest.pop(0)}")
    return own, options
