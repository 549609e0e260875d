"""A sweep: its storage, which several processes may share and which survives crashes, and the runs of its trials."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial, TrialState

from nestree.config.config import Config
from nestree.config.overrides import configure
from nestree.config.selection import MEASURES, Measure
from nestree.data.files import locked
from nestree.errors import OptionError, UserError
from nestree.recipes import load_recipe
from nestree.runs import Run
from nestree.sweep.space import argument

NAME = "nestree"
"""Name of the study; a storage has only one."""
SIGNATURE = "sweep"
"""Attribute of the study with configuration and search space."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass
class Taken:
    """A trial that this process works on, and no other while ``held`` is open."""

    trial: Trial
    run: Run
    lock: int
    held: ExitStack


class Sweep:
    """The trials of one recipe over one search space: run folders, and a journal file with their results.

    Args:
        recipe: name, or path of a YAML file.
        shared: options of all trials, such as ``--data.train_size=1000``.
        storage: the journal file.
        folder: the folder of the runs.
        prune: stop a trial early if it is worse than the median of the others after equally many validations.
    """

    def __init__(
        self,
        recipe: str,
        shared: Sequence[str],
        *,
        storage: Path,
        folder: Path,
        prune: bool = True,
    ) -> None:
        self.recipe = recipe
        self.shared = tuple(shared)
        self.storage = storage
        self.folder = folder
        self.pruner = optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner()

    @cached_property
    def base(self) -> Config:
        """The configuration without any chosen values."""
        return self.config({})

    @property
    def measure(self) -> Measure:
        """What the trials are compared by."""
        return MEASURES[getattr(self.base.data, "target", "class")]

    def config(self, chosen: Mapping[str, Any]) -> Config:
        """Return the configuration with chosen values.

        Raises:
            UserError: a value is invalid; names the option.
        """
        return configure(load_recipe(self.recipe).values, [*self.shared, *self.arguments(chosen)])

    def arguments(self, chosen: Mapping[str, Any]) -> list[str]:
        """Return chosen values as options of ``nestree train``."""
        return [argument(name, value) for name, value in chosen.items()]

    def command(self, chosen: Mapping[str, Any]) -> str:
        """Return the command that trains with chosen values."""
        return shlex.join(["nestree", "train", self.recipe, *self.shared, *self.arguments(chosen)])

    def open(self, space: Mapping[str, BaseDistribution]) -> None:
        """Create the storage, or open an existing one.

        Raises:
            UserError: the storage cannot be read or written, or belongs to another sweep.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder, wait=True):
                mend(self.storage)
                self.study = optuna.create_study(
                    study_name=NAME,
                    storage=JournalStorage(JournalFileBackend(str(self.storage))),
                    direction="maximize",
                    pruner=self.pruner,
                    load_if_exists=True,
                )
                self._sign(space)
        except OSError as error:
            raise UserError(f"{error.filename or self.storage}: cannot be used ({error.strerror or error})") from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{self.storage}: not the storage of a sweep ({error})") from None
        self.space = dict(space)

    def _sign(self, space: Mapping[str, BaseDistribution]) -> None:
        """Write configuration and search space into the storage, or compare them with those that it has."""
        signature = {
            "config": self.base.as_dict(),
            "space": {name: json.loads(distribution_to_json(values)) for name, values in space.items()},
        }
        signature = json.loads(json.dumps(signature))
        known = self.study.user_attrs.get(SIGNATURE)
        if known is None:
            self.study.set_user_attr(SIGNATURE, signature)
        elif known != signature:
            different = next(part for part in signature if known.get(part) != signature[part])
            what = "space" if different == "space" else "recipe or options"
            raise OptionError("storage", f"must be another file: {self.storage} belongs to a sweep with another {what}")

    def trials(self) -> list[FrozenTrial]:
        """Return all trials so far, in order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def run(self, number: int) -> Run:
        """Return a trial's run."""
        return Run(self.folder / f"trial-{number:04d}")

    def take(self, trials: int) -> Taken | None:
        """Take an unfinished trial that no process works on, or a new one; None if there are ``trials`` already.

        ``--seed`` and the trial's number decide what the sampler draws.
        """
        with locked(self.folder, wait=True):
            there = self.trials()
            for left in (trial for trial in there if trial.state == TrialState.RUNNING):
                if (taken := self._hold(left.number, Trial(self.study, left._trial_id))) is not None:
                    return taken
            if len(there) >= trials:
                return None
            seed = np.random.SeedSequence([self.base.seed, len(there)]).generate_state(1)
            self.study.sampler = optuna.samplers.TPESampler(seed=int(seed[0]))
            trial = self.study.ask(self.space)
            return self._hold(trial.number, trial)

    def _hold(self, number: int, trial: Trial) -> Taken | None:
        """Lock a trial's folder; None if another process has."""
        run, held = self.run(number), ExitStack()
        run.path.mkdir(exist_ok=True)
        lock = held.enter_context(locked(run.path))
        return None if lock is None else Taken(trial, run, lock, held)


def mend(path: Path) -> None:
    """Remove an incomplete last line from a journal, which a process leaves that is killed while writing."""
    if not path.is_file():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("rb+") as file:
            text = file.read()
            if not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
    finally:
        lock.release()
