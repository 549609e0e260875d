"""``nestree compare``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from nestree.checks import check_at_least, check_one_of
from nestree.cli.arguments import command_parser, parse_command, shared_options
from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.comparison.plan import Comparison, Plan
from nestree.consoles import messages, output
from nestree.encoders.rir import INFERENCES
from nestree.errors import INTERRUPTED, OptionError, UserError
from nestree.evaluation.evaluate_run import BOTH

LIMIT = 500
"""Examples of each test unless told otherwise."""


def main(arguments: Sequence[str]) -> int:
    """Compare, and show; 1 if a run failed, 130 after Ctrl-C."""
    own, shared = shared_options(arguments)
    parsed = parse_command(_parser(), own)
    console = messages()
    if parsed.resume is not None:
        if len(own) + len(shared) > 2 - ("=" in own[0]):
            raise OptionError("resume", "goes on with a comparison as it was begun: give nothing else with it")
        comparison = Comparison.open(parsed.resume)
    else:
        plan = _plan(parsed, shared, command=shlex.join(["nestree", "compare", *arguments]))
        comparison = Comparison.begin(plan, parsed.out, console=console)
    return _carry_out(comparison, console)


def _carry_out(comparison: Comparison, console: Console) -> int:
    # Imported after the options were found good: Lightning and Matplotlib take their time.
    from nestree.comparison.results_table import screen_table
    from nestree.comparison.rows import rows
    from nestree.comparison.run_plan import carry_out
    from nestree.comparison.write import notes

    try:
        whole = carry_out(comparison, console=console)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with: nestree compare --resume {shlex.quote(str(comparison.path))}")
        return INTERRUPTED
    found, shown = rows(comparison), output()
    title = f"{comparison.task.name}, {comparison.plan.budget} each"
    shown.print(screen_table(found, comparison.tests, title=title, console=shown))
    shown.print("\n".join(notes(comparison, found)), markup=False, soft_wrap=True)
    print(comparison.path / "comparison.md")
    return 0 if whole else 1


def _parser() -> ArgumentParser:
    parser = command_parser(
        "compare",
        "Train recipes one after the other for the same budget, each in a process of its own, test them on the same "
        "tests, and write one table and one plot. What stands in --section.option, as for nestree train, is for all.",
    )
    parser.add_argument(
        "recipe",
        nargs="*",
        type=str,
        default=[],
        help="RECIPE, or RECIPE:option=value,option=value with options of its own, as listops-rir:encoder.s4d=false; "
        "LABEL= before it gives it another name in the table.",
    )
    parser.add_argument("--budget", type=str, help="Training of each: 90s, 10m, 2h, validations included; or 50000seq.")
    parser.add_argument("--tests", nargs="+", type=str, default=[], help="Tests (default: the task's first tests).")
    parser.add_argument(
        "--limit", type=int | None, default=LIMIT, help="Examples of each test, the first so many; null: all."
    )
    parser.add_argument("--inference", type=str, help="For RIR: grouped, flat or both (default: as configured).")
    parser.add_argument("--out", type=str, metavar="DIR", help="Folder to make (default: runs/compare-TIME).")
    parser.add_argument("--resume", type=str, metavar="DIR", help="Go on with a comparison where it stopped.")
    return parser


def _plan(parsed: Namespace, shared: Sequence[str], *, command: str) -> Plan:
    if not parsed.recipe:
        raise UserError("name the recipes to compare (nestree recipes lists them), or --resume DIR")
    if parsed.budget is None:
        raise OptionError("budget", "is missing: how long each is trained, 10m or 50000seq")
    if parsed.limit is not None:
        check_at_least("limit", parsed.limit, 1)
    if parsed.inference is not None:
        check_one_of("inference", parsed.inference, (*INFERENCES, BOTH))
    return Plan(
        contenders=tuple(Contender.parse(text) for text in parsed.recipe),
        budget=Budget.parse(parsed.budget),
        shared=tuple(shared),
        tests=tuple(dict.fromkeys(parsed.tests)),
        limit=parsed.limit,
        inference=parsed.inference,
        command=command,
    )
