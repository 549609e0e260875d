"""The pages of the documentation that say what every command and option is, written from the commands' own parsers.

MkDocs calls this while it builds the site (``hooks`` in ``mkdocs.yml``), so the pages are never out of date.
"""

from __future__ import annotations

import re
from argparse import SUPPRESS, Action
from collections.abc import Iterable, Sequence
from unittest import mock

from jsonargparse import ArgumentParser
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from nestree.cli.data import ACTIONS
from nestree.cli.main import COMMANDS, main
from nestree.config.config import FIXED, config_parser
from nestree.encoders.registry import BUILT_IN as ENCODERS
from nestree.tasks.registry import BUILT_IN as TASKS

RECIPE = "listops-rir-quick"
"""What `nestree train --help` is asked for: its own options are those of every recipe."""

COMMANDS_PAGE, OPTIONS_PAGE = "reference/commands.md", "reference/options.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those of the site."""
    for name, text in ((COMMANDS_PAGE, commands_page()), (OPTIONS_PAGE, options_page())):
        files.append(File.generated(config, name, content=text))
    return files


def commands_page() -> str:
    """Return the page of commands."""
    parts = [
        "# Commands",
        "What `nestree COMMAND --help` shows. [All commands at a glance](../command-line.md) has an example of each, "
        "and [Options of a configuration](options.md) lists what `nestree train` takes as `--section.option`.",
    ]
    for command, about in COMMANDS.items():
        for words in [[command]] if command != "data" else [[command, action] for action in ACTIONS]:
            parts += _command(words, about if command != "data" else ACTIONS[words[1]])
    return "\n\n".join(parts) + "\n"


def options_page() -> str:
    """Return the page of a configuration's options."""
    parts = [
        "# Options of a configuration",
        "Every option is set in a recipe's YAML file (`encoder: {dim: 64}`), on the command line "
        '(`--encoder.dim 64`) or from Python (`nestree.train(RECIPE, {"encoder.dim": 64})`). The defaults below are '
        "those of the options; recipes set others (`nestree train RECIPE --help`). `null` is Python's `None`.",
    ]
    first = config_parser(next(iter(ENCODERS)), next(iter(TASKS)))
    for section in FIXED:
        parts += [f"## {_title(first, section)}: `--{section}.`", _table(_of_section(first, section), "option")]
    parts.append("## Encoders: `--encoder.`")
    for name in ENCODERS:
        about = str(ENCODERS[name].__doc__).splitlines()[0]
        parser = config_parser(name, next(iter(TASKS)))
        parts += [f"### `{name}`", _escaped(about), _table(_of_section(parser, "encoder"), "option")]
    parts.append("## Data: `--data.`")
    for options in dict.fromkeys(TASKS.values()):
        names = [name for name, other in TASKS.items() if other is options]
        parser = config_parser(next(iter(ENCODERS)), names[0])
        parts += [f"### {', '.join(f'`{name}`' for name in names)}", _table(_of_section(parser, "data"), "option")]
    return "\n\n".join(parts) + "\n"


def parser_of(words: Sequence[str]) -> ArgumentParser:
    """Return a command's parser, which it makes itself when it is asked for help."""
    found: list[ArgumentParser] = []
    with mock.patch.object(ArgumentParser, "print_help", lambda parser, *_: found.append(parser)):
        main([*words, *([RECIPE] if words[0] == "train" else []), "--help"])
    (parser,) = found
    return parser


def _command(words: Sequence[str], about: str) -> list[str]:
    """Return a command's part of the page."""
    parser = parser_of(words)
    shown = [action for action in parser._actions if action.help != SUPPRESS and "help" not in action.dest]
    if words[0] == "train":  # the others are on a page of their own
        shown = [action for action in shown if "." not in action.dest]
    inputs = [action for action in shown if not action.option_strings]
    options = [action for action in shown if action.option_strings]
    parts = [f"## nestree {' '.join(words)}", _usage(words, inputs, options)]
    parts.append(_escaped(_sentence(about) if words[0] == "train" else parser.description or _sentence(about)))
    if words[0] == "train":
        parts.append("Every option of the recipe's configuration can be changed by `--section.option value`.")
    if inputs:
        parts.append(_table(inputs, "argument"))
    if options:
        parts.append(_table(options, "option"))
    return parts


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _usage(words: Sequence[str], inputs: Sequence[Action], options: Sequence[Action]) -> str:
    named = ["RECIPE"] if words[0] == "train" else []
    for action in inputs:
        name = action.dest.upper()
        named.append({None: name, "?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}[action.nargs])
    return f"```sh\n{' '.join(['nestree', *words, *named, *(['[OPTION ...]'] if options else [])])}\n```"


def _of_section(parser: ArgumentParser, section: str) -> list[Action]:
    found = [action for action in parser._actions if action.dest.startswith(f"{section}.")]
    return [action for action in found if action.dest not in ("encoder.name", "data.task")]


def _title(parser: ArgumentParser, section: str) -> str:
    (title,) = (
        group.title
        for group in parser._action_groups
        if any(action.dest.startswith(f"{section}.") for action in group._group_actions)
    )
    return str(title)


def _table(actions: Iterable[Action], what: str) -> str:
    rows = [f"| {what} | takes | default | |", "| --- | --- | --- | --- |"]
    for action in actions:
        written = [action.dest.partition(".")[2]] if "." in action.dest else action.option_strings
        names = ", ".join(f"`{name}`" for name in written or [action.dest.upper()])
        rows.append(f"| {names} | {_takes(action)} | {_default(action)} | {_escaped(_help(action))} |")
    return "\n".join(rows)


def _takes(action: Action) -> str:
    if action.nargs == 0:
        return ""
    hint = getattr(action, "_typehint", None) or action.type or str
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", text.replace("typing.", ""))
    many = " ..." if action.nargs in ("+", "*") else ""
    return f"`{text.replace('None', 'null').replace(' | ', '` or `')}{many}`"


def _default(action: Action) -> str:
    value = action.default
    if value == SUPPRESS or action.nargs == 0 or value == []:
        return ""
    if value is None:
        optional = "None" in str(getattr(action, "_typehint", ""))
        return "`null`" if optional else ""
    if isinstance(value, list | tuple):
        return f"`{' '.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _help(action: Action) -> str:
    return " ".join(str(action.help or "").split())


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is; code stays code."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([|*_<>\[\]])", r"\\\1", part) for part in parts)
