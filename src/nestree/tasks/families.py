"""Which tests of a task belong on one chart."""

from __future__ import annotations

from dataclasses import dataclass

MEAN_LENGTH = "mean length, tokens"
"""The axis of families whose tests differ in length; where a test stands is measured, not declared."""


@dataclass(frozen=True)
class Claim:
    """A published accuracy, for a chart to compare with."""

    accuracy: float
    """At least this share of right answers."""
    until: float
    """Where on the family's axis the claim ends."""
    about: str
    """Who claims what, in a few words."""


@dataclass(frozen=True)
class Family:
    """Tests that differ in one thing only, so that a line may join them, or that just stand side by side."""

    name: str
    """In a word, for captions."""
    title: str
    """What is tested, to stand above the chart."""
    axis: str | None = None
    """What the tests differ in: [`MEAN_LENGTH`][], or what each split's ``place`` counts; None: they stand side by side
    under their names."""
    trained: float | None = None
    """Up to where on the axis there are training examples; None where that is not known (of [`MEAN_LENGTH`][] the run
    knows it)."""
    claim: Claim | None = None
    """What is published of these tests."""

    @property
    def by_length(self) -> bool:
        """Whether tests stand at their mean length."""
        return self.axis == MEAN_LENGTH


TESTS = Family("tests", "Tests")
"""Tests of which nothing more is known."""
