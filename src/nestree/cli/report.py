"""``nestree report``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nestree.cli.arguments import command_parser, parse_command
from nestree.consoles import messages
from nestree.data.files import check_free
from nestree.errors import OptionError
from nestree.reports.card import write_card
from nestree.reports.markdown import write_report
from nestree.reports.page import TREES, write_page
from nestree.runs import Run

PAGE = "report.html"


def main(arguments: Sequence[str]) -> int:
    """Write a page about runs from what their folders hold, and print its path."""
    parser = command_parser(
        "report",
        "Write one HTML page about a run, or several side by side: accuracy, training, speed, trees, configuration. "
        "It needs nothing from elsewhere.",
    )
    parser.add_argument(
        "run",
        nargs="+",
        type=str,
        help="Run folders, as `nestree train` made them; models of the package (nestree models); or hf:OWNER/NAME of "
        "the Hub.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=str,
        metavar="FILE",
        help=f"The page (default: {PAGE} in the run folder; of several runs, or a model of the package or the Hub, "
        "here).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Let it replace a file.")
    parser.add_argument(
        "--trees", type=int, default=TREES, help="Trees of right answers, and of wrong ones, of each run; 0: none."
    )
    parser.add_argument(
        "--markdown", action="store_true", help="Write the run's report.md and its pictures again, as training does."
    )
    parser.add_argument(
        "--card", action="store_true", help="Write the run's model card, README.md, as nestree share does."
    )
    parsed = parse_command(parser, arguments)
    runs = [Run.open(path) for path in parsed.run]
    for option, file in (("card", "README.md"), ("markdown", "report.md")):
        if parsed[option] and (len(runs) > 1 or parsed.output is not None):
            raise OptionError(option, f"writes {file} into the folder of one run, without -o")
    if parsed.card:
        print(write_card(runs[0].to_write_in()))
    if parsed.markdown:
        print(write_report(runs[0].to_write_in()))
    if parsed.card or parsed.markdown:
        return 0
    if parsed.trees < 0:
        raise OptionError("trees", f"must be an integer of at least 0, not {parsed.trees}")
    beside = len(runs) == 1 and not runs[0].shipped
    path = Path(parsed.output or (runs[0].path / PAGE if beside else PAGE))
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
        advance=lambda what: console.print(what, markup=False),
    )
    print(path)
    return 0
