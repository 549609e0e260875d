"""``nestree train``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import Namespace

from nestree.cli.consoles import messages
from nestree.cli.seeds import take_seeds, train_seeds
from nestree.config.config import Config, config_from, config_parser, encoder_name, parse, task_name
from nestree.config.overrides import option_value, rebased
from nestree.errors import UserError
from nestree.recipes import load_recipe, recipe_names
from nestree.runs import Run

RUN_VARIABLE = "NESTREE_RUN"
"""Tells the further processes of a parallel training which folder the first has made."""

_FLAGS = ("-h", "--help", "--report")


def main(arguments: Sequence[str]) -> int:
    """Train, and say what came of it."""
    seeds, arguments = take_seeds(arguments)
    recipe, rest = _split_recipe(arguments)
    resumed = option_value(rest, "--resume")
    if recipe is None and resumed is None:
        print(_help())
        if any(flag in rest for flag in ("-h", "--help")):
            return 0
        raise UserError("name a recipe, such as listops-rir-quick; `nestree recipes` lists them")
    base = _base(recipe, resumed)
    parsed = _parse(base, rest, resumed)
    config = config_from(str(base["recipe"]), parsed)
    if seeds:
        if recipe is None or resumed is not None:
            raise UserError("--seed takes several seeds for new runs only, not with --resume")
        folder = Run.new(config.recipe, parsed.run).path
        return train_seeds(recipe, seeds, _without(rest, "--run"), folder, messages())
    # Imported after the options were found good: Lightning takes its time.
    from nestree.cli.training import train_and_tell

    run = _run(config, parsed)
    command = shlex.join(["nestree", "train", *arguments])
    return train_and_tell(run, config, resumed=resumed is not None, report=parsed.report, command=command)


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Return arguments without an option and its value."""
    left = [word for word in arguments if not word.startswith(f"{option}=")]
    if option in left:
        at = left.index(option)
        del left[at : at + 2]
    return left


def _split_recipe(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Take the one argument that is no option, nor an option's value, out of ``arguments``."""
    at = 0
    while at < len(arguments):
        if not arguments[at].startswith("-"):
            return arguments[at], arguments[:at] + arguments[at + 1 :]
        at += 1 if arguments[at] in _FLAGS or "=" in arguments[at] else 2
    return None, arguments


def _base(recipe: str | None, resumed: str | None) -> dict[str, Any]:
    """Return the values to begin with: a run's, or a recipe's."""
    if resumed is None:
        assert recipe is not None
        return dict(load_recipe(recipe).values)
    run = Run.open(resumed)
    if run.shipped:
        raise UserError(
            f"--resume {resumed} is no run of yours, and nothing is written into it: --trainer.start {resumed} begins "
            "with its weights"
        )
    values = run.config.as_dict()
    if recipe is not None and load_recipe(recipe).name != values["recipe"]:
        raise UserError(f"--resume {resumed} is a run of recipe {values['recipe']}, not {recipe}")
    return values


def _parse(base: Mapping[str, Any], arguments: list[str], resumed: str | None) -> Namespace:
    """Parse options whose defaults are ``base``."""
    values = rebased(base, arguments)
    parser = config_parser(
        encoder_name(values),
        task_name(values),
        defaults=values,
        prog=f"nestree train {base['recipe']}",
        usage=f"nestree train {base['recipe']} [--option value ...] [--run DIR | --resume RUN] [--report]",
        description="Train a recipe. The defaults below are the recipe's; with --encoder.name NAME or --data.task "
        "NAME, --help shows those of another encoder or task.",
    )
    parser.add_argument("--run", type=str, metavar="DIR", help="Folder for the run (default: runs/RECIPE-TIME).")
    parser.add_argument("--resume", type=str, metavar="RUN", help="Go on with this run, exactly where it stopped.")
    parser.add_argument("--report", action="store_true", help="Evaluate afterwards, and write a report.")
    parsed = parse(parser, arguments=arguments)
    if resumed is not None and parsed.run is not None:
        raise UserError("--run names a new run's folder and --resume an old one's: give one of them")
    return parsed


def _run(config: Config, parsed: Namespace) -> Run:
    """Return the run to train: a new one, the one to resume, or in a further process the first one's."""
    if RUN_VARIABLE in os.environ and is_further_process():
        return Run(os.environ[RUN_VARIABLE])
    if parsed.resume is not None:
        return Run.open(parsed.resume)
    if is_further_process():
        raise UserError("processes that nestree did not start need --resume RUN; or let --trainer.devices start them")
    return Run.new(config.recipe, parsed.run)


def is_further_process() -> bool:
    """Whether this is a process of a parallel training, but not the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


def _help() -> str:
    return "\n".join(
        [
            "usage: nestree train RECIPE [--option value ...] [--seed N ...] [--run DIR] [--report]",
            "       nestree train --resume RUN [--trainer.max_epochs N ...] [--report]",
            "",
            f"Recipes: {', '.join(recipe_names())}, or the path of a YAML file. `nestree recipes` describes them.",
            "`nestree train RECIPE --help` lists every option with its unit and the recipe's defaults.",
            "",
            "  --run DIR      folder for the run (default: runs/RECIPE-TIME); must be empty",
            "  --resume RUN   go on with a run, exactly where it stopped",
            "  --report       evaluate afterwards, and write a report",
            "  --seed 1 2 3   a run with each seed, one after the other, and a table of them all",
        ]
    )
