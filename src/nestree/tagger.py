"""A model that labels every token: token numbers in, logits for each token out."""

from __future__ import annotations

from jaxtyping import Float, Integer
from torch import Tensor, nn

from nestree.checks import check_at_least, check_tokens
from nestree.encoders.base import Encoder
from nestree.encoders.tokens import Contextualizer
from nestree.layers import ClassificationHead
from nestree.models import ClassifierOptions


class Tagger(nn.Module):
    """Embedding, one or more encoders that return token states, and a classification head on every token.

    Args:
        encoders: applied in order, each to the token states of the previous one; all of the same width.
        vocabulary_size: number of token numbers, padding (0) included.
        classes: number of labels.
        options: dropout, embedding and head; None for the defaults.

    Raises:
        ValueError: encoders of different widths, or a size out of range; names the argument.

    Examples:
        >>> encoder = nestree.build("rir-ebt-grc", dim=16, token_rounds=1)
        >>> model = nestree.Tagger(encoder, vocabulary_size=16, classes=10)
        >>> model(torch.tensor([[1, 7, 8, 5], [9, 0, 0, 0]]), torch.tensor([4, 1])).shape
        torch.Size([2, 4, 10])
    """

    def __init__(
        self, *encoders: Encoder, vocabulary_size: int, classes: int, options: ClassifierOptions | None = None
    ) -> None:
        super().__init__()
        options = options or ClassifierOptions()
        if not encoders or any(encoder.dim != encoders[0].dim for encoder in encoders):
            raise ValueError(
                f"encoders must be one or more of the same width, not of {[encoder.dim for encoder in encoders]}"
            )
        dim = encoders[0].dim
        width = options.embedding_dim or dim
        self.vocabulary_size = check_at_least("vocabulary_size", vocabulary_size, 2)
        self.embedding = options.embedding(vocabulary_size, width)
        self.projection = nn.Identity() if options.embedding_dim is None else nn.Linear(width, dim)
        self.word_dropout = options.dropping_words()
        self.input_dropout = options.dropping_features(vocabulary_size)
        self.layers = nn.ModuleList(Contextualizer(encoder) for encoder in encoders)
        self.head = ClassificationHead(dim, classes, hidden=options.head_hidden, dropout=options.head_dropout)

    def forward(self, tokens: Integer[Tensor, "b l"], lengths: Integer[Tensor, " b"]) -> Float[Tensor, "b l classes"]:
        """Return the logits (B, L, classes) of every token; those of the padding are arbitrary.

        Raises:
            ValueError: a token number is not in the vocabulary, or as for [`Encoder.forward`][].
        """
        check_tokens(tokens, self.vocabulary_size)
        states = self.projection(self.input_dropout(self.word_dropout(self.embedding(tokens.long()))))
        for layer in self.layers:
            states = layer(states, lengths)
        return self.head(states.flatten(0, 1)).view(*tokens.shape, -1)
