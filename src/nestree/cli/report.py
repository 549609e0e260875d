"""``nestree report``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nestree.cli.arguments import command_parser, parse_command
from nestree.consoles import messages, say
from nestree.data.files import check_free
from nestree.errors import OptionError
from nestree.reports.card import write_card
from nestree.reports.markdown import write_report
from nestree.reports.page import TREES, write_page
from nestree.runs import Run

PAGE = "report.html"


def main(arguments: Sequence[str]) -> int:
    """Write a page about one run or several, and print its path."""
    parser = command_parser(
        "report",
        "Write one HTML page about a run, or several side by side: accuracy, training, speed, trees, configuration. "
        "The page is one file that loads nothing else.",
    )
    parser.add_argument(
        "run",
        nargs="+",
        type=str,
        help="Run folders; names of models that ship with the package (see nestree models); or hf:OWNER/NAME on the "
        "Hub.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        metavar="FILE",
        help=f"File to write (default: {PAGE} in the run folder; for several runs, or a model of the package or the "
        "Hub, in the current folder).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace the file if it exists.")
    parser.add_argument(
        "--trees",
        type=int,
        default=TREES,
        help="Number of trees per run for right answers, and as many for wrong ones; 0: none.",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="Write report.md and its pictures into the run folder instead, as `nestree train --report` does.",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="Write the model card README.md into the run folder instead, as for `nestree share`.",
    )
    parsed = parse_command(parser, arguments)
    runs = [Run.open(path) for path in parsed.run]
    for option, file in (("card", "README.md"), ("markdown", "report.md")):
        if parsed[option] and (len(runs) > 1 or parsed.output is not None):
            raise OptionError(option, f"writes {file} into the folder of one run, without -o")
    if parsed.card:
        say(write_card(runs[0].to_write_in()))
    if parsed.markdown:
        say(write_report(runs[0].to_write_in()))
    if parsed.card or parsed.markdown:
        return 0
    if parsed.trees < 0:
        raise OptionError("trees", f"must be an integer of at least 0, not {parsed.trees}")
    in_folder = len(runs) == 1 and not runs[0].shipped
    path = Path(parsed.output or (runs[0].path / PAGE if in_folder else PAGE))
    if path.suffix not in (".html", ".htm"):
        raise OptionError("output", f"must end in .html, not {path}")
    check_free(path, overwrite=parsed.overwrite)
    console = messages()
    command = shlex.join(["nestree", "report", *arguments])
    write_page(
        runs,
        path,
        trees=parsed.trees,
        overwrite=parsed.overwrite,
        command=command,
        advance=console.print,
    )
    say(path)
    return 0
