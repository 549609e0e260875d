"""``nestree sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser
from rich.console import Console

from nestree.checks import check_at_least, check_one_of
from nestree.cli.arguments import command_parser, parse_command, shared_options
from nestree.consoles import messages, output, say
from nestree.errors import INTERRUPTED, OptionError, UserError

if TYPE_CHECKING:
    from nestree.sweep.sweep import Sweep

PRUNERS = ("median", "none")


def main(arguments: Sequence[str]) -> int:
    """Run trials and print them; return 1 if no trial has finished, 130 after Ctrl-C."""
    own, shared = shared_options(arguments)
    parsed = parse_command(_parser(), own)
    for name in ("space", "storage", "trials"):
        if parsed[name] is None:
            raise OptionError(name, "is missing (see nestree sweep --help)")
    check_at_least("trials", parsed.trials, 1)
    check_one_of("pruner", parsed.pruner, PRUNERS)
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError("nestree sweep needs Optuna: pip install 'nestree[sweep]'") from None
    from nestree.sweep.space import read_space
    from nestree.sweep.sweep import Sweep
    from nestree.training.child_process import settle

    storage = Path(parsed.storage)
    folder = Path(parsed.out or storage.with_suffix(""))
    if folder == storage:
        raise OptionError("storage", f"{storage} needs an ending, such as study.log, or --out DIR for the runs")
    sweep = Sweep(parsed.recipe, shared, storage=storage, folder=folder, prune=parsed.pruner == "median")
    console, base = messages(), sweep.base  # first: an error in the recipe must not be blamed on the space
    space = read_space(parsed.space, sweep.config)
    settle(base, console)
    sweep.open(space)
    return _carry_out(sweep, parsed.trials, console)


def _carry_out(sweep: Sweep, trials: int, console: Console) -> int:
    from nestree.sweep.run_trials import carry_out
    from nestree.sweep.trials_table import best, screen_table, write

    stopped = False
    try:
        carry_out(sweep, trials, console=console)
    except KeyboardInterrupt:
        stopped = True
    write(sweep)
    if stopped:
        console.print("stopped; the same command continues")
        return INTERRUPTED
    shown, winner = output(), best(sweep)
    shown.print(screen_table(sweep))
    if winner is not None:
        shown.print(f"to train the best one again: {sweep.command(winner.params)}", soft_wrap=True)
    say(sweep.folder / "sweep.md")
    return 0 if winner is not None else 1


def _parser() -> ArgumentParser:
    parser = command_parser(
        "sweep",
        "Search for options of a recipe that raise its validation accuracy, with Optuna's TPE sampler. Every trial is "
        "an ordinary run. The same command continues a sweep that was stopped, and several processes can share one. "
        "Options of nestree train (--section.option) apply to all trials.",
    )
    parser.add_argument("recipe", type=str, help="Name of a recipe, or path of a YAML file.")
    parser.add_argument(
        "--space",
        type=str,
        metavar="FILE",
        help="YAML file: one option per line, with choices, [5, 10], or a range, {low: 1e-4, high: 1e-2, log: true}.",
    )
    parser.add_argument("--trials", type=int, help="Total number of trials, over all processes and sessions.")
    parser.add_argument("--storage", type=str, metavar="FILE", help="File that records the trials, such as study.log.")
    parser.add_argument(
        "--out", type=str, metavar="DIR", help="Folder of the runs (default: --storage without its ending)."
    )
    parser.add_argument(
        "--pruner", type=str, default=PRUNERS[0], help="median: stop trials below the median of the others; or none."
    )
    return parser
