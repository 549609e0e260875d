"""What a comparison is to do, checked before anything is trained, and the folder that it is kept in."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.config.config import Config
from nestree.data.files import read_json, write_json
from nestree.errors import OptionError, UserError, located
from nestree.runs import RUNS, Run
from nestree.suggest import unknown
from nestree.tasks import Task
from nestree.training.child_process import settle

FORMAT = "nestree-compare-1"
TEST_OPTIONS = ("task", "seed", "path", "protocol", "depth", "max_args")
"""Options of the data that decide what the tests are."""


@dataclass(frozen=True)
class Plan:
    """What is compared, and how."""

    contenders: tuple[Contender, ...]
    budget: Budget
    shared: tuple[str, ...] = ()
    """Options of all, as ``--data.train_size=1000``."""
    tests: tuple[str, ...] = ()
    """None given: the task's first tests."""
    limit: int | None = None
    """Examples of each test, the first so many; None: all."""
    inference: str | None = None
    """grouped, flat or both; None: as configured."""
    command: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Return what [`as_dict`][] made plain."""
        contenders = tuple(Contender(**{**one, "options": tuple(one["options"])}) for one in values["contenders"])
        lists = {name: tuple(values[name]) for name in ("shared", "tests")}
        return cls(**{**values, **lists, "contenders": contenders, "budget": Budget(**values["budget"])})


class Comparison:
    """A comparison's folder.

    ================== ==================================================
    ``plan.json``      what is to be done
    a folder each      the runs
    ``comparison.*``   the results: ``.md``, ``.json`` and the plot ``.png``
    ================== ==================================================
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        """Name the folder of a plan."""
        self.path = path
        self.plan = plan

    @classmethod
    def open(cls, path: str | Path) -> Comparison:
        """Return a comparison that exists.

        Raises:
            UserError: there is none at ``path``.
        """
        values = read_json(Path(path) / "plan.json")
        if values.pop("format", None) != FORMAT:
            raise UserError(f"{path} holds no comparison (no plan.json of this version of nestree compare)")
        return cls(Path(path), Plan.from_dict(values))

    @classmethod
    def begin(cls, plan: Plan, path: str | Path | None, *, console: Console) -> Comparison:
        """Check a plan and make the folder, a run for each contender in it.

        Args:
            plan: what to do.
            path: must be empty or not there yet; None takes ``runs/compare-TIME``.
            console: for progress of what the data takes.

        Raises:
            UserError: options, recipes or data that do not do, or a folder in use; nothing has been made then.
        """
        comparison = cls(Path(path or RUNS / f"compare-{time.strftime('%Y%m%d-%H%M%S')}"), plan)
        if comparison.path.exists() and (not comparison.path.is_dir() or any(comparison.path.iterdir())):
            raise OptionError(
                "resume", "goes on with it", problem=f"{comparison.path} is not empty: name another folder"
            )
        for what in ("label", "folder"):
            name, count = Counter(getattr(contender, what) for contender in plan.contenders).most_common(1)[0]
            if count > 1:
                raise UserError(f"{name!r} is the {what} of {count} recipes: give each a label, LABEL=RECIPE")
        settled = _settled(plan, console)
        for contender, (config, task) in zip(plan.contenders, settled, strict=True):
            run = comparison.run(contender).begin(config, command=comparison.command(contender))
            run.keep_task(task)
        write_json(comparison.path / "plan.json", {"format": FORMAT, **plan.as_dict()})
        return comparison

    def run(self, contender: Contender) -> Run:
        """Return a contender's run."""
        return Run(self.path / contender.folder)

    def command(self, contender: Contender) -> str:
        """Return the command that makes a contender's run alone."""
        options = [*self.plan.shared, *contender.options, *self.plan.budget.arguments()]
        return shlex.join(["nestree", "train", contender.recipe, *options])

    @cached_property
    def task(self) -> Task:
        """The task of all."""
        return self.run(self.plan.contenders[0]).task

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests, shortest first unless they were named in another order."""
        return self.plan.tests or self.task.first_tests


def _settled(plan: Plan, console: Console) -> list[tuple[Config, Task]]:
    """Return each contender's configuration, as this machine settles it, and its task.

    Raises:
        UserError: see [`Comparison.begin`][].
    """
    configs = [contender.config(plan.shared, plan.budget) for contender in plan.contenders]
    for contender, config in zip(plan.contenders, configs, strict=True):
        for option in TEST_OPTIONS:
            here, first = (getattr(one.data, option, None) for one in (config, configs[0]))
            if here != first:
                raise OptionError(
                    f"data.{option}",
                    f"must be the same for all, or their tests are not: {contender.label} has {here}, "
                    f"and {plan.contenders[0].label} has {first}",
                )
    settled = []
    for contender, config in zip(plan.contenders, configs, strict=True):
        with located(contender.label):
            settled.append(_settle(config, plan, console))
    return settled


def _settle(config: Config, plan: Plan, console: Console) -> tuple[Config, Task]:
    """Check a contender, and load what it will be tested on."""
    task = config.data.open()
    for test in plan.tests:
        if test not in task.splits:
            raise UserError(unknown(f"test of {config.data.task}", test, task.splits))
    config, task = settle(config, console)
    with console.status("preparing the tests (done on first use, then kept)"):
        for test in plan.tests or task.first_tests:
            task.load(test, size=plan.limit)
    return config, task
