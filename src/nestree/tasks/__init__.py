"""The tasks, by name, each with a frozen dataclass of options.

A task has a vocabulary, labels and named splits, which is all that training and evaluation need. To add one, write a
class with the members of [`Task`][] and options that open it, and [`register`][] these. For a text dataset in files of
its own, a [`nestree.tasks.base.Dataset`][] is enough.
"""

from nestree.tasks.base import DataOptions, Task
from nestree.tasks.registry import TASKS, register

__all__ = ["TASKS", "DataOptions", "Task", "register"]
