"""Published figures of the models that ship with the package, and reproducing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, evaluate
from nestree.evaluation.record import as_configured, largest
from nestree.pretrained import pretrained_names
from nestree.runs import Run, load
from nestree.suggest import unknown

TOLERATED = 0.002
"""Share of the answers that may differ (but at least one answer): machines round differently."""


@dataclass(frozen=True)
class Figure:
    """A published result of a model that ships with the package."""

    run: Run
    seed: int
    """Seed of the test's examples."""
    result: Result

    @property
    def name(self) -> str:
        """Name for ``nestree reproduce``, such as ``listops-rir/900-1000/grouped``."""
        parts = (self.run.name, self.result.test, self.result.inference)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class Repetition:
    """A reproduced figure, on all of its examples or the first ones."""

    figure: Figure
    examples: int
    correct: int
    recorded: int
    """Number of correct answers on the same examples in the published result."""
    differing: int
    """Number of examples that were answered correctly in only one of the two results."""

    @property
    def holds(self) -> bool:
        """Whether the two results agree, up to [`TOLERATED`][] differences."""
        return self.differing <= max(1, int(TOLERATED * self.examples))


def figures(name: str | None = None) -> list[Figure]:
    """Return all published figures, those of a model, or those whose name begins with ``name``.

    Raises:
        UserError: there is no such figure.
    """
    models = pretrained_names()
    if name is not None and name.split("/")[0] not in models:
        raise UserError(unknown("model", name.split("/")[0], models))
    chosen = models if name is None else [name.split("/")[0]]
    found = [figure for model in chosen for figure in _of(Run.of_package(model))]
    if name is None or name in models:
        return found
    named = [figure for figure in found if figure.name == name or figure.name.startswith(f"{name}/")]
    if not named:
        raise UserError(unknown("figure", name, [figure.name for figure in found]))
    return named


def reproduce(figure: Figure, *, limit: int | None = None, advance: Callable[[int], None] | None = None) -> Repetition:
    """Evaluate a figure's model on the figure's examples, and compare example by example.

    Args:
        figure: the figure to reproduce.
        limit: use the first ``limit`` examples; None for all.
        advance: called with the number of examples after each batch.
    """
    run, before = figure.run, figure.result
    assert before.right is not None
    size = before.total.examples if limit is None else min(limit, before.total.examples)
    # The first generated examples do not depend on the size of the split; a sample of a file does.
    generated = run.task.protocol == "generated"
    examples = run.task.load(before.test, size=size if generated else before.total.examples).head(size)
    model = load(run, **({} if before.inference is None else {"inference": before.inference}))
    again = evaluate(model, examples, test=before.test, tokens=run.config.data.evaluation_tokens, advance=advance)
    assert again.right is not None
    now, then = (_bits(right, len(examples)) for right in (again.right, before.right))
    return Repetition(figure, len(examples), int(now.sum()), int(then.sum()), int((now != then).sum()))


def _of(run: Run) -> list[Figure]:
    """Return the figures of a run's current weights that can be compared by example, one per name."""
    comparable = [entry for entry in as_configured(run) if "right" in entry and entry["seed"] == run.config.data.seed]
    found = [Figure(run, entry["seed"], Result.from_dict(entry)) for entry in largest(comparable)]
    return sorted(found, key=lambda figure: (figure.result.mean_length, figure.name))


def _bits(digits: str, count: int) -> NDArray[np.bool_]:
    """Return the first ``count`` bits of hexadecimal digits, (count,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=count).astype(np.bool_)
