"""The whole model: token numbers in, logits out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from numpy.typing import NDArray
from torch import Tensor, nn

from nestree.buckets import pack, plan
from nestree.checks import (
    WIDEST,
    check_at_least,
    check_bool,
    check_lengths,
    check_positive,
    check_probability,
    check_tokens,
    real_positions,
)
from nestree.data.batches import PADDING
from nestree.data.batches import pad as pad
from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.inputs import as_lengths
from nestree.errors import OptionError
from nestree.layers import ClassificationHead
from nestree.layers.language_model import LanguageModel
from nestree.recursions.chain import Chain
from nestree.recursions.draws import Draws
from nestree.trees import Tree

LARGE_VOCABULARY = 1_000
LARGE_VOCABULARY_DROPOUT, SMALL_VOCABULARY_DROPOUT = 0.5, 0.1
"""Dropout rates of embeddings where none is given."""


@dataclass(frozen=True)
class ClassifierOptions:
    """Options of the layers around the encoder.

    Raises:
        ValueError: an option is out of range; names the option.
    """

    input_dropout: float | None = 0.1
    """Dropout rate of the embedding's features; null: 0.5 for a vocabulary of 1,000 and more, whose rare words a model
    would learn by heart, else 0.1."""
    word_dropout: float = 0.0
    """Share of tokens whose whole embedding is dropped during training."""
    embedding_scale: float = 1.0
    """Standard deviation of the initial embedding; of pretrained word vectors nothing is scaled."""
    head_hidden: int | None = 128
    """Width of the classification head's hidden layer; null: the head is a single linear layer."""
    head_dropout: float = 0.1
    """Dropout rate before each layer of the head."""
    embedding_dim: int | None = None
    """Width of the embedding, which a linear layer projects to the encoder's width; null: that width, no projection."""
    train_embedding: bool | None = None
    """Train the embedding: false freezes word vectors, and true also trains a language model (data.features); null:
    train everything but a language model."""

    def __post_init__(self) -> None:
        if self.input_dropout is not None:
            check_probability("input_dropout", self.input_dropout)
        check_probability("word_dropout", self.word_dropout)
        check_positive("embedding_scale", self.embedding_scale)
        check_probability("head_dropout", self.head_dropout)
        if self.train_embedding is not None:
            check_bool("train_embedding", self.train_embedding)
        for name in ("head_hidden", "embedding_dim"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1, WIDEST)

    def embedding(self, vocabulary_size: int, width: int) -> nn.Embedding:
        """Return a new embedding of that many tokens."""
        made = nn.Embedding(vocabulary_size, width, padding_idx=PADDING)
        if self.embedding_scale != 1.0:
            with torch.no_grad():
                made.weight.mul_(self.embedding_scale)
        made.weight.requires_grad_(self.train_embedding is not False)
        return made

    def dropping_features(self, vocabulary_size: int) -> nn.Module:
        """Return the dropout of the features of states."""
        own = LARGE_VOCABULARY_DROPOUT if vocabulary_size >= LARGE_VOCABULARY else SMALL_VOCABULARY_DROPOUT
        return nn.Dropout(own if self.input_dropout is None else self.input_dropout)

    def dropping_words(self) -> nn.Module:
        """Return the dropout of whole tokens of states (B, L, D) or (L, D)."""
        # Dropout1d, which zeroes the channels of (B, C, L), zeroes tokens here.
        return nn.Dropout1d(self.word_dropout) if self.word_dropout else nn.Identity()


class Classifier(nn.Module):
    """Embedding, encoder and classification head, for single sequences or for pairs.

    Both sides of a pair are encoded in one batch; the head reads ``[u; v; u * v; |u - v|]`` of their roots u and v.

    Args:
        encoder: any encoder; the embedding has its width unless ``options.embedding_dim`` is set.
        vocabulary_size: number of token numbers, padding (0) included.
        classes: number of labels.
        sides: sequences per example, 1 or 2.
        options: dropout, embedding and head; None for the defaults.
        features: a language model whose token states are the embedding, always projected; None for a table of vectors.

    Raises:
        ValueError: ``vocabulary_size``, ``classes``, ``sides`` or ``options.embedding_dim`` is out of range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        vocabulary_size: int,
        classes: int,
        sides: int = 1,
        options: ClassifierOptions | None = None,
        features: LanguageModel | None = None,
    ) -> None:
        super().__init__()
        options = options or ClassifierOptions()
        self.vocabulary_size = check_at_least("vocabulary_size", vocabulary_size, 2)
        if sides not in (1, 2):
            raise OptionError("sides", f"must be 1 or 2, not {sides!r}")
        self.sides = sides
        if features is not None:
            if options.embedding_dim not in (None, features.width):
                raise OptionError("embedding_dim", f"must be null or {features.width}, the language model's width")
            self.embedding, width = features, features.width
        else:
            width = options.embedding_dim or encoder.dim
            self.embedding = options.embedding(vocabulary_size, width)
        projected = features is not None or options.embedding_dim is not None
        self.projection = nn.Linear(width, encoder.dim) if projected else nn.Identity()
        self.word_dropout = options.dropping_words()
        self.input_dropout = options.dropping_features(vocabulary_size)
        self.encoder = encoder
        read = encoder.dim * (4 if sides == 2 else 1)
        self.head = ClassificationHead(read, classes, hidden=options.head_hidden, dropout=options.head_dropout)

    def encode(
        self,
        tokens: Integer[Tensor, "b l"],
        lengths: Integer[Tensor, " b"],
        *,
        trees: bool = False,
        draws: Draws | None = None,
    ) -> Encoding:
        """Return the encoding of ``tokens``, with trees if ``trees`` is set."""
        check_tokens(tokens, self.vocabulary_size)
        if self._in_context:  # it reads whole sequences, without what is in the padding
            real = real_positions(torch.as_tensor(as_lengths(lengths), device=tokens.device), tokens.shape[1])
            return self.encoder(self._embedded(tokens.masked_fill(~real, PADDING)), lengths, trees=trees, draws=draws)
        if isinstance(self.encoder, Encoder) and self.encoder.takes_packed and len(tokens):
            host = check_lengths(as_lengths(lengths), *tokens.shape)
            # A batch with little padding stays padded, so that a seed gives the dropout masks that it always gave.
            if len(plan(host, rows=0)) > 1:
                ends = [0, *accumulate(host)]
                return self.encoder(self._embedded(pack(tokens, host)), cu_seqlens=ends, trees=trees, draws=draws)
        return self.encoder(self._embedded(tokens), lengths, trees=trees, draws=draws)

    def states(self, tokens: Integer[Tensor, "b l"]) -> Float[Tensor, "b l d"]:
        """Return the states (B, L, D) that the encoder reads.

        Raises:
            ValueError: a token number is not in the vocabulary.
        """
        check_tokens(tokens, self.vocabulary_size)
        return self._embedded(tokens)

    @property
    def _in_context(self) -> bool:
        return isinstance(self.embedding, LanguageModel)

    def _embedded(self, tokens: Integer[Tensor, "*rows"]) -> Float[Tensor, "*rows d"]:
        states = self.embedding(tokens.long())
        if self._in_context and not torch.is_autocast_enabled(states.device.type):
            states = states.to(next(self.projection.parameters()).dtype)
        return self.projection(self.input_dropout(self.word_dropout(states)))

    def tree_log_prob(
        self, tokens: Integer[Tensor, "b l"], lengths: Integer[Tensor, " b"], trees: Sequence[Tree]
    ) -> Float[Tensor, " b"]:
        """Return the log-probability of finding the given tree of each sequence; differentiable.

        Raises:
            ValueError: the encoder has no pair scorer, or the trees do not match the sequences.
        """
        scores = self.encoder(self.states(tokens), lengths, along=trees, scores=True).scores
        assert scores is not None
        return scores.squeeze(-1)

    def folds_along(self) -> bool:
        """Return whether folding along the tree that the encoder found gives its own states of nodes.

        Not where a tree is soft (continuous recursion, ordered memory), nor for a chain, which starts from a zero
        state.
        """
        if isinstance(getattr(self.encoder, "inner", None), Chain):
            return False
        states = next(self.encoder.parameters()).new_zeros(1, 1, self.encoder.dim)
        try:
            self.encoder(states, [1], along=[Tree(1, ())], nodes=True)
        except ValueError:
            return False
        return True

    def node_states(
        self, tokens: Integer[Tensor, "b l"], lengths: Integer[Tensor, " b"], trees: Sequence[Tree]
    ) -> list[Float[Tensor, "nodes d"]]:
        """Return the states of all nodes of the given tree of each sequence, as `Tree.all_spans` orders them.

        Differentiable.

        Raises:
            ValueError: the encoder does not fold with a single cell, or the trees do not match the sequences.
        """
        nodes = self.encoder(self.states(tokens), lengths, along=trees, nodes=True).nodes
        assert nodes is not None
        return [torch.stack([own[span] for span in tree.all_spans()]) for own, tree in zip(nodes, trees, strict=True)]

    def forward(
        self, tokens: Integer[Tensor, "b l"], lengths: Integer[Tensor, " b"], *, draws: Draws | None = None
    ) -> Float[Tensor, "examples classes"]:
        """Return the logits (B / sides, classes) of token numbers (B, L) with ``lengths`` (B,).

        Rows 2 i and 2 i + 1 are the two sides of pair i.

        Raises:
            ValueError: a model for pairs gets an odd number of rows; or as for [`Encoder.forward`][].
        """
        if len(tokens) % self.sides:
            raise ValueError(f"tokens must have an even number of rows, the two sides of each pair, not {len(tokens)}")
        return self.classify(self.encode(tokens, lengths, draws=draws).root)

    def classify(self, root: Float[Tensor, "b d"]) -> Float[Tensor, "examples classes"]:
        """Return the logits (B / sides, classes) of roots (B, D); rows 2 i and 2 i + 1 are the sides of pair i."""
        if self.sides == 2:
            first, second = root[0::2], root[1::2]
            root = torch.cat([first, second, first * second, (first - second).abs()], dim=-1)
        return self.head(root)

    @torch.no_grad()
    def set_embedding(self, matrix: Float32[NDArray[np.float32], "words e"], known: NDArray[np.bool_]) -> None:
        """Set the embedding of the last ``words`` tokens to the rows of ``matrix`` that are ``known``.

        Raises:
            ValueError: the matrix has another width than the embedding, or more rows.
        """
        assert isinstance(self.embedding, nn.Embedding)
        weight = self.embedding.weight
        if matrix.shape[1] != weight.shape[1]:
            raise OptionError(
                "embedding_dim", f"must be {matrix.shape[1]}, the width of the word vectors, not {weight.shape[1]}"
            )
        if len(matrix) > len(weight) or known.shape != matrix.shape[:1]:
            raise ValueError(
                f"matrix must have at most {len(weight)} rows, and known the same number, not {len(matrix)} and "
                f"{len(known)}"
            )
        rows = torch.from_numpy(np.flatnonzero(known) + len(weight) - len(matrix))
        weight[rows] = torch.from_numpy(matrix[known]).to(weight)

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
