"""Starting a training from another run's weights, whose labels and words may be others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nestree.data.text import FIRST_WORD, normal
from nestree.errors import OptionError, UserError
from nestree.models import Classifier
from nestree.runs import Run
from nestree.tasks import Task
from nestree.tasks.text import TextTask

OPTION = "trainer.start"

MOST_NAMES = 5
"""Maximal number of new labels that are named."""


def start_from(start: str, model: Classifier, task: Task) -> str:
    """Load the weights of the run ``start`` into ``model``, and return a line that says what is new.

    Embedding rows of tasks on texts are matched by word, and rows of the head's last layer by label. What the run
    does not have keeps its values.

    Raises:
        UserError: the weights do not fit the model, or the tasks have nothing in common.
    """
    try:
        run = Run.open(start)
        match = None
        if task.sides != run.task.sides:
            raise UserError(f"it reads {_inputs(run.task)}, and this task has {_inputs(task)}")
        if isinstance(task, TextTask) or isinstance(run.task, TextTask):
            match = _match(run.task, task)
        changed = None if match is None else lambda state: match.rows_of(model, state)
        parts = run.read_weights(model, whole=False, changed=changed)
    except UserError as error:
        raise OptionError(OPTION, f"cannot be used: {error}") from None
    new = "" if match is None else match.line()
    return f"{start}{new}" + (f"; newly initialised: {', '.join(parts)}" if parts else "")


@dataclass(frozen=True)
class _Match:
    """For each word id and each label, its place in the other run; None if it is new there."""

    words: list[int | None]
    labels: list[int | None]
    label_names: Sequence[str]

    def rows_of(self, model: Classifier, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the other run's weights with the rows of this model's words and labels."""
        last = f"head.layers.{len(model.head.layers) - 1}"
        places = {"embedding.weight": self.words, f"{last}.weight": self.labels, f"{last}.bias": self.labels}
        own = model.state_dict()
        return {
            name: _rows(tensor, own[name], places[name]) if name in places and name in own else tensor
            for name, tensor in state.items()
        }

    def line(self) -> str:
        """Say how many words and labels are new, and which labels."""
        words = sum(place is None for place in self.words)
        names = [repr(name) for name, place in zip(self.label_names, self.labels, strict=True) if place is None]
        new = [f"{words:,} of {len(self.words) - FIRST_WORD:,} words"] if words else []
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            shown = f"{', '.join(names[:MOST_NAMES])}{more}"
            new.append(f"{len(names)} of {len(self.labels)} labels ({shown})")
        return f"; new: {', '.join(new)}" if new else ""


def _match(before: Task, now: Task) -> _Match:
    """Find each word and label of the task ``now`` in ``before``.

    Raises:
        UserError: their tokens are of another kind, or they have nothing in common.
    """
    if not (isinstance(before, TextTask) and isinstance(now, TextTask)):
        raise UserError(f"it was trained on task {before.name}, whose tokens are not those of {now.name}")
    if before.level != now.level:
        problem = f"its tokens are of level {before.level}, and this training's of level {now.level}"
        raise UserError(f"{problem}: data.level must be {before.level}")
    labels = _places(before.label_names, now.label_names)
    words: list[int | None] = list(range(now.vocabulary_size))  # bytes
    if before.vocabulary is not None and now.vocabulary is not None:
        found = _places(before.vocabulary.words, now.vocabulary.words)
        words = [*range(FIRST_WORD), *(None if place is None else place + FIRST_WORD for place in found)]
        if not any(place is not None for place in [*found, *labels]):
            raise UserError("it has no word and no label in common with this training")
    return _Match(words, labels, now.label_names)


def _places(before: Sequence[str], now: Sequence[str]) -> list[int | None]:
    """Return where in ``before`` each name is; runs of earlier versions have names that are not normalised."""
    places = {form: place for place, name in enumerate(before) for form in (normal(name), name)}
    return [places.get(name, places.get(normal(name))) for name in now]


def _rows(before: Tensor, now: Tensor, places: Sequence[int | None]) -> Tensor:
    """Return ``now`` with the rows that are in ``before``; ``before`` itself if its rows are of another shape."""
    if before.shape[1:] != now.shape[1:] or len(places) != len(now):
        return before
    known = {row: place for row, place in enumerate(places) if place is not None}
    if max(known.values(), default=0) >= len(before):
        raise UserError(f"its weights have {len(before):,} rows where its words or labels are more: it is damaged")
    rows = now.clone()
    rows[list(known)] = before[list(known.values())].to(rows)
    return rows


def _inputs(task: Task) -> str:
    return "pairs" if task.sides == 2 else "single sequences"
