"""Counting predictions, for the summary after the last one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nestree.evaluation.intervals import wilson
from nestree.evaluation.number_measures import measure_numbers
from nestree.evaluation.predictions import EMPTY, UNSURE, Prediction, Threshold
from nestree.tasks.target import Target
from nestree.tasks.text.answers import Answer

LISTED = 5
"""Number of labels that a message lists."""


@dataclass
class Tally:
    """Counts over predictions."""

    target: Target
    """What the answers are; labels are equal to one of its names if their NFC forms are."""
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
    numbers: list[tuple[float, float]] = field(default_factory=list)
    """Predicted and correct number of the judged rows, where answers are numbers."""
    decisions: Counter[str] = field(default_factory=Counter)
    """Labels ``given``, ``wanted`` and ``both`` in judged rows, where there may be several."""

    def add(self, found: Prediction, answer: Answer | None = None) -> None:
        """Count a prediction; ``answer`` is the correct one, None if it is not known."""
        self.rows += 1
        self.empty += found.reason == EMPTY
        self.unsure += found.reason == UNSURE
        if answer is None or found.reason == UNSURE:
            return
        self.judged += 1
        self.empty_judged += found.reason == EMPTY
        if isinstance(answer, float | int):
            if found.number is not None:
                self.numbers.append((found.number, answer))
            return
        wanted = (answer,) if isinstance(answer, str) else answer
        known = {name for label in wanted if (name := self._by_form.get(_form(label))) is not None}
        self.unseen.update(label for label in wanted if _form(label) not in self._by_form)
        if isinstance(answer, str):
            self.right += bool(known) and found.label in known
            return
        given = set(found.labels or ())
        self.right += found.labels is not None and given == known and len(known) == len(wanted)
        self.decisions.update(given=len(given), wanted=len(wanted), both=len(given & known))

    @cached_property
    def _by_form(self) -> dict[str, str]:
        return {_form(label): label for label in self.target.names}

    def unanswered(self, what: str, threshold: Threshold) -> list[str]:
        """Return messages on the rows without a label; ``what`` is one of them, such as "row"."""
        found = []
        if self.empty:
            found.append(f"{_count(self.empty, what)} of {self.rows:,} with an empty text: no label")
        if threshold.threshold is not None and self.rows and self.target.kind == "class":
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
        if self.target.kind == "number":
            return self._of_numbers(column)
        low, high = wilson(self.right, self.judged)
        which = "" if threshold.threshold is None else "at or above the threshold "
        several = self.target.kind == "labels"
        which = "" if several else which
        f1 = 2 * self.decisions["both"] / max(1, self.decisions["given"] + self.decisions["wanted"])
        found = [
            f"{f'micro F1 {f1:.4f}, exact match' if several else 'accuracy'} {self.right / self.judged:.4f} on the "
            f"{_count(self.judged, 'row')} {which}with {'labels' if several else 'a label'} in "
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

    def _of_numbers(self, column: str) -> list[str]:
        """Return messages on the errors of numbers."""
        left_out = f"{_count(self.empty_judged, 'row')} with an empty text and a number: left out"
        if not self.numbers:
            return [left_out]
        predicted, wanted = np.array(self.numbers).T
        found = measure_numbers(predicted, wanted, mean=self.target.mean)
        correlation = "not defined" if found.pearson is None else f"{found.pearson:.4f}"
        between = "" if found.interval is None else " (95 % interval {:.4f} to {:.4f})".format(*found.interval)
        said = (
            f"Pearson correlation {correlation}{between}, mean squared error {found.mse:.4g}, mean absolute error "
            f"{found.mae:.4g} on the {_count(len(predicted), 'row')} with a number in {column!r}"
        )
        return [said, *([left_out] if self.empty_judged else [])]


def _form(label: str) -> str:
    return unicodedata.normalize("NFC", label)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
