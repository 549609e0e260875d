"""The entry point: runs a command, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from nestree.cli.errors import error_line
from nestree.consoles import replace_unknown_characters
from nestree.errors import INTERRUPTED, UserError, is_out_of_memory, is_unwritable
from nestree.suggest import unknown

LESS = (
    "lower data.micro_batch (or data.batch), data.evaluation_tokens, data.max_tokens, or the encoder's widths and "
    "layers, such as encoder.dim"
)
"""What to do if memory does not suffice."""

COMMANDS = {
    "train": "train a recipe, or resume a run",
    "compare": "train several recipes with the same budget, and compare them",
    "sweep": "search for better options of a recipe",
    "evaluate": "measure the accuracy of a run on the tests of its task",
    "predict": "predict the labels of your own inputs",
    "parse": "show the trees that a model finds in your own inputs",
    "explain": "show what a model says at every node of its trees",
    "reproduce": "reproduce published results with the models that ship with the package",
    "share": "upload a run's model to the Hugging Face Hub",
    "report": "write a page about one run, or several side by side: curves, accuracy, trees",
    "serve": "serve a local page: type an input, and watch the trees change",
    "recipes": "list the recipes",
    "models": "list the encoders and the models that ship with the package",
    "data": "prepare, check or list the data",
    "bench": "measure speed and memory of the encoders",
    "info": "show versions, the backend in use, threads",
}
"""What each command does; ``nestree.cli.NAME.main(arguments)`` is the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: success. 1: a bug in nestree, or a run or a check failed. 2: the user's mistake, explained in one
    line on standard error. 130: Ctrl-C.
    """
    replace_unknown_characters()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except UserError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of several training processes, only one prints it
            print(error_line(error), file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"nestree: out of memory; {LESS}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nnestree: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe, such as head, has ended; without this Python prints another error at exit.
        _discard_output()
        return 0
    except OSError as error:
        if not is_unwritable(error):
            raise
        print(f"nestree: {error.filename or 'standard output'}: cannot be written ({error.strerror})", file=sys.stderr)
        _discard_output()
        return 2
    return code


def _discard_output() -> None:
    """Let nothing more be written to standard output."""
    with suppress(OSError, ValueError):  # it is no file, or closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    command, *rest = arguments
    if command == "--version":
        from nestree import __version__

        print(f"nestree {__version__}")
        return 0
    if command not in COMMANDS:
        raise UserError(unknown("command", command, COMMANDS))
    try:
        # Imported only now, as PyTorch and Lightning take seconds, and some commands need neither.
        return importlib.import_module(f"nestree.cli.{command}").main(rest)
    except SystemExit as done:  # a parser that has printed its help
        return done.code if isinstance(done.code, int) else 1


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: nestree COMMAND ...",
            "",
            "Recursive neural networks that induce their own trees and scale to long inputs.",
            "",
            *lines,
            "",
            "  nestree train listops-rir-quick --report     ten minutes, then a report",
            "  nestree COMMAND --help                       arguments and options of a command",
            "  nestree --version",
            "",
            "Exit codes: 0 success, 1 a bug or a failed run or check, 2 a mistake in what was given, 130 interrupted.",
        ]
    )
