"""``nestree train``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import Namespace

from nestree.cli.arguments import parse_command
from nestree.comparison.seeds import train_seeds
from nestree.config.config import config_from, config_parser, encoder_name, task_name
from nestree.config.overrides import naming_source, option_value, rebased
from nestree.consoles import messages, output, quoted, say
from nestree.errors import INTERRUPTED, OptionError, UserError
from nestree.recipes import recipe_names
from nestree.runs import Run
from nestree.training.parallel import end_with_parent, is_further_process
from nestree.training.train import base_values, run_to_train

_FLAGS = ("-h", "--help", "--report")


def main(arguments: Sequence[str]) -> int:
    """Train a recipe or resume a run; return 130 after Ctrl-C."""
    end_with_parent()
    seeds, arguments = take_seeds(arguments)
    recipe, rest = _split_recipe(arguments)
    resumed = option_value(rest, "--resume")
    if recipe is None and resumed is None:
        print(_help())
        if any(flag in rest for flag in ("-h", "--help")):
            return 0
        raise UserError("name a recipe, such as listops-rir-quick; `nestree recipes` lists them")
    base = base_values(recipe, resumed)
    with naming_source(base, recipe or resumed):
        parsed = _parse(base, rest)
        config = config_from(str(base["recipe"]), parsed)
    if seeds:
        if recipe is None or resumed is not None:
            raise OptionError("seed", "takes several seeds for new runs only, not with --resume")
        folder = Run.new(config.recipe, parsed.run).path
        return train_seeds(recipe, seeds, _without(rest, "--run"), folder, messages())
    # Imported once the options are checked, as Lightning is slow to import.
    from nestree.training.session import train_run

    run, console = run_to_train(config, out=parsed.run, resume=resumed), messages()
    command = shlex.join(["nestree", "train", *arguments])
    if not train_run(run, config, resumed=resumed is not None, command=command, console=console):
        # Lightning kills the first process if it sees another one fail, and only the first one's code is seen.
        return 0 if is_further_process() else INTERRUPTED
    if not is_further_process():
        if parsed.report:
            from nestree.reports.first_look import first_look

            say(first_look(run, output(), console))
        else:
            console.print(f"next: nestree evaluate {quoted(run.path)}")
    return 0


def take_seeds(arguments: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the seeds and the other arguments if ``--seed`` has several values; else no seeds and all arguments.

    Raises:
        UserError: two seeds are equal.
    """
    if "--seed" not in arguments:
        return [], list(arguments)
    first = list(arguments).index("--seed") + 1
    end = first
    while end < len(arguments) and arguments[end].isdecimal():
        end += 1
    seeds = [int(seed) for seed in arguments[first:end]]
    if len(seeds) < 2:
        return [], list(arguments)
    if len(set(seeds)) < len(seeds):
        raise OptionError("seed", f"must be different seeds, not {', '.join(map(str, seeds))}")
    return seeds, [*arguments[: first - 1], *arguments[end:]]


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Return arguments without an option and its value."""
    left = [word for word in arguments if not word.startswith(f"{option}=")]
    if option in left:
        at = left.index(option)
        del left[at : at + 2]
    return left


def _split_recipe(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return the first argument that is neither an option nor the value of one, and the other arguments."""
    at = 0
    while at < len(arguments):
        if not arguments[at].startswith("-"):
            return arguments[at], arguments[:at] + arguments[at + 1 :]
        at += 1 if arguments[at] in _FLAGS or "=" in arguments[at] else 2
    return None, arguments


def _parse(base: Mapping[str, Any], arguments: list[str]) -> Namespace:
    """Parse options whose defaults are ``base``."""
    values = rebased(base, arguments)
    parser = config_parser(
        encoder_name(values),
        task_name(values),
        defaults=values,
        prog=f"nestree train {base['recipe']}",
        usage=f"nestree train {base['recipe']} [--option value ...] [--run DIR | --resume RUN] [--report]",
        description="Train a recipe. The defaults below are the recipe's. Add --encoder.name NAME or --data.task NAME "
        "to see the options of another encoder or task.",
    )
    parser.add_argument("--run", type=str, metavar="DIR", help="Folder for the run (default: runs/RECIPE-TIME).")
    parser.add_argument("--resume", type=str, metavar="RUN", help="Resume this run exactly where it stopped.")
    parser.add_argument("--report", action="store_true", help="Evaluate afterwards, and write a report.")
    return parse_command(parser, arguments)


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
            "  --resume RUN   resume a run exactly where it stopped",
            "  --report       evaluate afterwards, and write a report",
            "  --seed 1 2 3   one run per seed, one after the other, and a table of all of them",
        ]
    )
