"""The stages of a curriculum: what is drawn in each, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from nestree.checks import check_at_least, check_one_of, check_positive, check_share
from nestree.data import RaggedExamples
from nestree.errors import OptionError, within
from nestree.recursions import BeamSearch
from nestree.suggest import unknown

if TYPE_CHECKING:
    from nestree.tasks.base import Task

NONE = "none"
"""Option value for no curriculum."""
OWN = "own"
"""Name of a list of stages without a name."""
TRAIN = "train"
"""Name of the training split as a source of a stage's examples."""
LABEL = ", curriculum "
"""Separates the protocol of a result's data from each curriculum that its model was trained with."""
OTHERWISE = ("next", "again")

Sampler = Callable[[int, np.random.Generator], RaggedExamples]
"""Draws a number of examples."""


@dataclass(frozen=True)
class Stage:
    """A part of training. Examples are drawn from the training split; tasks have subclasses that draw others.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    name: str
    mark: float | None = None
    """Training accuracy over the last batches at which the stage ends; None only in the last stage."""
    longest: float = 0.1
    """Maximal time in the stage, as a share of the limit of training: of its minutes or its steps, whichever share is
    larger."""
    otherwise: str = OTHERWISE[0]
    """What follows if the stage runs out of time: next (the next stage) or again (the same one, with new weights)."""
    rate: float = 1.0
    """Factor of the learning rate."""
    batch: int | None = None
    """Examples per step, over all devices; None: data.batch."""
    search: Mapping[str, Any] = field(default_factory=dict)
    """Options of a beam tree's search while training in this stage, such as {beam_size: 1, noise: true}; others are the
    encoder's. Other encoders ignore them."""
    also: Mapping[str, float] = field(default_factory=dict)
    """Shares of examples that are drawn as in other stages, by name, or from the training split ("train")."""

    def __post_init__(self) -> None:
        if self.mark is not None:
            check_share("mark", self.mark)
        if check_share("longest", self.longest) == 0:
            raise OptionError("longest", "must be above 0: it is a share of the training")
        check_one_of("otherwise", self.otherwise, OTHERWISE)
        check_positive("rate", self.rate)
        if self.batch is not None:
            check_at_least("batch", self.batch, 1)
        _check_search(self.search)
        if not isinstance(self.also, Mapping):
            raise OptionError("also", f"must be shares by the names of other stages, not {self.also!r}")
        for name, share in self.also.items():
            check_share(f"also {name}", share)
        if sum(self.also.values()) > 1 + 1e-9:
            raise OptionError("also", f"must be shares that add up to at most 1, not {sum(self.also.values()):g}")

    def drawn(self) -> list[str]:
        """Return the names of the options set that decide what is drawn; there are none in the last stage."""
        common = {common.name for common in fields(Stage)}
        return [own.name for own in fields(self) if own.name not in common and getattr(self, own.name) != own.default]

    @property
    def most_tokens(self) -> int:
        """Length of the longest example, tokens; 0 if the examples are from the training split."""
        return 0

    def sampler(self, task: Task, train: RaggedExamples) -> Sampler:
        """Return the sampler of the stage's own examples.

        Args:
            task: the task.
            train: the training examples.
        """
        del task
        return from_split(train)


def _check_search(options: object) -> None:
    known = {own.name for own in fields(BeamSearch)}
    if not isinstance(options, Mapping):
        raise OptionError("search", f"must be options of a beam tree's search, as {{beam_size: 1}}, not {options!r}")
    for name in options:
        if name not in known:
            raise OptionError("search", f"must be of {', '.join(sorted(known))}, not {name!r}")
    with within("search"):
        BeamSearch(**options)


def from_split(examples: RaggedExamples) -> Sampler:
    """Return a sampler that draws from examples with replacement."""

    def draw(count: int, rng: np.random.Generator) -> RaggedExamples:
        return examples.select(rng.integers(len(examples), size=count))

    return draw


@dataclass(frozen=True)
class Plan:
    """A curriculum: stages in order; the last one draws from the training split."""

    name: str
    stages: tuple[Stage, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the curriculum as JSON values; [`read_plan`][] is the inverse."""
        return {"name": self.name, "stages": [_as_dict(stage) for stage in self.stages]}


def _as_dict(stage: Stage) -> dict[str, Any]:
    return {**asdict(stage), "also": dict(stage.also), "search": dict(stage.search)}


def read_plan(values: object, *, kind: type[Stage], known: Mapping[str, tuple[Stage, ...]]) -> Plan | None:
    """Return the curriculum that an option's value describes; None for "none".

    Args:
        values: "none", a known name, a list of stages as JSON values, or a mapping with ``name`` and ``stages``.
        kind: class of the task's stages.
        known: the task's curricula by name.

    Raises:
        ValueError: the value is invalid; names the stage and what would be right.
    """
    if isinstance(values, str):
        check_one_of("curriculum", values, (NONE, *known))
        return None if values == NONE else Plan(values, known[values])
    name, stages = (values.get("name"), values.get("stages")) if isinstance(values, Mapping) else (OWN, values)
    if not isinstance(name, str) or not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise OptionError(
            "curriculum",
            f"must be one of {', '.join((NONE, *known))}, a list of stages, or their name and stages, not {values!r}",
        )
    if name in ("", NONE):
        raise OptionError("curriculum", f"must have another name than {name!r}")
    plan = Plan(name, tuple(_read_stage(stage, number, kind) for number, stage in enumerate(stages, start=1)))
    _check_order(plan.stages)
    return plan


def _read_stage(values: object, number: int, kind: type[Stage]) -> Stage:
    name = values.get("name") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(name, str) or not name:
        raise OptionError("curriculum", f"stage {number} must be a mapping with a name, not {values!r}")
    known = [option.name for option in fields(kind)]
    for option in values:
        if option not in known:
            raise stage_error(name, unknown("option", str(option), known))
    with of_stage(name):
        return kind(**values)


def _check_order(stages: Sequence[Stage]) -> None:
    """Raise a ValueError if the stages do not fit together."""
    names = [stage.name for stage in stages]
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        wrong = None
        if stage.name in names[:number]:
            wrong = "its name must differ from those of the other stages"
        elif stage.name == TRAIN and not last:
            wrong = f"only the last stage may be called {TRAIN}, as the training split is"
        elif last != (stage.mark is None):
            wrong = "mark must be left out in the last stage" if last else "mark must be set in all stages but the last"
        elif stage.otherwise == OTHERWISE[1] and (number > 0 or last):
            wrong = "otherwise can be again only in the first stage, as starting again discards what was learnt before"
        elif last and (stage.also or stage.drawn()):
            wrong = (
                f"{' and '.join(('also', *stage.drawn()))} must be left out: the last stage draws the training split"
            )
        for other in stage.also:
            if other not in (*names[:-1], TRAIN) or other == stage.name:
                others = [name for name in names[:-1] if name != stage.name]
                wrong = unknown("other stage", other, [*others, TRAIN])
        if wrong is not None:
            raise stage_error(stage.name, wrong)


def stage_error(name: str, wrong: str) -> OptionError:
    """Return the error that something is wrong with a stage of a curriculum."""
    return OptionError("curriculum", f"stage {name!r}: {wrong}")


@contextmanager
def of_stage(name: str) -> Iterator[None]:
    """Make an error that names an option of a stage one of the option ``curriculum``."""
    try:
        yield
    except OptionError as error:
        raise stage_error(name, str(error)) from None
