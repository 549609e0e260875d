"""The entry point: which command, and what becomes of errors."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from nestree.cli.errors import error_line
from nestree.errors import INTERRUPTED, UserError
from nestree.suggest import unknown

COMMANDS = {
    "train": "train a recipe, or go on with a run",
    "compare": "train several recipes for the same budget, and compare them",
    "sweep": "look for better options of a recipe",
    "evaluate": "accuracy of a run on its task's tests",
    "predict": "labels of your own inputs",
    "parse": "the trees that a run's model finds in your own inputs",
    "reproduce": "reproduce published figures with the models that ship",
    "share": "upload a run's model to the Hugging Face Hub",
    "report": "one page about a run, or several side by side: curves, accuracy, trees",
    "serve": "a local page to type into and watch the trees change",
    "recipes": "list the recipes",
    "models": "list the encoders",
    "data": "make, check or list the data",
    "bench": "speed and memory of the encoders, fast compared with naive",
    "info": "versions, the backend in use, threads",
}
"""What each command does; ``nestree.cli.NAME.main(arguments)`` is the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done. 2: something for the user to put right, said in one line on standard error. 1: our fault, or one
    run of several failed. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except UserError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of a parallel training's processes one says it
            print(error_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nnestree: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; without this Python complains once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


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
        # Imported now: PyTorch and Lightning take seconds that a list of recipes need not wait for.
        return importlib.import_module(f"nestree.cli.{command}").main(rest)
    except SystemExit as done:  # a parser that has printed its help
        return done.code if isinstance(done.code, int) else 0


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
            "  nestree COMMAND --help                       what a command takes",
            "  nestree --version",
            "",
            "Exit codes: 0 done, 2 something to put right (one line says what), 130 interrupted, 1 our fault.",
        ]
    )
