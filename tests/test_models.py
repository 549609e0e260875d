"""The classifier: embedding, encoder and head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import nestree
from nestree.data.batches import pad
from nestree.models import PADDING
from support.reference import randomize

TOKENS = [torch.tensor([3, 1, 4, 1, 5, 9]), torch.tensor([2]), torch.tensor([6, 5, 3])]


def classifier(name: str = "rir-ebt-grc", **options: object) -> nestree.Classifier:
    torch.manual_seed(0)
    small = {"rir-ebt-grc": {"arity": 3, "beam_size": 2}, "transformer": {"heads": 2}}.get(name, {})
    return nestree.Classifier(
        nestree.build(name, dim=6, **small),
        vocabulary_size=10,
        classes=4,
        options=nestree.ClassifierOptions(head_hidden=5, **options),
    )


def test_pad_puts_zeros_behind() -> None:
    tokens, lengths = pad(TOKENS)
    assert lengths.tolist() == [6, 1, 3]
    assert tokens.tolist() == [[3, 1, 4, 1, 5, 9], [2, 0, 0, 0, 0, 0], [6, 5, 3, 0, 0, 0]]


@pytest.mark.parametrize("name", nestree.ENCODERS)
def test_logits_are_the_head_of_the_root(name: str) -> None:
    model = classifier(name).eval()
    tokens, lengths = pad(TOKENS)
    logits = model(tokens, lengths)
    assert logits.shape == (3, 4)
    encoding = model.encode(tokens, lengths, trees=True)
    assert torch.equal(model.head(encoding.root), logits)
    if encoding.trees is not None:
        assert [found[0].tree.leaves for found in encoding.trees] == [6, 1, 3]
    by_hand = model.encoder(model.embedding.weight[tokens], lengths).root
    torch.testing.assert_close(by_hand, encoding.root)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint8], ids=str)
def test_tokens_may_be_any_integers(dtype: torch.dtype) -> None:
    model = classifier().eval()
    tokens, lengths = pad(TOKENS)
    assert torch.equal(model(tokens.to(dtype), lengths.to(dtype)), model(tokens, lengths))


def test_the_token_that_pads_has_no_effect() -> None:
    model = classifier().eval()
    tokens, lengths = pad(TOKENS)
    logits = model(tokens, lengths)
    with torch.no_grad():
        model.embedding.weight[PADDING] = torch.nan
    assert torch.equal(model(tokens, lengths), logits)
    assert torch.equal(model(torch.where(tokens == PADDING, 7, tokens), lengths), logits)


def test_every_parameter_gets_a_gradient() -> None:
    model = classifier().train()
    model(*pad(TOKENS)).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert bool(parameter.grad.ne(0).any()), key
    seen = model.embedding.weight.grad.ne(0).any(-1).nonzero().flatten().tolist()
    assert seen == [1, 2, 3, 4, 5, 6, 9]


def test_dropout_is_for_training() -> None:
    model = classifier(input_dropout=0.5).eval()
    tokens, lengths = pad(TOKENS)
    assert torch.equal(model(tokens, lengths), model(tokens, lengths))
    model.train()
    assert not torch.equal(model(tokens, lengths), model(tokens, lengths))


def test_word_dropout_drops_whole_tokens() -> None:
    model = classifier("grc", word_dropout=0.5, input_dropout=0.0)
    tokens, lengths = torch.randint(1, 10, (8, 50)), torch.full((8,), 50)
    states = model.states(tokens)
    whole = (states == 2 * model.embedding(tokens)).all(-1)  # those that are kept are scaled, as dropout does
    dropped = (states == 0).all(-1)
    assert bool((whole | dropped).all())
    assert 0.4 < float(dropped.float().mean()) < 0.6
    assert torch.equal(model.eval().states(tokens), model.embedding(tokens))
    assert torch.equal(model(tokens, lengths), classifier("grc").eval()(tokens, lengths))


@pytest.mark.parametrize(
    ("given", "words", "rate"), [(None, 999, 0.1), (None, 1000, 0.5), (0.2, 1000, 0.2), (0.0, 9, 0.0)]
)
def test_dropout_of_embeddings_goes_by_the_vocabulary_if_none_is_given(
    given: float | None, words: int, rate: float
) -> None:
    options = nestree.ClassifierOptions(input_dropout=given)
    model = nestree.Classifier(nestree.build("bow", dim=4), vocabulary_size=words, classes=2, options=options)
    assert model.input_dropout.p == rate


def test_the_embedding_begins_at_its_scale() -> None:
    small, usual = classifier("grc", embedding_scale=0.1), classifier("grc")
    assert torch.allclose(small.embedding.weight, 0.1 * usual.embedding.weight)
    assert torch.equal(small.head.layers[1].weight, usual.head.layers[1].weight)


def test_weights_travel_as_safetensors(tmp_path: Path) -> None:
    model = randomize(classifier(), 3).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = classifier().eval()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(*pad(TOKENS)), model(*pad(TOKENS)))


def test_parameters_are_counted() -> None:
    model = nestree.Classifier(
        nestree.build("grc", dim=2), vocabulary_size=5, classes=3, options=nestree.ClassifierOptions(head_hidden=None)
    )
    cell, leaf = (4 * 8 + 8) + (8 * 8 + 8) + 4, 4 + 2 + 4
    assert model.parameter_count() == 5 * 2 + leaf + cell + (2 * 3 + 3)
    model.embedding.requires_grad_(False)
    assert model.parameter_count() == leaf + cell + (2 * 3 + 3)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("option", "value"),
    [("input_dropout", 1.0), ("head_dropout", -0.1), ("head_hidden", 0), ("head_dropout", None)],
)
def test_bad_options_are_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{option} must"):
        nestree.ClassifierOptions(**{option: value})


def test_bad_sizes_are_named() -> None:
    encoder = nestree.build("grc", dim=4)
    with pytest.raises(ValueError, match=r"^vocabulary_size must"):
        nestree.Classifier(encoder, vocabulary_size=1, classes=3)
    with pytest.raises(ValueError, match=r"^classes must"):
        nestree.Classifier(encoder, vocabulary_size=5, classes=0)


def test_bad_lengths_are_named() -> None:
    tokens, lengths = pad(TOKENS)
    with pytest.raises(ValueError, match=r"lengths\[0\] must be from 1 to 6"):
        classifier()(tokens, lengths + 1)
