"""What a comparison compares: a recipe, perhaps with options of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nestree.comparison.budget import LIMITS, Budget
from nestree.config.config import Config
from nestree.config.overrides import configure
from nestree.encoders.rir import INFERENCES
from nestree.errors import OptionError, UserError, located
from nestree.evaluation.evaluate_run import BOTH
from nestree.recipes import load_recipe


@dataclass(frozen=True)
class Contender:
    """A recipe under a label, with options of its own that come after those that all share."""

    label: str
    recipe: str
    """Name, or path of a YAML file."""
    options: tuple[str, ...] = ()
    """As ``--encoder.s4d=false``."""

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Read ``RECIPE``, ``RECIPE:option=value,option=value``, or either with ``LABEL=`` before it.

        Examples:
            >>> Contender.parse("no S4D=listops-rir:encoder.s4d=false")
            Contender(label='no S4D', recipe='listops-rir', options=('--encoder.s4d=false',))

        Raises:
            UserError: it is none of these.
        """
        head, colon, tail = text.partition(":")
        label, equals, recipe = head.rpartition("=")
        label = label.strip() if equals else text
        parts = tail.split(",") if colon else []
        if not label or not recipe or any(not re.fullmatch(r"[\w.]+=.+", part.strip()) for part in parts):
            raise UserError(f"{text!r} must be RECIPE, RECIPE:option=value,... or LABEL=RECIPE:option=value,...")
        return cls(label, recipe, tuple(f"--{part.strip()}" for part in parts))

    @property
    def folder(self) -> str:
        """A folder's name that says which it is."""
        return re.sub(r"[^\w.=-]+", "-", self.label.removesuffix(".yaml")).strip("-.") or "run"

    def config(self, shared: Sequence[str], budget: Budget) -> Config:
        """Return its configuration under a budget.

        Raises:
            UserError: names the contender and the option.
        """
        arguments = [*shared, *self.options]
        for limit in LIMITS:
            if any(re.match(rf"--trainer\.{limit}(=|$)", word) for word in arguments):
                raise OptionError(f"trainer.{limit}", "must be left out: in a comparison the budget ends a training")
        with located(self.label):
            return budget.of(configure(load_recipe(self.recipe).values, arguments))


def inferences(config: Config, chosen: str | None) -> list[str | None]:
    """Return how a contender is to read its tests.

    Args:
        config: its configuration.
        chosen: grouped, flat or both, where the encoder knows such a thing; None: as configured.
    """
    configured = getattr(config.encoder, "inference", None)
    if configured is None:
        return [None]
    return list(INFERENCES) if chosen == BOTH else [chosen or configured]
