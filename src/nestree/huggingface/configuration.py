"""The configuration of a model, as transformers keeps it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from nestree.encoders.registry import ENCODERS, build
from nestree.errors import within
from nestree.models import Classifier, ClassifierOptions

MODEL_TYPE = "nestree"
"""The key ``model_type`` of ``config.json``."""

ENCODER = "rir-ebt-grc"
"""Default encoder."""


class NestreeConfig(PretrainedConfig):
    """What [`nestree.huggingface.NestreeForSequenceClassification`][] is built from.

    Args:
        encoder: ``name``, a key of ``nestree.ENCODERS``, and its options; None for the default encoder.
        classifier: options of the layers around it: those of [`nestree.models.ClassifierOptions`][].
        vocab_size: number of token ids, padding (0) included.
        sides: 1, or 2 for pairs of texts.
        max_tokens: tokens per text, further ones are left out; None for no limit.
        empty_token_id: the token that stands for a text without tokens.
        kwargs: of ``transformers.PretrainedConfig``, such as ``num_labels``.

    Raises:
        ValueError: no such encoder or option, or a value is out of range.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        encoder: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None,
        vocab_size: int = 256,
        sides: int = 1,
        max_tokens: int | None = None,
        empty_token_id: int = 1,
        pad_token_id: int = 0,
        **kwargs: Any,
    ) -> None:
        options = dict(encoder or {})
        name = options.pop("name", ENCODER)
        if name not in ENCODERS:
            raise ValueError(f"encoder name must be one of {', '.join(ENCODERS)}, not {name!r}")
        with within("encoder"):
            made = ENCODERS[name](**options)
        # All options are kept, so that another default in a later version changes nothing.
        self.encoder = {"name": name, **dataclasses.asdict(made)}
        self.classifier = dataclasses.asdict(ClassifierOptions(**dict(classifier or {})))
        self.vocab_size = vocab_size
        self.sides = sides
        self.max_tokens = max_tokens
        self.empty_token_id = empty_token_id
        super().__init__(**{**kwargs, "pad_token_id": pad_token_id})

    @property
    def hidden_size(self) -> int:
        """Width of the encoder."""
        return self.encoder["dim"]

    def build(self) -> Classifier:
        """Return a freshly initialized model."""
        return Classifier(
            build(**self.encoder),
            vocabulary_size=self.vocab_size,
            classes=self.num_labels or 2,
            sides=self.sides,
            options=ClassifierOptions(**self.classifier),
        )
