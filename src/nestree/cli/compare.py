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
from nestree.comparison.plan import BAG_OF_WORDS, REFERENCES, Comparison, Plan
from nestree.consoles import messages, output, quoted, say
from nestree.encoders.rir import INFERENCES
from nestree.errors import INTERRUPTED, OptionError, UserError
from nestree.evaluation.evaluate_run import BOTH

LIMIT = 500
"""Number of examples per test, unless another one is given."""


def main(arguments: Sequence[str]) -> int:
    """Compare recipes and print the results; return 1 if a run failed, 130 after Ctrl-C."""
    own, shared = shared_options(arguments)
    parsed = parse_command(_parser(), own)
    console = messages()
    if parsed.resume is not None:
        if len(own) + len(shared) > 2 - ("=" in own[0]):
            raise OptionError("resume", "continues a comparison with its own recipes and options: give no others")
        comparison = Comparison.open(parsed.resume)
    else:
        plan = _plan(parsed, shared, command=shlex.join(["nestree", "compare", *arguments]))
        comparison = Comparison.begin(plan, parsed.out, console=console)
    return _carry_out(comparison, console)


def _carry_out(comparison: Comparison, console: Console) -> int:
    # Imported once the options are checked, as Lightning and Matplotlib are slow to import.
    from nestree.comparison.references import reference_rows
    from nestree.comparison.results_table import screen_table
    from nestree.comparison.rows import rows
    from nestree.comparison.run_plan import carry_out
    from nestree.comparison.write import notes

    try:
        whole = carry_out(comparison, console=console)
    except KeyboardInterrupt:
        console.print(f"stopped; to continue: nestree compare --resume {quoted(comparison.path)}")
        return INTERRUPTED
    found, shown = rows(comparison), output()
    title = f"{comparison.task.name}, {comparison.plan.budget} each"
    listed = [*found, *reference_rows(comparison)]
    shown.print(screen_table(listed, comparison.tests, title=title, console=shown))
    shown.print("\n".join(notes(comparison, found)), soft_wrap=True)
    say(comparison.path / "comparison.md")
    return 0 if whole else 1


def _parser() -> ArgumentParser:
    parser = command_parser(
        "compare",
        "Train recipes one after the other with the same budget, each in its own process, evaluate them on the same "
        "tests, and write one table and one plot. Options of nestree train (--section.option) apply to all of them.",
    )
    parser.add_argument(
        "recipe",
        nargs="*",
        type=str,
        default=[],
        help="RECIPE, or RECIPE:option=value,option=value to change options of this recipe alone, for example "
        "listops-rir:encoder.s4d=false; LABEL= in front of it sets its name in the table. "
        f"{BAG_OF_WORDS} is no recipe but scikit-learn's bag of words.",
    )
    parser.add_argument(
        "--budget",
        type=str,
        help="Training of each: a time, validation included (90s, 10m, 2h), or a number of sequences (50000seq).",
    )
    parser.add_argument(
        "--tests",
        nargs="+",
        type=str,
        default=[],
        help="Names of the tests (default: a few of the task's, from short to long inputs).",
    )
    parser.add_argument(
        "--limit", type=int | None, default=LIMIT, help="Number of examples per test, from the first on; null: all."
    )
    parser.add_argument("--inference", type=str, help="For RIR: grouped, flat or both (default: as configured).")
    parser.add_argument("--out", type=str, metavar="DIR", help="Folder to create (default: runs/compare-TIME).")
    parser.add_argument("--resume", type=str, metavar="DIR", help="Continue the comparison in this folder.")
    return parser


def _plan(parsed: Namespace, shared: Sequence[str], *, command: str) -> Plan:
    recipes = [text for text in parsed.recipe if text not in REFERENCES]
    if not recipes:
        raise UserError("name the recipes to compare (nestree recipes lists them), or --resume DIR")
    if parsed.budget is None:
        raise OptionError("budget", "is missing: how long each recipe is trained, such as 10m or 50000seq")
    if parsed.limit is not None:
        check_at_least("limit", parsed.limit, 1)
    if parsed.inference is not None:
        check_one_of("inference", parsed.inference, (*INFERENCES, BOTH))
    return Plan(
        contenders=tuple(Contender.parse(text) for text in recipes),
        budget=Budget.parse(parsed.budget),
        shared=tuple(shared),
        tests=tuple(dict.fromkeys(parsed.tests)),
        limit=parsed.limit,
        inference=parsed.inference,
        command=command,
        references=tuple(name for name in REFERENCES if name in parsed.recipe),
    )
