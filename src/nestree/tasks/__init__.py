"""The tasks, by name, each with a frozen dataclass of its options.

A task is a vocabulary, a set of labels and named splits: all that training and evaluation need to know. To add one,
write a class with the members of [`Task`][] and options that open it, and [`register`][] these; of a dataset of texts
in files of its own a [`nestree.tasks.base.Dataset`][] is enough.
"""

from nestree.tasks.base import DataOptions, Task
from nestree.tasks.registry import TASKS, register

__all__ = ["TASKS", "DataOptions", "Task", "register"]
