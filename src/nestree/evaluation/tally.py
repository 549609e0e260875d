"""Counting predictions, for the summary after the last one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nestree.evaluation.intervals import wilson
from nestree.evaluation.predictions import EMPTY, UNSURE, Prediction, Threshold

LISTED = 5
"""Number of labels that a message lists."""


@dataclass
class Tally:
    """Counts over predictions."""

    labels: Sequence[str]
    """The labels that the model can give; others are equal to one of them if their NFC forms are."""
    rows: int = 0
    empty: int = 0
    """Rows with an empty text."""
    unsure: int = 0
    """Rows below the threshold."""
    judged: int = 0
    """Rows with a correct label to compare with; those below the threshold are left out."""
    right: int = 0
    """Judged rows whose prediction is correct."""
    empty_judged: int = 0
    unseen: Counter[str] = field(default_factory=Counter)
    """Judged rows by their correct label, if training has not seen it."""

    def add(self, found: Prediction, label: str = "") -> None:
        """Count a prediction; ``label`` is the correct label, empty if there is none."""
        self.rows += 1
        self.empty += found.reason == EMPTY
        self.unsure += found.reason == UNSURE
        if not label or found.reason == UNSURE:
            return
        known = self._by_form.get(_form(label))
        self.judged += 1
        self.right += known is not None and found.label == known
        self.empty_judged += found.reason == EMPTY
        if known is None:
            self.unseen[label] += 1

    @cached_property
    def _by_form(self) -> dict[str, str]:
        return {_form(label): label for label in self.labels}

    def unanswered(self, what: str, threshold: Threshold) -> list[str]:
        """Return messages on the rows without a label; ``what`` is one of them, such as "row"."""
        found = []
        if self.empty:
            found.append(f"{_count(self.empty, what)} of {self.rows:,} with an empty text: no label")
        if threshold.threshold is not None and self.rows:
            given = "no label" if threshold.abstain is None else f"the label {threshold.abstain!r}"
            found.append(
                f"{_count(self.unsure, what)} of {self.rows:,} ({self.unsure / self.rows:.1%}) below the threshold of "
                f"{threshold.threshold:g}: {given}"
            )
        return found

    def accuracy(self, column: str, threshold: Threshold) -> list[str]:
        """Return messages on the accuracy, if any row has a label in ``column``."""
        if not self.judged:
            return []
        low, high = wilson(self.right, self.judged)
        which = "" if threshold.threshold is None else "at or above the threshold "
        found = [
            f"accuracy {self.right / self.judged:.4f} on the {_count(self.judged, 'row')} {which}with a label in "
            f"{column!r} (95 % interval {low:.4f} to {high:.4f})"
        ]
        if self.unseen:
            listed = ", ".join(f"{label!r} {count:,}" for label, count in self.unseen.most_common(LISTED))
            more = ", ..." * (len(self.unseen) > LISTED)
            rows = _count(self.unseen.total(), "row")
            found.append(f"{rows} with a label that was not in training ({listed}{more}): counted as wrong")
        if self.empty_judged:
            found.append(f"{_count(self.empty_judged, 'row')} with an empty text and a label: counted as wrong")
        return found


def _form(label: str) -> str:
    return unicodedata.normalize("NFC", label)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
