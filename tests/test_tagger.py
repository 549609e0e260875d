"""The model that labels every token."""

from __future__ import annotations

import pytest
import torch

import nestree
from nestree.models import ClassifierOptions


def test_a_stack_of_encoders_learns_to_tag() -> None:
    """Every token is to get the first token of its sequence: each has to see beyond itself."""
    torch.manual_seed(0)
    encoders = nestree.build("ebt-grc", dim=16, token_rounds=1), nestree.build("transformer", dim=16, layers=1, heads=2)
    plain = ClassifierOptions(input_dropout=0.0, head_dropout=0.0)
    model = nestree.Tagger(*encoders, vocabulary_size=5, classes=5, options=plain)
    tokens, lengths = torch.randint(1, 5, (32, 6)), torch.randint(1, 7, (32,))
    labels = tokens[:, :1].expand_as(tokens).masked_fill(torch.arange(6) >= lengths.unsqueeze(-1), -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        logits = model(tokens, lengths)
        assert logits.shape == (32, 6, 5)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_options_and_widths() -> None:
    options = ClassifierOptions(embedding_dim=3, head_hidden=None, train_embedding=False)
    model = nestree.Tagger(nestree.build("s4d", dim=8, layers=1), vocabulary_size=4, classes=2, options=options)
    assert model.embedding.weight.shape == (4, 3)
    assert not model.embedding.weight.requires_grad
    with pytest.raises(ValueError, match="same width"):
        nestree.Tagger(nestree.build("s4d", dim=8), nestree.build("s4d", dim=4), vocabulary_size=4, classes=2)
    with pytest.raises(ValueError, match="same width"):
        nestree.Tagger(vocabulary_size=4, classes=2)
