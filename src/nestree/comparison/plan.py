"""The plan of a comparison, checked before anything is trained, and the comparison's folder."""

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
from nestree.data.shapes import COUNT, NUMBER, TEXT, Ruled, check_shape
from nestree.errors import OptionError, UserError, located
from nestree.evaluation.bag_of_words import check_installed
from nestree.runs import RUNS, Run
from nestree.suggest import unknown
from nestree.tasks import Task
from nestree.tasks.target import need_classes
from nestree.training.child_process import settle

FORMAT = "nestree-compare-1"
BAG_OF_WORDS = "bow-sklearn"
REFERENCES = (BAG_OF_WORDS,)
"""Contenders that are no recipes: nestree does not train them."""
TEST_OPTIONS = ("task", "seed", "path", "protocol", "depth", "max_args")
"""Data options that decide which examples the tests have."""


PLAN = {
    "contenders": [{"label": TEXT, "recipe": TEXT, "options": [TEXT]}],
    "budget": Ruled(
        {"minutes?": NUMBER, "sequences?": COUNT},
        lambda values: (
            None
            if (values.get("minutes") is None) != (values.get("sequences") is None)
            else "must have minutes or sequences"
        ),
    ),
    **{f"{name}?": [TEXT] for name in ("shared", "tests", "references")},
    "limit?": COUNT,
    "inference?": TEXT,
    "command?": TEXT,
}
"""Shape of ``plan.json``, see ``nestree.data.shapes``."""


@dataclass(frozen=True)
class Plan:
    """Contenders, budget and tests of a comparison."""

    contenders: tuple[Contender, ...]
    budget: Budget
    shared: tuple[str, ...] = ()
    """Options of all contenders, such as ``--data.train_size=1000``."""
    tests: tuple[str, ...] = ()
    """Empty: the task's first tests."""
    limit: int | None = None
    """Evaluate on the first ``limit`` examples of each test; None: on all."""
    inference: str | None = None
    """grouped, flat or both; None: as configured."""
    command: str = ""
    references: tuple[str, ...] = ()
    """Some of [`REFERENCES`][]."""

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Return the plan of values that [`as_dict`][] returned."""
        return cls(
            contenders=tuple(
                Contender(one["label"], one["recipe"], tuple(one["options"])) for one in values["contenders"]
            ),
            budget=Budget(values["budget"].get("minutes"), values["budget"].get("sequences")),
            **{name: tuple(values.get(name) or ()) for name in ("shared", "tests", "references")},
            limit=values.get("limit"),
            inference=values.get("inference"),
            command=values.get("command") or "",
        )


class Comparison:
    """A plan and its folder.

    ================== ==================================================
    ``plan.json``      the plan
    one folder each    the runs of the contenders
    ``bow-sklearn.*``  facts and results of scikit-learn's bag of words
    ``comparison.*``   the results: ``.md``, ``.json`` and the plot ``.png``
    ================== ==================================================
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan

    @classmethod
    def open(cls, path: str | Path) -> Comparison:
        """Return the comparison in an existing folder.

        Raises:
            UserError: there is no comparison at ``path``.
        """
        file = Path(path) / "plan.json"
        values = read_json(file)
        if values.pop("format", None) != FORMAT:
            raise UserError(f"{path} has no comparison (no plan.json of this version of nestree compare)")
        check_shape(values, PLAN, str(file))
        return cls(Path(path), Plan.from_dict(values))

    @classmethod
    def begin(cls, plan: Plan, path: str | Path | None, *, console: Console) -> Comparison:
        """Check a plan, and create its folder with one run per contender.

        Args:
            plan: the plan.
            path: an empty or new folder; None for ``runs/compare-TIME``.
            console: for progress while data are prepared.

        Raises:
            UserError: options, recipes or data are invalid, or the folder is not empty; nothing is created then.
        """
        comparison = cls(Path(path or RUNS / f"compare-{time.strftime('%Y%m%d-%H%M%S')}"), plan)
        if comparison.path.exists() and (not comparison.path.is_dir() or any(comparison.path.iterdir())):
            raise OptionError(
                "resume", "continues with it", problem=f"{comparison.path} is not empty: name another folder"
            )
        for name in plan.references:
            check_installed(name)
        for what in ("label", "folder"):
            names = [getattr(contender, what) for contender in plan.contenders]
            name, count = Counter([*names, *plan.references]).most_common(1)[0]
            if count > 1:
                raise UserError(f"{name!r} is the {what} of {count} recipes: give each a label, LABEL=RECIPE")
        settled = _settled(plan, console)
        for contender, (config, task) in zip(plan.contenders, settled, strict=True):
            comparison.run(contender).begin(config, task, command=comparison.command(contender))
        write_json(comparison.path / "plan.json", {"format": FORMAT, **plan.as_dict()})
        return comparison

    def run(self, contender: Contender) -> Run:
        """Return a contender's run."""
        return Run(self.path / contender.folder)

    def command(self, contender: Contender) -> str:
        """Return the command that trains only this contender."""
        options = [*self.plan.shared, *contender.options, *self.plan.budget.arguments()]
        return shlex.join(["nestree", "train", contender.recipe, *options])

    @cached_property
    def task(self) -> Task:
        """The task, which all contenders share."""
        return self.run(self.plan.contenders[0]).task

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests in the order of the plan, or the task's first tests."""
        return self.plan.tests or self.task.first_tests


def _settled(plan: Plan, console: Console) -> list[tuple[Config, Task]]:
    """Return each contender's configuration, with defaults for this machine filled in, and its task.

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
                    f"must be the same for all, since recipes can only be compared on the same tests: "
                    f"{contender.label} has {here}, and {plan.contenders[0].label} has {first}",
                )
    settled = []
    for contender, config in zip(plan.contenders, configs, strict=True):
        with located(contender.label):
            settled.append(_settle(config, plan, console))
    return settled


def _settle(config: Config, plan: Plan, console: Console) -> tuple[Config, Task]:
    """Check a contender, and prepare its tests."""
    task = config.data.open()
    need_classes(task, "compare")
    for test in plan.tests:
        if test not in task.splits:
            raise UserError(unknown(f"test of {config.data.task}", test, task.splits))
    config, task = settle(config, console)
    with console.status("preparing the tests (on first use only)"):
        for test in plan.tests or task.first_tests:
            task.load(test, size=plan.limit)
    return config, task
