"""``nestree report``."""

from __future__ import annotations

from collections.abc import Sequence

from nestree.cli.parsing import command_parser, parse_command
from nestree.evaluation.report import write_report
from nestree.runs import Run


def main(arguments: Sequence[str]) -> int:
    """Write the report from what the run folder holds, and print its path."""
    parser = command_parser("report", "Write a run's report.md and its pictures again, from what the run folder holds.")
    parser.add_argument("run", help="Run folder, as `nestree train` made it.")
    print(write_report(Run.open(parse_command(parser, arguments).run)))
    return 0
