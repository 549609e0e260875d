"""Training from Python: from a recipe and options to a trained run. The command line uses it too."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nestree.config.config import Config, read_config
from nestree.config.overrides import as_arguments, configure, naming_source
from nestree.consoles import messages
from nestree.errors import OptionError, UserError
from nestree.recipes import load_recipe
from nestree.runs import Run
from nestree.training.parallel import RUN_VARIABLE, is_further_process

Recipe = str | Path | Mapping[str, Any] | Config
"""Name of a recipe, path of a YAML file, values as in such a file, or a configuration."""


def train(
    recipe: Recipe | None = None,
    options: Mapping[str, object] | None = None,
    *,
    seed: int | None = None,
    out: str | Path | None = None,
    resume: str | Path | Run | None = None,
    progress: bool = True,
) -> Run:
    """Train a recipe or resume a run, and return the run.

    Does what `nestree train` does, in this process; with ``trainer.devices: null``, on one device. Ctrl-C writes a
    checkpoint and then raises KeyboardInterrupt.

    Args:
        recipe: name of a recipe (`nestree recipes` lists them), path of a YAML file, values as in such a file, or a
            configuration.
        options: options to change, with their names on the command line, ``{"encoder.dim": 64}``, or by section,
            ``{"encoder": {"dim": 64}}``.
        seed: seed of weights, dropout, noise and the order of the examples; None as in the recipe.
        out: folder for the run, which is empty or does not exist; None for ``runs/RECIPE-TIME``.
        resume: run to resume, exactly where it stopped; only limits can be changed, and no recipe is needed.
        progress: show messages, and a bar, on standard error.

    Raises:
        UserError: no such recipe or option, an invalid value, a folder in use, options that do not fit the data or the
            machine, or a loss that is not finite. It is a ValueError of one line, and names the option.
        KeyboardInterrupt: Ctrl-C or SIGTERM; ``train(resume=...)`` continues.

    Examples:
        >>> run = train("listops-rir-quick", {"encoder.dim": 64, "trainer.max_minutes": 1}, out="runs/x", seed=1)
        >>> run.evaluate(["near-iid"], limit=200)[0].total.accuracy
        >>> train(resume="runs/x", options={"trainer.max_minutes": 2})
    """
    values, command = _begin(recipe, resume)
    arguments = as_arguments({**(options or {}), **({} if seed is None else {"seed": seed})})
    with naming_source(values, recipe if isinstance(recipe, str | Path) else "the configuration"):
        config = configure(values, arguments)
    if config.trainer.devices is None:
        arguments.append("--trainer.devices=1")  # further processes would run the caller's script again
        config = configure(values, arguments)
    run = run_to_train(config, out=out, resume=resume)
    command = command or ["nestree", "train", str(run.config_file)]
    # Imported once the options are checked, as Lightning is slow to import.
    from nestree.training.session import train_run

    console = messages(shown=progress)
    command = shlex.join([*command, *arguments])
    if not train_run(run, config, resumed=resume is not None, command=command, console=console):
        raise KeyboardInterrupt
    return run


def _begin(recipe: Recipe | None, resume: str | Path | Run | None) -> tuple[dict[str, Any], list[str] | None]:
    """Return the initial values of the options, and the command that starts from them if they are in a file."""
    if recipe is None and resume is None:
        raise UserError("name a recipe to train, or a run to resume")
    if recipe is None or isinstance(recipe, str | Path):
        name = None if recipe is None else str(recipe)
        return base_values(name, resume), None if name is None else ["nestree", "train", name]
    if resume is not None:
        raise UserError("a resumed run keeps its own configuration: change its limits with options")
    config = recipe if isinstance(recipe, Config) else read_config(recipe, source="the configuration")
    return {**config.as_dict(), "recipe": config.recipe or config.encoder_name}, None


def base_values(recipe: str | None, resume: str | Path | Run | None) -> dict[str, Any]:
    """Return the values to begin with: those of the run to resume, or of the recipe.

    Raises:
        UserError: there is no such recipe or run, they do not belong together, or the run cannot be written into.
    """
    if resume is None:
        assert recipe is not None
        return dict(load_recipe(recipe).values)
    run = _opened(resume)
    if run.shipped:
        problem = f"{run.name} ships with the package or is on the Hub, and cannot be resumed"
        raise OptionError("trainer.start", f"{run.name} starts a new run from its weights", problem=problem)
    values = run.config.as_dict()
    if recipe is not None and load_recipe(recipe).name != values["recipe"]:
        raise OptionError("resume", f"must be a run of recipe {recipe}; {run.name} is one of {values['recipe']}")
    return values


def run_to_train(config: Config, *, out: str | Path | None, resume: str | Path | Run | None) -> Run:
    """Return the run to train: a new one, the one to resume, or in a further process the first one's.

    Raises:
        UserError: the folder is in use, or this further process does not know its run.
    """
    if out is not None and resume is not None:
        raise OptionError("resume", "continues in the folder of that run: name no other")
    if RUN_VARIABLE in os.environ and is_further_process():
        return Run(os.environ[RUN_VARIABLE])
    if resume is not None:
        return _opened(resume)
    if is_further_process():
        problem = "processes that nestree did not start must resume a run"
        raise OptionError("trainer.devices", "makes nestree start them", problem=problem)
    return Run.new(config.recipe, out)


def _opened(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run.open(run)
