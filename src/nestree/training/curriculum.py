"""Where a training is in its curriculum: in which stage, since when, and whether it is time to leave it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from nestree.tasks.stages import TRAIN, Stage

WINDOW = 50
"""Batches over which the training accuracy is taken; a stage has at least so many, too."""

ATTEMPTS = 5
"""Times that a stage is tried with fresh weights; after the last one the training goes on."""


class Spent(NamedTuple):
    """How much of a training is done."""

    steps: int = 0
    sequences: int = 0
    minutes: float = 0.0


class Limits(NamedTuple):
    """What ends a training; None where there is no limit of a kind."""

    steps: int | None = None
    sequences: int | None = None
    minutes: float | None = None

    def share(self, spent: Spent, since: Spent = Spent()) -> float:  # noqa: B008 (immutable)
        """Return the share that was spent since then, of the limit that it is the largest of."""
        parts = zip(spent, since, self, strict=True)
        return max((now - then) / limit if limit else 0.0 for now, then, limit in parts)


@dataclass(frozen=True)
class Left:
    """A stage that was left."""

    stage: str
    attempt: int
    """Counts from 1."""
    step: int
    minutes: float
    """From the beginning of the training."""
    accuracy: float
    """In training, over the last batches."""
    how: str
    """By its "mark", by "time", or to begin "again" with fresh weights."""


class Curriculum:
    """Goes through the stages, and is left in the last one; without a curriculum there is only that.

    Everything that it decides follows from the figures it is given, which are the same in every process.
    """

    def __init__(self, stages: Sequence[Stage] = (), limits: Limits = Limits()) -> None:  # noqa: B008 (immutable)
        """Begin with the first of ``stages``; their longest times are shares of ``limits``."""
        self.stages = tuple(stages) or (Stage(TRAIN),)
        self.limits = limits
        self.number = 0
        self.attempt = 0
        self.began = Spent()
        self.weights_since = 0
        """Step after which the weights began."""
        self.left: list[Left] = []
        self._recent: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    @property
    def stage(self) -> Stage:
        """The present one."""
        return self.stages[self.number]

    @property
    def running(self) -> bool:
        """Whether there is a stage to come."""
        return self.number < len(self.stages) - 1

    @property
    def accuracy(self) -> float:
        """Training accuracy of the stage's last batches."""
        return sum(correct for correct, _ in self._recent) / max(1, sum(examples for _, examples in self._recent))

    def __str__(self) -> str:
        """Name the stage; nothing where there is only one."""
        return f"stage {self.number + 1} of {len(self.stages)}, {self.stage.name}" if len(self.stages) > 1 else ""

    def count(self, correct: int, examples: int, spent: Spent) -> Left | None:
        """Count a batch, and return the stage if it is left now.

        Args:
            correct: right answers of the whole batch.
            examples: of the whole batch.
            spent: the training so far, the batch included.
        """
        if not self.running:
            return None
        self._recent.append((correct, examples))
        how = self._how(spent)
        if how is None:
            return None
        left = Left(self.stage.name, self.attempt + 1, spent.steps, round(spent.minutes, 3), self.accuracy, how)
        self.left.append(left)
        self._recent.clear()
        self.began = spent
        if how == "again":
            self.attempt += 1
            self.weights_since = spent.steps
        else:
            self.number, self.attempt = self.number + 1, 0
        return left

    def _how(self, spent: Spent) -> str | None:
        """Say how the stage is left now; None if it is not."""
        stage = self.stage
        if len(self._recent) == WINDOW and stage.mark is not None and self.accuracy >= stage.mark:
            return "mark"
        if self.limits.share(spent, self.began) < stage.longest:
            return None
        return "again" if stage.otherwise == "again" and self.attempt + 1 < ATTEMPTS else "time"

    def state_dict(self) -> dict[str, Any]:
        """Return where it is."""
        return {
            "number": self.number,
            "attempt": self.attempt,
            "began": list(self.began),
            "weights_since": self.weights_since,
            "recent": [list(batch) for batch in self._recent],
            "left": [asdict(left) for left in self.left],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.number, self.attempt = state["number"], state["attempt"]
        self.began, self.weights_since = Spent(*state["began"]), state["weights_since"]
        self._recent = deque(((correct, examples) for correct, examples in state["recent"]), maxlen=WINDOW)
        self.left = [Left(**left) for left in state["left"]]
