"""Families of tests, which are drawn in one chart."""

from __future__ import annotations

from dataclasses import dataclass

MEAN_LENGTH = "mean length, tokens"
"""Axis of families whose tests differ in length; the positions of these tests are measured."""


@dataclass(frozen=True)
class Claim:
    """A published accuracy to compare with."""

    accuracy: float
    """Claimed minimal share of correct answers."""
    until: float
    """Largest position on the family's axis that the claim is for."""
    about: str
    """The claim and its source, in a few words."""


@dataclass(frozen=True)
class Family:
    """Tests that differ only in one number, and can be joined by a line, or tests without such an order."""

    name: str
    """Name for captions, one word."""
    title: str
    """Title of the chart."""
    axis: str | None = None
    """What the tests differ in: [`MEAN_LENGTH`][], or the unit of each split's ``place``; None: no axis."""
    trained: float | None = None
    """Largest position on the axis with training examples; None if unknown (for [`MEAN_LENGTH`][], each run records
    it)."""
    claim: Claim | None = None
    """Published accuracy on these tests."""

    @property
    def by_length(self) -> bool:
        """Whether the position of a test is its mean length."""
        return self.axis == MEAN_LENGTH


TESTS = Family("tests", "Tests")
"""Family of tests without an order."""
