"""``nestree info``."""

from __future__ import annotations

from collections.abc import Sequence

from nestree.cli.arguments import command_parser, parse_command
from nestree.installation import info


def main(arguments: Sequence[str]) -> int:
    """Print what this installation runs with."""
    parse_command(
        command_parser("info", "Print versions, the backend that searches beam trees, threads and GPUs."), arguments
    )
    print(info())
    return 0
