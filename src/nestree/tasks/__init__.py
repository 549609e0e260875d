"""The tasks, by name, each with a frozen dataclass of options.

A task has a vocabulary, labels and named splits, which is all that training and evaluation need. To add one, write a
class with the members of [`Task`][] and options that open it, and add these to [`TASKS`][]. A text dataset in official
files is a [`nestree.tasks.base.Dataset`][] in [`nestree.tasks.text.DATASETS`][].
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
"""Options of every task, by name."""

__all__ = ["TASKS", "DataOptions", "Task"]
