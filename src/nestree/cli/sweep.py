"""``nestree sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser
from rich.console import Console

from nestree.checks import check_at_least, check_one_of
from nestree.cli.arguments import command_parser, parse_command, shared_options
from nestree.consoles import messages, output
from nestree.errors import INTERRUPTED, OptionError, UserError

if TYPE_CHECKING:
    from nestree.sweep.sweep import Sweep

PRUNERS = ("median", "none")


def main(arguments: Sequence[str]) -> int:
    """Sweep, and show; 1 if no trial has finished, 130 after Ctrl-C."""
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
        raise OptionError("storage", f"{storage} needs an ending, as study.log, or --out DIR for the runs")
    sweep = Sweep(parsed.recipe, shared, storage=storage, folder=folder, prune=parsed.pruner == "median")
    console, base = messages(), sweep.base  # what is wrong without the space is not the space's fault
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
        console.print("stopped; the same command goes on")
        return INTERRUPTED
    shown, winner = output(), best(sweep)
    shown.print(screen_table(sweep))
    if winner is not None:
        shown.print(f"the best again: {sweep.command(winner.params)}", markup=False, soft_wrap=True)
    print(sweep.folder / "sweep.md")
    return 0 if winner is not None else 1


def _parser() -> ArgumentParser:
    parser = command_parser(
        "sweep",
        "Look for options of a recipe with a higher validation accuracy, with Optuna's TPE sampler. Every trial is a "
        "run folder. The same command goes on where it stopped, and several at the same time share the trials. What "
        "stands in --section.option, as for nestree train, is for all trials.",
    )
    parser.add_argument("recipe", type=str, help="Recipe, or the path of a YAML file.")
    parser.add_argument(
        "--space",
        type=str,
        metavar="FILE",
        help="YAML: an option a line, with choices, [5, 10], or a range, {low: 1e-4, high: 1e-2, log: true}.",
    )
    parser.add_argument("--trials", type=int, help="Trials, over all processes and sessions.")
    parser.add_argument("--storage", type=str, metavar="FILE", help="Journal of the trials, as study.log.")
    parser.add_argument("--out", type=str, metavar="DIR", help="Folder of the runs (default: --storage, no ending).")
    parser.add_argument(
        "--pruner", type=str, default=PRUNERS[0], help="median: end trials below the median of others; or none."
    )
    return parser
