"""Marks at the nodes of a drawn tree: a short sign of a label, on the label's colour."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len

from nestree.trees.folding import printable_line, shorten

SIGN = 8
"""Maximal width of a sign, in columns."""

# Red and blue, unlike red and green, are told apart by nearly everyone; the sign says the same without colour.
# After ColorBrewer's RdBu.
MIDDLE = "#d9d9d9"
REDS = ("#ef8a62", "#b2182b")
BLUES = ("#67a9cf", "#2166ac")

# Okabe and Ito's palette, without black and grey.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")

SENTIMENT = {
    "very negative": ("--", -1.0),
    "negative": ("-", -0.5),
    "neg": ("-", -0.5),
    "neutral": ("0", 0.0),
    "positive": ("+", 0.5),
    "pos": ("+", 0.5),
    "very positive": ("++", 1.0),
}
"""Sign and position of labels of sentiment, from negative to positive."""


@dataclass(frozen=True)
class Mark:
    """What is drawn at a node."""

    sign: str
    """A few characters."""
    colour: str
    """Background, ``#rrggbb``."""
    about: str
    """What the sign stands for, in full."""

    @property
    def ink(self) -> str:
        """Black or white, whichever has the higher contrast with the background (WCAG 2), as ``#rrggbb``."""
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(self.colour)]
        luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


@dataclass(frozen=True)
class LabelScale:
    """Signs and colours of a task's labels.

    Labels of sentiment (from "very negative" to "very positive"), integers, and any two labels are on a scale from red
    through grey to blue; other labels have a hue each. With more than two labels on a scale a node has the colour of
    its label; otherwise the colour fades to grey as the probability falls to chance.
    """

    labels: tuple[str, ...]

    @cached_property
    def positions(self) -> dict[str, float] | None:
        """Position of each label from -1 to 1; None if the labels have no order."""
        lower = [label.lower() for label in self.labels]
        if set(lower) <= SENTIMENT.keys():
            found = [SENTIMENT[label][1] for label in lower]
        elif all(label.removeprefix("-").isdecimal() for label in self.labels):
            found = [float(label) for label in self.labels]
        elif len(self.labels) == 2:
            found = [-1.0, 1.0]
        else:
            return None
        low, high = min(found), max(found)
        if set(lower) <= SENTIMENT.keys() and low < 0 < high:
            low, high = -max(-low, high), max(-low, high)  # neutral stays in the middle
        wide = high - low or 1.0
        return {label: 2 * (place - low) / wide - 1 for label, place in zip(self.labels, found, strict=True)}

    @cached_property
    def signs(self) -> dict[str, str]:
        """Sign of each label: unique, at most [`SIGN`][] columns wide."""
        lower = [label.lower() for label in self.labels]
        signs = [SENTIMENT[label][0] for label in lower] if set(lower) <= SENTIMENT.keys() else list(self.labels)
        signs = [shorten(printable_line(sign), SIGN) for sign in signs]
        if len(set(signs)) < len(signs):
            signs = [f"#{number}" for number in range(1, len(signs) + 1)]
        return dict(zip(self.labels, signs, strict=True))

    @property
    def width(self) -> int:
        """Width of the widest sign, in columns."""
        return max(map(cell_len, self.signs.values()))

    def colour(self, label: str, probability: float = 1.0) -> str:
        """Return the colour of a node with this label, ``#rrggbb``."""
        count = len(self.labels)
        strength = max(0.0, (probability * count - 1) / (count - 1)) if count > 1 else 1.0
        if self.positions is None:
            number = self.labels.index(label)
            return mix(MIDDLE, HUES[number] if count <= len(HUES) else _hue(number / count), strength)
        place = self.positions[label] if count > 2 else self.positions[label] * strength
        return on_scale(place)

    def mark(self, label: str, probability: float, text: str) -> Mark:
        """Return the mark of a node over ``text`` with this label and probability."""
        return Mark(self.signs[label], self.colour(label, probability), f"{text}: {label} ({probability:.2f})")

    def mark_of(self, label: str, probability: float, text: str) -> Mark:
        """Return the mark of a node over ``text`` that shows the probability of one label, whichever is its own."""
        return Mark(f"{100 * probability:.0f}%", on_scale(probability), f"{text}: {label} {probability:.2f}")

    def legend(self) -> list[Mark]:
        """Return the mark of every label, on a scale in its order."""
        order: Sequence[str] = self.labels
        if (places := self.positions) is not None:
            order = sorted(self.labels, key=lambda label: places[label])
        return [Mark(self.signs[label], self.colour(label), label) for label in order]


def on_scale(place: float) -> str:
    """Return the colour at ``place`` from -1 (red) through 0 (grey) to 1 (blue), as ``#rrggbb``."""
    light, full = REDS if place < 0 else BLUES
    share = 2 * abs(place)
    return mix(MIDDLE, light, share) if share <= 1 else mix(light, full, share - 1)


def mix(colour: str, other: str, share: float) -> str:
    """Return the colour with ``share`` of ``other`` mixed in."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return _hex([first + (second - first) * share for first, second in pairs])


def _hue(turn: float) -> str:
    return _hex(list(colorsys.hls_to_rgb(turn, 0.45, 0.7)))


def _channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def _hex(channels: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
