"""Curricula of logical inference: pairs with few operators first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nestree.checks import check_at_least
from nestree.data import RaggedExamples
from nestree.errors import within
from nestree.tasks.base import SECTION
from nestree.tasks.stages import Sampler, Stage, from_split, stage_error

if TYPE_CHECKING:
    from nestree.tasks.base import Task


@dataclass(frozen=True)
class LogicStage(Stage):
    """A stage with training pairs of at most ``operators`` operators.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    operators: int | None = None
    """Maximal number of operators in a pair's longer side; None: no limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.operators is not None:
            check_at_least("operators", self.operators, 0)

    def sampler(self, task: Task, train: RaggedExamples) -> Sampler:
        """Return the sampler of training pairs with at most ``operators`` operators.

        Raises:
            UserError: there are no such pairs.
        """
        if self.operators is None:
            return from_split(train)
        few = np.flatnonzero(task.strata(train)["operators"] <= self.operators)
        if len(few) == 0:
            with within(SECTION):
                raise stage_error(self.name, f"no training pair has at most {self.operators} operators")
        return from_split(train.select(few))


CURRICULA = {
    "by-operators": (
        LogicStage("2 operators", mark=0.85, longest=0.1, operators=2),
        LogicStage("4 operators", mark=0.85, longest=0.15, operators=4),
        LogicStage("train"),
    )
}
"""Curricula by name, for ``--data.curriculum``."""
