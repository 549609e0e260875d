"""The beam tree with a soft beam against a loop, and against the plain beam tree where they must be equal."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell, ParentScorer
from nestree.recursions import BeamSearch, BeamSelection, BeamTree, KeyedDraws, OneSoftBeamTree, Outer, recompute
from nestree.recursions.base import Leaves
from nestree.recursions.draws import Sites, dropout_mask
from nestree.recursions.lengths import Lengths
from support.reference import Training, assert_same_gradients, padded, randomize
from support.reference_soft import one_soft

DIM = 4
FLAT = Outer()
LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def tree_of(
    beam_size: int, *, seed: int = 0, noise: bool = False, dropout: float = 0.0, training: bool = True
) -> OneSoftBeamTree:
    cell = GatedRecursiveCell(DIM, dropout=dropout)
    tree = OneSoftBeamTree(cell, ParentScorer(DIM), BeamSelection(beam_size, noise))
    return randomize(tree.double(), seed).train(training)


def plain_of(tree: OneSoftBeamTree) -> BeamTree:
    plain = BeamTree(tree.cell, tree.scorer, BeamSearch(tree.search.beam_size, tree.search.noise, engine="naive"))
    return plain.train(tree.training)


def leaves(lengths: list[int], seed: int = 0) -> Leaves:
    states = padded(lengths, DIM, seed=seed).nan_to_num(0).requires_grad_()
    return Leaves(states, Lengths.of(lengths))


def assert_equal(tree: OneSoftBeamTree, batch: Leaves, root: Tensor, expected: Tensor) -> None:
    """Compare roots and the gradients of weights and leaves."""
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn(root.shape, generator=torch.Generator().manual_seed(1), dtype=root.dtype)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(tree, one, other)


@settings(max_examples=20)
@given(
    lengths=LENGTHS,
    beam_size=st.integers(1, 6),
    seed=st.integers(0, 99),
    noise=st.booleans(),
    dropout=st.sampled_from([0.0, 0.5]),
)
def test_training_equals_the_loop_with_every_gradient(
    lengths: list[int], beam_size: int, seed: int, noise: bool, dropout: float
) -> None:
    tree = tree_of(beam_size, seed=seed, noise=noise, dropout=dropout)
    batch, draws = leaves(lengths, seed), KeyedDraws(seed)

    def of_row(b: int) -> Tensor:
        place = Sites(torch.tensor([b]), torch.tensor([0]), 0)

        def pair_noise(step: int, beams: int, pairs: int) -> Tensor:
            return draws.pair_noise(place, step, beams, pairs, torch.float64)[0] * noise

        def candidate_noise(step: int, beams: int, pairs: int) -> Tensor:
            position = torch.arange(pairs).expand(1, beams, pairs)
            return draws.candidate_noise(place, step, position, torch.float64)[0] * noise

        def mask(step: int, mask_index: int) -> Tensor | float:
            random_bits = draws.random_bits(place, step, torch.tensor([mask_index]), 4 * DIM)
            return dropout_mask(random_bits, dropout, torch.float64)[0] / (1 - dropout) if dropout else 1.0

        return one_soft(tree, list(batch.states[b, : lengths[b]]), Training(pair_noise, candidate_noise, mask))

    root = tree.recurse(batch, FLAT, draws=draws).root
    assert_equal(tree, batch, root, torch.stack([of_row(b) for b in range(len(lengths))]))


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), spare=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_beam_as_wide_as_there_are_candidates_is_the_plain_beam_tree(
    lengths: list[int], spare: int, seed: int
) -> None:
    tree, batch = tree_of(24 + spare, seed=seed), leaves(lengths, seed)
    assert_equal(tree, batch, tree.recurse(batch, FLAT).root, plain_of(tree).recurse(batch, FLAT).root)


@settings(max_examples=15)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_width_1_is_the_greedy_beam_tree(lengths: list[int], seed: int) -> None:
    tree, batch = tree_of(1, seed=seed), leaves(lengths, seed)
    torch.testing.assert_close(tree.recurse(batch, FLAT).root, plain_of(tree).recurse(batch, FLAT).root)


@settings(max_examples=15)
@given(lengths=LENGTHS, beam_size=st.integers(1, 5), seed=st.integers(0, 99), arity=st.none() | st.integers(2, 4))
def test_at_evaluation_it_is_the_plain_beam_tree(
    lengths: list[int], beam_size: int, seed: int, arity: int | None
) -> None:
    tree, batch = tree_of(beam_size, seed=seed, training=False), leaves(lengths, seed)
    found, expected = (one.recurse(batch, Outer(arity), trees=True) for one in (tree, plain_of(tree)))
    assert_equal(tree, batch, found.root, expected.root)
    for mine, others in zip(found.trees, expected.trees, strict=True):
        probabilities = [
            {frozenset(parsed.tree.spans()): parsed.probability for parsed in of if parsed.probability > 1e-9}
            for of in (mine, others)
        ]
        assert probabilities[0] == pytest.approx(probabilities[1])


def test_candidates_that_plain_selection_drops_get_a_gradient() -> None:
    """With one beam out of three, the plain tree's scorer has no gradient at all after the first step."""
    tree, batch = tree_of(2, seed=1), leaves([4])
    roots = [one.recurse(batch, FLAT).root for one in (tree, plain_of(tree))]
    gradients = [torch.autograd.grad(root.sum(), tree.scorer.score.weight)[0] for root in roots]
    assert not torch.allclose(*gradients)


@settings(max_examples=8)
@given(length=st.integers(1, 15), beam_size=st.integers(1, 4))
def test_n_tokens_take_n_minus_1_cells_one_after_the_other(length: int, beam_size: int) -> None:
    tree, calls = tree_of(beam_size), []
    tree.cell.register_forward_hook(lambda _, arguments, __: calls.append(len(arguments[0])))
    tree.recurse(leaves([length]), FLAT)
    assert len(calls) == length - 1


@pytest.mark.parametrize("noise", [False, True])
def test_steps_computed_again_give_the_same_gradients(noise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, batch = tree_of(3, seed=2, noise=noise, dropout=0.5), leaves([9, 3, 1, 7])
    results = []
    for kept in (recompute.ACTIVATION_BUDGET, 5_000, 0):
        monkeypatch.setattr(recompute, "ACTIVATION_BUDGET", kept)
        torch.manual_seed(4)
        root = tree.recurse(batch, FLAT).root
        results.append([root, *torch.autograd.grad(root.square().sum(), [batch.states, *tree.parameters()])])
    for others in results[1:]:
        torch.testing.assert_close(others, results[0], atol=1e-12, rtol=1e-12)


def test_what_training_cannot_do_is_said() -> None:
    tree, batch = tree_of(2), leaves([4])
    with pytest.raises(ValueError, match=r"^trees must be False in training"):
        tree.recurse(batch, FLAT, trees=True)
    with pytest.raises(ValueError, match=r"^outer must have no arity"):
        tree.recurse(batch, Outer(3))
    with pytest.raises(ValueError, match=r"^beam_size must"):
        OneSoftBeamTree(tree.cell, tree.scorer, BeamSelection(0))
    with pytest.raises(ValueError, match=r"^scorer must"):
        OneSoftBeamTree(tree.cell, ParentScorer(DIM + 1))
