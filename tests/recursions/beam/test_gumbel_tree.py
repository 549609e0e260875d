"""The Gumbel tree against a loop, the beam tree of width 1 and its own definition."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell, PairScorer, ParentScorer
from nestree.recursions import BeamSearch, BeamTree, Draws, GumbelTree, KeyedDraws, Outer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Sites, dropout_mask
from nestree.recursions.lengths import Lengths
from support.reference import assert_same_gradients, group, padded, randomize
from support.reference_soft import gumbel_tree

DIM = 4
FLAT = Outer()
LENGTHS = st.lists(st.integers(1, 8), min_size=1, max_size=3)
EVERY_SCORER = pytest.mark.parametrize("scorer", ["pairs", "slices", "parents"])


def tree_of(
    scorer: str, *, seed: int = 0, temperature: float = 1.0, dropout: float = 0.0, training: bool = False
) -> GumbelTree:
    scorers = {"pairs": PairScorer(DIM), "slices": PairScorer(DIM, width=2), "parents": ParentScorer(DIM)}
    tree = GumbelTree(GatedRecursiveCell(DIM, dropout=dropout), scorers[scorer], temperature=temperature)
    return randomize(tree.double(), seed).train(training)


def leaves(lengths: list[int], seed: int = 0) -> Leaves:
    states = padded(lengths, DIM, seed=seed).nan_to_num(0).requires_grad_()
    return Leaves(states, Lengths.of(lengths))


def assert_equal(tree: GumbelTree, batch: Leaves, root: Tensor, expected: Tensor) -> None:
    """Compare roots and the gradients of weights and leaves."""
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn(root.shape, generator=torch.Generator().manual_seed(1), dtype=root.dtype)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(tree, one, other)


def loop(tree: GumbelTree, row: list[Tensor], place: Sites, draws: KeyedDraws) -> Tensor:
    def noise(step: int, pairs: int) -> Tensor:
        if not tree.training:
            return torch.zeros(pairs, dtype=torch.float64)
        return draws.pair_noise(place, step, 1, pairs, torch.float64)[0, 0]

    def mask(step: int, mask_index: int) -> Tensor | float:
        rate = tree.cell.dropout if tree.training else 0.0
        random_bits = draws.random_bits(place, step, torch.tensor([mask_index]), 4 * DIM)
        return dropout_mask(random_bits, rate, torch.float64)[0] / (1 - rate) if rate else 1.0

    return gumbel_tree(tree, row, noise, mask)


@EVERY_SCORER
@settings(max_examples=25)
@given(
    lengths=LENGTHS,
    seed=st.integers(0, 99),
    training=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
)
def test_equals_the_loop_with_every_gradient(
    scorer: str, lengths: list[int], seed: int, training: bool, dropout: float, temperature: float
) -> None:
    tree = tree_of(scorer, seed=seed, temperature=temperature, dropout=dropout, training=training)
    batch, draws = leaves(lengths, seed), KeyedDraws(seed)
    root = tree.recurse(batch, FLAT, draws=draws).root
    expected = [
        loop(tree, list(row[:length]), Sites(torch.tensor([b]), torch.tensor([0]), 0), draws)
        for b, (row, length) in enumerate(zip(batch.states, lengths, strict=True))
    ]
    assert_equal(tree, batch, root, torch.stack(expected))


@EVERY_SCORER
@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 16), min_size=1, max_size=3), arity=st.integers(2, 5), seed=st.integers(0, 99))
def test_recursion_in_recursion_equals_the_loop(scorer: str, lengths: list[int], arity: int, seed: int) -> None:
    tree = tree_of(scorer, seed=seed, dropout=0.5, training=True)
    batch, draws = leaves(lengths, seed), KeyedDraws(seed)
    expected = []
    for b, length in enumerate(lengths):
        items, level = list(batch.states[b, :length]), 0
        while len(items) > 1:
            places = [Sites(torch.tensor([b]), torch.tensor([g]), level) for g in range(len(items))]
            parts = zip(group(items, arity), places, strict=False)
            items, level = [loop(tree, part, place, draws) for part, place in parts], level + 1
        expected.append(items[0])
    assert_equal(tree, batch, tree.recurse(batch, Outer(arity), draws=draws).root, torch.stack(expected))


@EVERY_SCORER
@given(lengths=LENGTHS, seed=st.integers(0, 99), arity=st.none() | st.integers(2, 4), partial=st.sampled_from([0, 0.5]))
def test_at_evaluation_it_is_the_beam_tree_of_width_1(
    scorer: str, lengths: list[int], seed: int, arity: int | None, partial: float
) -> None:
    tree, batch = tree_of(scorer, seed=seed, temperature=0.4), leaves(lengths, seed)
    beam = BeamTree(tree.cell, tree.scorer, BeamSearch(1, engine="naive")).eval()
    found, expected = (one.recurse(batch, Outer(arity, partial=partial), trees=True) for one in (tree, beam))
    torch.testing.assert_close(found.root, expected.root, atol=1e-12, rtol=1e-12)
    for mine, others in zip(found.trees, expected.trees, strict=True):
        ((one,), (other,)) = mine, others
        assert one.probability == 1
        assert set(one.tree.spans()) == set(other.tree.spans())


@EVERY_SCORER
def test_pairs_are_drawn_by_their_probability(scorer: str) -> None:
    """Whatever the temperature, which is the gradient's alone."""
    tree, count = tree_of(scorer, seed=2, temperature=5.0, training=True), 2000
    states = leaves([3]).states.expand(count, -1, -1)
    batch = Leaves(states, Lengths.of([3] * count))
    left, right = states[0, :-1], states[0, 1:]
    logits = tree.scorer(tree.cell(left, right)) if scorer == "parents" else tree.scorer(left, right)
    probability = logits.softmax(0)[0].item()
    assert 0.1 < probability < 0.9
    found = tree.recurse(batch, FLAT, trees=True, draws=Draws(torch.Generator().manual_seed(4))).trees
    share = sum(parsed.tree.merges[0] == (0, 1) for (parsed,) in found) / count
    assert share == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count))


@EVERY_SCORER
@settings(max_examples=10)
@given(length=st.integers(1, 40))
def test_n_tokens_take_n_minus_1_cells_one_after_the_other(scorer: str, length: int) -> None:
    tree, calls = tree_of(scorer, training=True), []
    append = NodeStore.append
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NodeStore, "append", lambda *arguments: (calls.append(len(arguments[1])), append(*arguments)))
        tree.recurse(leaves([length]), FLAT)
    assert len(calls) == length - 1
    composed = 3 * length - 5 if scorer == "parents" else length - 1  # all pairs, then at most two beside each new node
    assert sum(calls) <= max(composed, length - 1)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"temperature": 0}, "temperature"), ({"temperature": math.inf}, "temperature"), ({"dim": 5}, "scorer")],
    ids=["zero", "infinite", "widths"],
)
def test_bad_arguments_are_named(options: dict, named: str) -> None:
    scorer = ParentScorer(options.pop("dim", DIM))
    with pytest.raises(ValueError, match=f"^{named} must"):
        GumbelTree(GatedRecursiveCell(DIM), scorer, **options)
