"""The options of every task, by name."""

from __future__ import annotations

from dataclasses import is_dataclass

from nestree.plugins import Registry
from nestree.tasks.base import DataOptions, Dataset
from nestree.tasks.listops import ListOpsOptions
from nestree.tasks.listops.lra import ListOpsLRAOptions
from nestree.tasks.logic import LogicOptions
from nestree.tasks.text import DATASETS, OfficialOptions, OwnOptions

GROUP = "nestree.tasks"
"""Entry points of this group are tasks of other packages: a name, and a class of options or a dataset."""

BROUGHT: dict[str, type[DataOptions]] = {
    "listops": ListOpsOptions,
    "listops-lra": ListOpsLRAOptions,
    "logic": LogicOptions,
    **dict.fromkeys(DATASETS, OfficialOptions),
    "own": OwnOptions,
}
"""What nestree brings."""


def _checked(name: str, given: object) -> type[DataOptions]:
    if isinstance(given, Dataset):
        if given.name != name:
            raise ValueError(f"the dataset of task {name} must have the same name, not {given.name!r}")
        DATASETS[name] = given
        return OfficialOptions
    if not (isinstance(given, type) and issubclass(given, DataOptions) and is_dataclass(given)):
        raise ValueError(f"task {name} must be a Dataset, or a dataclass derived from DataOptions, not {given!r}")
    return given


TASKS: Registry[type[DataOptions]] = Registry("task", GROUP, _checked, **BROUGHT)
"""The options of every task by name: those above, those that [`register`][] added, and those that installed packages
declare as entry points of the group ``nestree.tasks``."""


def register(name: str, task: type[DataOptions] | Dataset) -> None:
    """Add a task, which every recipe can then be trained on with ``--data.task NAME``.

    What is registered is known in this process alone; see [`nestree.encoders.registry.register`][] for how the command
    line knows it, too.

    Args:
        name: not one of those that nestree brings.
        task: a dataclass derived from [`DataOptions`][nestree.tasks.base.DataOptions], whose ``open`` returns the task;
            or of a dataset of texts what its files are and how they are read.

    Raises:
        ValueError: the name is taken, or ``task`` is neither.
    """
    TASKS.register(name, task)
