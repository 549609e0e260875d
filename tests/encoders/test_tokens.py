"""Encoders that are asked for more than a root: tokens, scores, nodes, and layers that hand tokens on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import nestree
from nestree.encoders import Encoder
from nestree.recursions import KeyedDraws
from nestree.trees import Tree
from support.engines import assert_same_gradients
from support.reference import padded, randomize

BEAM_TREES = {"rir-ebt-grc": {"arity": 4}, "ebt-grc": {}, "bt-grc": {}}
WITH_TOKENS = {
    **{name: {**of, "token_rounds": 2} for name, of in BEAM_TREES.items()},
    **{name: {} for name in ("transformer", "s4d", "bilstm")},
}
LENGTHS = [17, 1, 2, 9]

beam_trees = pytest.mark.parametrize("name", BEAM_TREES)
with_tokens = pytest.mark.parametrize("name", WITH_TOKENS)


def encoder_of(name: str, **options: object) -> Encoder:
    encoder = nestree.build(name, dim=8, **{**WITH_TOKENS.get(name, {}), **options})
    return randomize(encoder, 3).double().eval()  # pyright: ignore[reportReturnType]


@with_tokens
def test_tokens_do_not_depend_on_padding_or_neighbours(name: str) -> None:
    encoder = encoder_of(name)
    states = padded(LENGTHS, 8, extra=3)
    found = encoder(states, torch.tensor(LENGTHS), tokens=True)
    assert found.tokens.shape == states.shape
    torch.testing.assert_close(found.root, encoder(states, torch.tensor(LENGTHS)).root, atol=1e-12, rtol=0)
    for row, length in enumerate(LENGTHS):
        assert not found.tokens[row, length:].any()
        alone = encoder(states[row : row + 1, :length], torch.tensor([length]), tokens=True).tokens[0]
        torch.testing.assert_close(found.tokens[row, :length], alone, atol=1e-10, rtol=0)


@with_tokens
def test_tokens_see_the_whole_sequence(name: str) -> None:
    encoder = encoder_of(name, **({"s4d": False} if name.startswith("rir") else {}))
    states = padded([12], 8).requires_grad_()
    encoder(states, torch.tensor([12]), tokens=True).tokens[0, 3].sum().backward()
    assert states.grad is not None
    assert states.grad.ne(0).any(-1).all()


@with_tokens
def test_every_parameter_gets_a_gradient_from_tokens(name: str) -> None:
    encoder = encoder_of(name).train()
    found = encoder(padded(LENGTHS, 8), torch.tensor(LENGTHS), tokens=True).tokens
    (found * torch.randn(found.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


@beam_trees
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_engines_agree(name: str, training: bool) -> None:
    results = []
    for engine in ("fast", "naive"):
        encoder = encoder_of(name, engine=engine, beam_size=3).train(training)
        states = padded(LENGTHS, 8, extra=2).requires_grad_()
        torch.manual_seed(1)  # of dropout outside the search
        found = encoder(states, torch.tensor(LENGTHS), tokens=True, scores=True, trees=True, draws=KeyedDraws(2))
        loss = found.tokens.square().sum() + found.entropy().sum() + found.root[:, 0].sum()
        names = {"states": states, **dict(encoder.named_parameters())}
        gradients = torch.autograd.grad(loss, list(names.values()), materialize_grads=True)
        results.append((found, dict(zip(names, gradients, strict=True))))
    (one, gradients), (other, others) = results
    torch.testing.assert_close(one.tokens, other.tokens, atol=1e-10, rtol=0)
    for trees, naive in zip(one.trees, other.trees, strict=True):
        assert [tree.probability for tree in trees] == pytest.approx([tree.probability for tree in naive])
    assert_same_gradients(gradients, others, tolerance=1e-9)


@beam_trees
def test_without_rounds_there_are_no_parameters(name: str) -> None:
    plain, more = (set(nestree.build(name, dim=8, token_rounds=rounds).state_dict()) for rounds in (0, 1))
    assert plain < more
    assert all(key.startswith("attention.") for key in more - plain)


# --- scores, nodes, sampling


@beam_trees
def test_scores_say_how_probable_trees_are(name: str) -> None:
    encoder = encoder_of(name)
    found = encoder(padded(LENGTHS, 8), torch.tensor(LENGTHS), scores=True, trees=True)
    for best in range(3):
        trees = [own[min(best, len(own) - 1)] for own in found.trees]
        logs = found.log_prob([parsed.tree for parsed in trees])
        assert logs.exp().tolist() == pytest.approx([parsed.probability for parsed in trees])
    probabilities = found.log_probabilities().exp()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4, dtype=torch.float64))
    expected = [-sum(p * torch.tensor(p).log().item() for p in row if p > 0) for row in probabilities.tolist()]
    assert found.entropy().tolist() == pytest.approx(expected)
    assert [len(trees) for trees in found.beams] == (found.scores > -torch.inf).sum(-1).tolist()


def test_a_tree_that_was_not_found_has_no_probability() -> None:
    found = encoder_of("ebt-grc", beam_size=1)(padded([3, 1], 8), torch.tensor([3, 1]), scores=True)
    single = Tree(1, ())
    trees = [Tree(3, ((0, 1), (3, 2))), Tree(3, ((1, 2), (0, 3)))]
    logs = [found.log_prob([tree, single])[0].item() for tree in trees]
    assert sorted(logs) == [-torch.inf, 0.0]
    with pytest.raises(ValueError, match="trees must be 2"):
        found.log_prob([single])


def test_an_entropy_bonus_spreads_the_beams() -> None:
    torch.manual_seed(0)
    encoder = nestree.build("ebt-grc", dim=8, noise=False, dropout=0.0)
    states, lengths = torch.randn(4, 9, 8), torch.full((4,), 9)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.5)
    entropies = []
    for _ in range(5):
        entropy = encoder(states, lengths, scores=True).entropy().mean()
        optimizer.zero_grad()
        (-entropy).backward()
        optimizer.step()
        entropies.append(entropy.item())
    assert entropies[-1] > entropies[0]


def test_samples_follow_scores_and_temperature() -> None:
    encoder = encoder_of("ebt-grc", merge_equal=True)  # so that every beam is another tree
    found = encoder(padded([9], 8), torch.tensor([9]), scores=True)
    generator = torch.Generator().manual_seed(0)
    trees = [tuple(found.sample(generator=generator)[0].merges) for _ in range(2000)]
    probabilities = found.log_probabilities().exp()[0].tolist()
    for tree, probability in zip(found.beams[0], probabilities, strict=True):
        assert trees.count(tree.merges) / 2000 == pytest.approx(probability, abs=0.05)
    cold = {tuple(found.sample(temperature=1e-6, generator=generator)[0].merges) for _ in range(20)}
    assert cold == {found.beams[0][0].merges}
    with pytest.raises(ValueError, match="temperature"):
        found.sample(temperature=0)


@beam_trees
def test_nodes_are_those_of_the_best_beam(name: str) -> None:
    encoder = encoder_of(name)
    found = encoder(padded(LENGTHS, 8), torch.tensor(LENGTHS), nodes=True, scores=True)
    for length, nodes, beams in zip(LENGTHS, found.nodes, found.beams, strict=True):
        leaves = [(leaf, leaf + 1) for leaf in range(length)]
        assert set(nodes) == {*leaves, *beams[0].spans()}
        for (left, right), span in zip(beams[0].merges, beams[0].spans(), strict=True):
            bounds = [*leaves, *beams[0].spans()]
            parent = encoder.inner.cell(nodes[bounds[left]], nodes[bounds[right]])
            torch.testing.assert_close(nodes[span], parent, atol=1e-10, rtol=0)


def test_what_an_encoder_does_not_have_is_named() -> None:
    states, lengths = padded([3], 8), torch.tensor([3])
    for name, asked in [
        ("ebt-grc", "tokens"),
        ("grc", "tokens"),
        ("om", "tokens"),
        ("grc", "nodes"),
        ("s4d", "scores"),
    ]:
        encoder = nestree.build(name, dim=8).double()
        with pytest.raises(ValueError, match=f"^{asked} must be False"):
            encoder(states, lengths, **{asked: True})
    with pytest.raises(ValueError, match="scores must be requested"):
        nestree.build("ebt-grc", dim=8).double()(states, lengths).entropy()


# --- layers


class Stack(nn.Module):
    """Trees, then attention, then trees over what attention made of them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.first, self.second = (nestree.Contextualizer(encoder_of(name)) for _ in range(2))
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, dtype=torch.float64)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        states = self.first(states, lengths)
        states = self.attention(states, src_key_padding_mask=self.first.padding(states, lengths))
        return self.second(states, lengths)


@pytest.mark.parametrize("name", ["rir-ebt-grc", "s4d"])
def test_layers_stack(name: str) -> None:
    stack = Stack(name).eval()
    states = padded(LENGTHS, 8, extra=2).nan_to_num()
    tokens = stack(states, torch.tensor(LENGTHS))
    alone = stack(states[3:, :9], torch.tensor([9]))
    torch.testing.assert_close(tokens[3, :9], alone[0], atol=1e-9, rtol=0)
    assert not tokens[3, 9:].any()
    stack(states, torch.tensor(LENGTHS)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
