"""Parallel training: whether a process is the first one, and the run folder that all processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from nestree.runs import Run

RUN_VARIABLE = "NESTREE_RUN"
"""Environment variable with the run folder, for all processes of a parallel training except the first."""


def is_further_process() -> bool:
    """Whether this is a process of a parallel training other than the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


@contextmanager
def run_folder_known(run: Run) -> Iterator[None]:
    """Pass the run folder to the processes that training starts."""
    os.environ[RUN_VARIABLE] = str(run.path)
    try:
        yield
    finally:
        del os.environ[RUN_VARIABLE]
