"""The processes of a parallel training: which of them is the first, and the folder of the run that it has made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from nestree.runs import Run

RUN_VARIABLE = "NESTREE_RUN"
"""Tells the further processes of a parallel training which folder the first has made."""


def is_further_process() -> bool:
    """Whether this is a process of a parallel training, but not the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("RANK", "0") != "0"


@contextmanager
def run_folder_known(run: Run) -> Iterator[None]:
    """Tell processes that the training starts which folder it writes to."""
    os.environ[RUN_VARIABLE] = str(run.path)
    try:
        yield
    finally:
        del os.environ[RUN_VARIABLE]
