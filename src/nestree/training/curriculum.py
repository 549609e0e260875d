"""State of a curriculum during training: the current stage, and when it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from nestree.tasks.stages import TRAIN, Stage

WINDOW = 50
"""Number of batches for the training accuracy; a mark cannot be reached earlier in a stage."""

ATTEMPTS = 5
"""Maximal number of attempts at a stage with new weights; the last one is followed by the next stage."""


class Spent(NamedTuple):
    """Amount of training done so far."""

    steps: int = 0
    sequences: int = 0
    minutes: float = 0.0


class Limits(NamedTuple):
    """Limits of training; None for no limit."""

    steps: int | None = None
    sequences: int | None = None
    minutes: float | None = None

    def share(self, spent: Spent, since: Spent = Spent()) -> float:  # noqa: B008 (immutable)
        """Return what was spent after ``since`` as a share of the limits, the largest of the three."""
        parts = zip(spent, since, self, strict=True)
        return max((now - then) / limit if limit else 0.0 for now, then, limit in parts)


@dataclass(frozen=True)
class Left:
    """The end of a stage."""

    stage: str
    attempt: int
    """Counted from 1."""
    step: int
    minutes: float
    """Time since the beginning of training."""
    accuracy: float
    """Training accuracy over the last batches."""
    how: str
    """"mark" if the mark was reached, "time" if out of time, "again" if the stage starts again with new weights."""


class Curriculum:
    """The current stage, from the first to the last; without ``stages``, there is only the training split.

    Decisions depend only on the arguments of [`count`][], which are the same in every process.

    Args:
        stages: the stages in order.
        limits: limits of training; the longest time of a stage is a share of these.
    """

    def __init__(self, stages: Sequence[Stage] = (), limits: Limits = Limits()) -> None:  # noqa: B008 (immutable)
        self.stages = tuple(stages) or (Stage(TRAIN),)
        self.limits = limits
        self.number = 0
        self.attempt = 0
        self.began = Spent()
        self.weights_since = 0
        """Number of steps before the current weights were initialised."""
        self.left: list[Left] = []
        self._recent: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.stages[self.number]

    @property
    def running(self) -> bool:
        """Whether the last stage has not begun yet."""
        return self.number < len(self.stages) - 1

    @property
    def accuracy(self) -> float:
        """Training accuracy over the stage's last batches."""
        return sum(correct for correct, _ in self._recent) / max(1, sum(examples for _, examples in self._recent))

    def __str__(self) -> str:
        """Return number and name of the stage; an empty string if there is only one."""
        return f"stage {self.number + 1} of {len(self.stages)}, {self.stage.name}" if len(self.stages) > 1 else ""

    def count(self, correct: int, examples: int, spent: Spent) -> Left | None:
        """Count a batch, and go to the next stage if it is time.

        Args:
            correct: number of correct answers in the whole batch.
            examples: number of examples in the whole batch.
            spent: amount of training so far, including the batch.

        Returns:
            The end of the stage, or None if it continues.
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
        """Return how the stage ends now; None if it continues."""
        stage = self.stage
        if len(self._recent) == WINDOW and stage.mark is not None and self.accuracy >= stage.mark:
            return "mark"
        if self.limits.share(spent, self.began) < stage.longest:
            return None
        return "again" if stage.otherwise == "again" and self.attempt + 1 < ATTEMPTS else "time"

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "number": self.number,
            "attempt": self.attempt,
            "began": list(self.began),
            "weights_since": self.weights_since,
            "recent": [list(batch) for batch in self._recent],
            "left": [asdict(left) for left in self.left],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.number, self.attempt = state["number"], state["attempt"]
        self.began, self.weights_since = Spent(*state["began"]), state["weights_since"]
        self._recent = deque(((correct, examples) for correct, examples in state["recent"]), maxlen=WINDOW)
        self.left = [Left(**left) for left in state["left"]]
