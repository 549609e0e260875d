"""Reading inputs for the page, with encoder options that may change with every request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from nestree.config.selection import measured
from nestree.encoders.rir import INFERENCES
from nestree.errors import OptionError, UserError
from nestree.evaluation.predictions import Prediction, Threshold, prediction
from nestree.evaluation.readings import Reading, read
from nestree.evaluation.shown import Shown
from nestree.models import Classifier
from nestree.runs import Run, build_model, load
from nestree.serve.examples import examples, random_lengths, right_answer
from nestree.tasks.target import target_of
from nestree.trees import ParsedTree
from nestree.trees.scores import GoldTree, bracket_f1
from nestree.trees.svg import draw_svg

WIDTHS = (8, 200)
"""Range of the maximal number of tokens and folded parts in a drawing."""

BEAMS = 16
ARITY = 60
"""Upper ends of the sliders, or twice the trained value if that is larger."""

LISTED = 10
"""Number of the most probable labels in an answer, unless a request asks for another."""

KEPT_MODELS = 16


class Refused(ValueError):
    """An input or an option is invalid; the message is one line for the user of the page."""


class Reader:
    """A run's model, safe to use from several threads.

    Each combination of options has its own model object; all share the weights. So requests cannot change each other's
    options.

    Args:
        run: a run with weights.
        max_tokens: maximal length of an input, both sides of a pair together.

    Raises:
        UserError: as for [`nestree.runs.loading.load`][].
    """

    def __init__(self, run: Run, *, max_tokens: int = 1000) -> None:
        self.run = run
        self.task = run.task
        self.max_tokens = max_tokens
        self._weights = load(run).requires_grad_(requires_grad=False).state_dict()
        self._models: dict[tuple[tuple[str, Any], ...], Classifier] = {}
        self._lock = threading.Lock()

    def about(self) -> dict[str, Any]:
        """Return what the page needs at its start, as JSON values: task, controls, examples and limits."""
        shown = examples(self.task)
        measure, value = measured(self.run.about())
        return {
            "run": self.run.title,
            "recipe": self.run.config.recipe,
            "encoder": self.run.config.encoder_name,
            "task": self.task.name,
            "measured": [measure.name, value, measure.share] if value is not None else None,
            "sides": self.task.sides,
            "labels": list(self.task.label_names),
            "max_tokens": self.max_tokens,
            "controls": self.controls(),
            "widths": list(WIDTHS),
            "examples": [list(texts) for texts in shown],
            "random": random_lengths(self.task, self.max_tokens),
        }

    def controls(self) -> list[dict[str, Any]]:
        """Return the encoder's options that the page can change, each with its range and value."""
        options = self.run.config.encoder
        names = {field.name for field in fields(options)}
        found: list[dict[str, Any]] = []
        for name, label, least, most in (("beam_size", "Beam width", 1, BEAMS), ("arity", "Arity", 2, ARITY)):
            if name in names:
                value = getattr(options, name)
                found.append(
                    {"name": name, "label": label, "least": least, "most": max(most, 2 * value), "value": value}
                )
        if "inference" in names:
            value = getattr(options, "inference")  # noqa: B009 (only RIR's options have it)
            found.append({"name": "inference", "label": "Inference", "choices": list(INFERENCES), "value": value})
        return found

    def read(
        self,
        texts: Sequence[str],
        options: Mapping[str, Any],
        *,
        width: int = 100,
        top: int | None = None,
        threshold: float | None = None,
        abstain: str | None = None,
    ) -> dict[str, Any]:
        """Return the model's reading of an input, as JSON values; an empty text has no label, but a reason.

        Args:
            texts: one text, or two for pairs.
            options: encoder options by name; the others are as in training.
            width: maximal number of tokens and folded parts in a drawing.
            top: number of the most probable labels to list; None: ten, or all if there are fewer.
            threshold: a label that is less probable is not given; None: the most probable label always is.
            abstain: what stands in its place.

        Raises:
            Refused: the input or an option is invalid; says why.
        """
        chosen = self._checked(options)
        if isinstance(width, bool) or not isinstance(width, int) or not WIDTHS[0] <= width <= WIDTHS[1]:
            raise Refused(f"width must be a whole number from {WIDTHS[0]} to {WIDTHS[1]}")
        least = self._threshold(top, threshold, abstain)
        sequences = self._encoded(texts)
        with self._lock:
            began = time.perf_counter()  # without the time spent waiting
            (reading,) = read(self._model(chosen), self.task, [sequences or None])
        read_at = time.perf_counter()
        golds = [self.task.gold(sequence) for sequence in sequences] or [None] * self.task.sides
        sides = [_side(trees, gold, width) for trees, gold in zip(reading.sides, golds, strict=True)]
        drawn_at = time.perf_counter()
        return {
            **self._answer(reading, least, top),
            "right": right_answer(self.task, sequences) if sequences else None,
            "tokens": [len(sequence) for sequence in sequences],
            "sides": sides,
            "options": chosen,
            "milliseconds": {"reading": 1000 * (read_at - began), "drawing": 1000 * (drawn_at - read_at)},
        }

    def _threshold(self, top: int | None, threshold: float | None, abstain: str | None) -> Threshold:
        """Check what a request asks for besides the reading."""
        if abstain is not None and not isinstance(abstain, str):
            raise Refused("abstain must be a string")
        if abstain is not None and _half_a_character(abstain):
            raise Refused("abstain contains half of a character (a lone surrogate)")
        try:
            target = target_of(self.task)
            Shown(top=top).of(target)
            chosen = Threshold(threshold, abstain)
            chosen.check(target)
            return chosen
        except OptionError as error:
            raise Refused(str(error)) from None

    def _answer(self, reading: Reading, threshold: Threshold, top: int | None) -> dict[str, Any]:
        """Return label, probability, the most probable labels, and why there is no label if there is none."""
        target = target_of(self.task)
        found: Prediction = prediction(target, reading.probabilities, threshold)
        listed = top or min(LISTED, len(target.names))
        return {
            "label": found.label,
            "probability": None if math.isnan(found.probability) else found.probability,
            "reason": found.reason,
            "labels": [list(pair) for pair in found.top(listed)],
            **({"given": list(found.labels)} if found.labels is not None else {}),
            **({"number": found.number} if found.number is not None else {}),
        }

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all options that can be changed."""
        controls = {control["name"]: control for control in self.controls()}
        for name, value in options.items():
            control = controls.get(name)
            if control is None:
                raise Refused(f"encoder {self.run.config.encoder_name} has no {str(name)[:40]!r} to change")
            if "choices" in control:
                if value not in control["choices"]:
                    raise Refused(f"{name} must be one of {', '.join(control['choices'])}")
            elif isinstance(value, bool) or not isinstance(value, int):
                raise Refused(f"{name} must be a whole number")
            elif not control["least"] <= value <= control["most"]:
                raise Refused(f"{name} must be from {control['least']} to {control['most']}, not {value}")
        return {name: options.get(name, control["value"]) for name, control in controls.items()}

    def _encoded(self, texts: Sequence[str]) -> tuple[Any, ...]:
        """Return the token ids of each text; none if one is empty."""
        for text in texts:
            if _half_a_character(text):
                raise Refused("the text contains half of a character (a lone surrogate)")
        if not all(text.strip() for text in texts):
            return ()
        try:
            sequences = self.task.encode(*texts)
        except ValueError as error:
            raise Refused(" ".join(str(error).split())) from None
        tokens = sum(len(sequence) for sequence in sequences)
        if tokens > self.max_tokens:
            raise Refused(f"{tokens:,} tokens are too many: the limit is {self.max_tokens:,} (option max_tokens)")
        return sequences

    def _model(self, options: Mapping[str, Any]) -> Classifier:
        """Return the model with these options; the caller has the lock."""
        key = tuple(sorted(options.items()))
        model = self._models.pop(key, None)
        if model is None:
            try:
                model = build_model(self.run.config, self.task, **options)
            except UserError as error:
                raise Refused(str(error)) from None
            model.load_state_dict(self._weights, assign=True)
            model = model.requires_grad_(requires_grad=False).eval()
        self._models[key] = model  # moved to the end: the least recently used model is removed first
        while len(self._models) > KEPT_MODELS:
            del self._models[next(iter(self._models))]
        return model


def _half_a_character(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _side(trees: Sequence[ParsedTree], gold: GoldTree | None, width: int) -> list[dict[str, Any]]:
    """Return a sequence's trees as JSON values, most probable first."""
    found = []
    for number, parsed in enumerate(trees, start=1):
        caption = f"tree {number} of {len(trees)}, probability {parsed.probability:.2f}"
        found.append(
            {
                "probability": parsed.probability,
                "height": parsed.tree.height,
                "groups": [len(level) for level in parsed.groups[:-1]],
                "f1": None if gold is None else bracket_f1(parsed.tree, gold.tree),
                "brackets": parsed.brackets(),
                "svg": draw_svg([(caption, parsed)], width=width, style=False),
            }
        )
    return found
