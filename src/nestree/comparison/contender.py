"""A contender of a comparison: a recipe and options."""

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
    """A recipe with a label, and with options that override those of the comparison."""

    label: str
    recipe: str
    """Name, or path of a YAML file."""
    options: tuple[str, ...] = ()
    """Such as ``--encoder.s4d=false``."""

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Read ``RECIPE`` or ``RECIPE:option=value,option=value``, either with an optional prefix ``LABEL=``.

        Examples:
            >>> Contender.parse("no S4D=listops-rir:encoder.s4d=false")
            Contender(label='no S4D', recipe='listops-rir', options=('--encoder.s4d=false',))

        Raises:
            UserError: the text has another form.
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
        """Name of the contender's folder, made from its label."""
        return re.sub(r"[^\w.=-]+", "-", self.label.removesuffix(".yaml")).strip("-.") or "run"

    def config(self, shared: Sequence[str], budget: Budget) -> Config:
        """Return the contender's configuration with a budget.

        Raises:
            UserError: an option is invalid or limits training; names the contender and the option.
        """
        arguments = [*shared, *self.options]
        for limit in LIMITS:
            if any(re.match(rf"--trainer\.{limit}(=|$)", word) for word in arguments):
                raise OptionError(
                    f"trainer.{limit}", "must be left out: in a comparison only the budget limits training"
                )
        with located(self.label):
            return budget.of(configure(load_recipe(self.recipe).values, arguments))


def inferences(config: Config, chosen: str | None) -> list[str | None]:
    """Return the kinds of inference to evaluate a contender with; [None] for encoders without a choice.

    Args:
        config: the contender's configuration.
        chosen: grouped, flat or both; None for the configured one.
    """
    configured = getattr(config.encoder, "inference", None)
    if configured is None:
        return [None]
    return list(INFERENCES) if chosen == BOTH else [chosen or configured]
