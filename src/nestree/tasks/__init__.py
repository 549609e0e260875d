"""The tasks, by name, each with a frozen dataclass of its options.

A task is a vocabulary, a set of labels and named splits: all that training and evaluation need to know. To add one,
write a class with the members of [`Task`][] and options that open it, and enter these in [`TASKS`][]; a dataset of
texts in official files is a [`nestree.tasks.base.Dataset`][] in [`nestree.tasks.text.DATASETS`][].
"""

from __future__ import annotations

from nestree.tasks.base import DataOptions, Task
from nestree.tasks.listops import ListOpsOptions
from nestree.tasks.listops.lra import ListOpsLRAOptions
from nestree.tasks.logic import LogicOptions
from nestree.tasks.text import DATASETS, OfficialOptions, OwnOptions

TASKS: dict[str, type[DataOptions]] = {
    "listops": ListOpsOptions,
    "listops-lra": ListOpsLRAOptions,
    "logic": LogicOptions,
    **dict.fromkeys(DATASETS, OfficialOptions),
    "own": OwnOptions,
}
"""The options of every task by name."""

__all__ = ["TASKS", "DataOptions", "Task"]
