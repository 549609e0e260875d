"""A whole model: token numbers in, logits out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from nestree.checks import check_at_least, check_probability
from nestree.encoders.contract import Encoder, Encoding
from nestree.layers import ClassificationHead
from nestree.recursions.draws import Draws

PADDING = 0
"""The token number that fills a batch up; its embedding is never read."""


@dataclass(frozen=True)
class ClassifierOptions:
    """What surrounds the encoder."""

    input_dropout: float = 0.1
    """Share of embedding features dropped in training."""
    head_hidden: int | None = 128
    """Width of the head's hidden layer; null for one plain linear layer."""
    head_dropout: float = 0.1
    """Share of features dropped in training before each layer of the head."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_probability("input_dropout", self.input_dropout)
        check_probability("head_dropout", self.head_dropout)
        if self.head_hidden is not None:
            check_at_least("head_hidden", self.head_hidden, 1)


class Classifier(nn.Module):
    """Embedding, encoder and classification head."""

    def __init__(
        self, encoder: Encoder, *, vocabulary_size: int, classes: int, options: ClassifierOptions | None = None
    ) -> None:
        """Put a model together.

        Args:
            encoder: any encoder; its ``dim`` is the width of the embedding too.
            vocabulary_size: how many token numbers, padding (0) included.
            classes: how many labels.
            options: dropout and head; None takes the defaults.

        Raises:
            ValueError: names what does not fit.
        """
        super().__init__()
        options = options or ClassifierOptions()
        self.vocabulary_size = check_at_least("vocabulary_size", vocabulary_size, 2)
        self.embedding = nn.Embedding(vocabulary_size, encoder.dim, padding_idx=PADDING)
        self.input_dropout = nn.Dropout(options.input_dropout)
        self.encoder = encoder
        self.head = ClassificationHead(encoder.dim, classes, hidden=options.head_hidden, dropout=options.head_dropout)

    def encode(
        self,
        tokens: Integer[Tensor, "b l"],
        lengths: Integer[Tensor, " b"],
        *,
        trees: bool = False,
        draws: Draws | None = None,
    ) -> Encoding:
        """Return the encoder's roots, with the trees when asked for."""
        states = self.input_dropout(self.embedding(tokens.long()))
        return self.encoder(states, lengths, trees=trees, draws=draws)

    def forward(
        self, tokens: Integer[Tensor, "b l"], lengths: Integer[Tensor, " b"], *, draws: Draws | None = None
    ) -> Float[Tensor, "b classes"]:
        """Return the logits (B, classes) of token numbers (B, L) with ``lengths`` (B,)."""
        return self.head(self.encode(tokens, lengths, draws=draws).root)

    def parameter_count(self) -> int:
        """Return how many numbers training may change."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


def pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return sequences of token numbers as (B, L) with zeros behind, and their lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PADDING), lengths
