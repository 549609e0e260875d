"""The fast engine against the naive implementation: the same outputs, trees and gradients from the same draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import nestree
from nestree.recursions import KeyedDraws
from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.options import ENGINES
from support.engines import (
    Case,
    assert_engines_agree,
    assert_same,
    assert_same_gradients,
    cases,
    gradients,
    margins,
    outcome,
    safe_rows,
    with_seeds,
)
from support.reference import padded, randomize

MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


@settings(max_examples=40)
@given(case=cases())
def test_engines_agree_in_float64(case: Case) -> None:
    assert_engines_agree(case)


@settings(max_examples=30)
@given(case=cases(longest=40))
def test_engines_agree_in_float32(case: Case) -> None:
    rows = safe_rows(case, torch.float32)
    assume(rows)
    *engines, naive = (outcome(case, engine, torch.float32, rows=rows) for engine in ENGINES)
    for engine in engines:
        assert_same(engine, naive, output=1e-5, gradient=1e-4)


@pytest.mark.parametrize("beam_size", range(1, 8))
@MODES
def test_engines_agree_at_every_width(beam_size: int, training: bool) -> None:
    assert_engines_agree(Case((13, 1, 6), beam_size, training=training, scorer_width=None, seed=beam_size))


@pytest.mark.parametrize("arity", [2, 3, 7, 30, None], ids=str)
@MODES
def test_engines_agree_at_every_arity_on_long_sequences(arity: int | None, training: bool) -> None:
    assert_engines_agree(Case((70, 47, 2), 3, arity=arity, training=training, dim=3))


@pytest.mark.parametrize("of_parents", [False, True], ids=["pairs", "parents"])
@pytest.mark.parametrize(("arity", "partial"), [(4, 0.5), (6, 0.34), (9, 0.5), (30, 0.5)])
@MODES
def test_engines_agree_under_partial_folding(arity: int, partial: float, training: bool, of_parents: bool) -> None:
    assert_engines_agree(
        Case((61, 17, 2, 46), 3, arity=arity, partial=partial, training=training, of_parents=of_parents)
    )


# --- whole encoders


@MODES
@pytest.mark.parametrize("name", ["rir-ebt-grc", "ebt-grc"])
def test_encoders_agree(name: str, training: bool) -> None:
    lengths = [23, 1, 8, 2, 17]
    results = []
    for engine in ("fast", "naive"):
        options = {"arity": 4, "s4d_dropout": 0.2} if name.startswith("rir") else {}
        encoder = nestree.build(name, dim=6, beam_size=3, scorer_width=4, engine=engine, **options)
        encoder = randomize(encoder, 3).double().train(training)
        states = padded(lengths, 6, extra=2).requires_grad_()
        torch.manual_seed(1)  # of the S4D layer's own dropout
        found = encoder(states, torch.tensor(lengths), trees=True, draws=KeyedDraws(5))
        trees = [[(tree.tree.spans(), tree.probability) for tree in row] for row in found.trees]
        results.append((found.root, trees, gradients(found.root, encoder, states)))
    (root, trees, gradient), (naive_root, naive_trees, naive_gradient) = results
    torch.testing.assert_close(root, naive_root, atol=1e-10, rtol=0)
    for row, naive_row in zip(trees, naive_trees, strict=True):
        assert [set(spans) for spans, _ in row] == [set(spans) for spans, _ in naive_row]
        assert [p for _, p in row] == pytest.approx([p for _, p in naive_row], abs=1e-10)
    assert_same_gradients(gradient, naive_gradient, tolerance=1e-10)
    reached = [name for name, value in gradient.items() if bool(value.ne(0).any())]
    assert reached == list(gradient)


@MODES
@pytest.mark.parametrize("inference", ["grouped", "flat"])
def test_flat_inference_agrees(inference: str, training: bool) -> None:
    lengths = torch.tensor([19, 5, 1])
    roots = []
    for engine in ("fast", "naive"):
        encoder = nestree.build("rir-ebt-grc", dim=5, arity=3, beam_size=4, inference=inference, engine=engine)
        encoder = randomize(encoder, 2).double().train(training)
        torch.manual_seed(1)
        roots.append(encoder(padded([19, 5, 1], 5), lengths, draws=KeyedDraws(1)).root)
    torch.testing.assert_close(*roots, atol=1e-10, rtol=0)


# --- gradients


@MODES
@pytest.mark.parametrize("arity", [2, None], ids=["grouped", "flat"])
def test_gradients_are_those_of_finite_differences(arity: int | None, training: bool) -> None:
    case = Case((4, 3, 1), 2, arity=arity, training=training, dropout=0.5, dim=2, scorer_width=1)
    case = max(with_seeds(case, 20), key=lambda case: min(margins(case)))
    assert min(margins(case)) > 1e-3  # no choice flips within the differences
    tree, states = case.tree("fast"), case.states()

    def root(states: Tensor, *_: Tensor) -> Tensor:
        return tree.recurse(case.leaves(states), case.outer(), draws=case.draws()).root

    assert torch.autograd.gradcheck(root, (states, *tree.parameters()), fast_mode=True)


def test_a_second_backward_gives_the_same_gradients() -> None:
    case = Case((14, 3), 4, dropout=0.5)
    tree, states = case.tree("fast"), case.states()
    root = tree.recurse(case.leaves(states), case.outer(), draws=case.draws()).root
    wanted = [states, *tree.parameters()]
    first = torch.autograd.grad(root.square().sum(), wanted, retain_graph=True)
    second = torch.autograd.grad(root.square().sum(), wanted)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_gradients_arrive_where_they_are_asked_for() -> None:
    case = Case((9, 2))
    everything = outcome(case, "fast").gradients
    tree, states = case.tree("fast"), case.states().detach()
    for name, parameter in tree.named_parameters():
        parameter.requires_grad_(name == "scorer.hidden.weight")
    root = tree.recurse(case.leaves(states), case.outer(), draws=case.draws()).root
    generator = torch.Generator().manual_seed(case.seed + 1)
    root.backward(torch.randn(root.shape, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(tree.scorer.hidden.weight.grad, everything["scorer.hidden.weight"])
    assert all(p.grad is None for name, p in tree.named_parameters() if name != "scorer.hidden.weight")


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    case = Case((5,))
    tree, states = case.tree("fast"), case.states()
    root = tree.recurse(case.leaves(states), case.outer(), draws=case.draws()).root
    (gradient,) = torch.autograd.grad(root.square().sum(), states, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        gradient.sum().backward()


# --- the variant for accelerators, and half precision


@settings(max_examples=20)
@given(case=cases(longest=30))
def test_fixed_shapes_change_nothing(case: Case) -> None:
    """Fixed shapes, activations computed again, and a replay of all nodes step by step."""
    compact = outcome(case, "torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "on_host", lambda _: False)
        fixed = outcome(case, "torch")
    assert_same(fixed, compact, output=1e-12, gradient=1e-11)


@pytest.mark.parametrize("compact", [True, False], ids=["compact", "fixed shapes"])
@MODES
def test_bfloat16_is_near_float32(training: bool, compact: bool) -> None:
    case = Case((21, 9, 3, 1, 2), 3, training=training)
    near = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "on_host", lambda _: compact)
        for other in with_seeds(case, 5):
            half, full = outcome(other, "torch", torch.bfloat16), outcome(other, "torch", torch.float32)
            assert half.root.dtype == torch.bfloat16
            assert all(bool(gradient.isfinite().all()) for gradient in half.gradients.values())
            assert bool(half.root.isfinite().all())
            for row, (trees, full_trees) in enumerate(zip(half.trees, full.trees, strict=True)):
                if trees.keys() == full_trees.keys():
                    near += 1
                    assert (half.root[row] - full.root[row]).abs().max().item() < 0.15
    assert near >= 15  # of 25


# --- neighbours and padding


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 14), min_size=2, max_size=4),
    extra=st.integers(0, 3),
    alignment=st.sampled_from(["sampled", "systematic"]),
    seed=st.integers(0, 99),
)
def test_neighbours_and_padding_change_nothing_in_training(
    lengths: list[int], extra: int, alignment: str, seed: int
) -> None:
    encoder = nestree.build("rir-ebt-grc", dim=4, arity=3, beam_size=3, alignment=alignment, s4d_dropout=0.0)
    encoder = randomize(encoder, seed).double()
    states = padded(lengths, 4, extra=extra).requires_grad_()
    together = encoder(states, torch.tensor(lengths), draws=KeyedDraws(seed)).root
    (gradient,) = torch.autograd.grad(together.square().sum(), states)
    for row, length in enumerate(lengths):
        single = states[row : row + 1, :length].detach().requires_grad_()
        draws = KeyedDraws(seed, identities=torch.tensor([row]))
        alone = encoder(single, torch.tensor([length]), draws=draws).root
        torch.testing.assert_close(together[row], alone[0], atol=1e-10, rtol=0)
        (own,) = torch.autograd.grad(alone.square().sum(), single)
        torch.testing.assert_close(gradient[row, :length], own[0], atol=1e-9, rtol=1e-9)
    assert bool(gradient[torch.arange(states.shape[1]) >= torch.tensor(lengths).unsqueeze(-1)].eq(0).all())


@given(case=cases(longest=12), order=st.randoms(use_true_random=False))
def test_the_order_of_a_batch_changes_nothing(case: Case, order) -> None:
    places = list(range(len(case.lengths)))
    order.shuffle(places)
    tree, states = case.tree("fast"), case.states().detach()
    straight = tree.recurse(case.leaves(states), case.outer(), draws=case.draws()).root
    shuffled = replace(case, lengths=tuple(case.lengths[place] for place in places))
    draws = KeyedDraws(case.seed, identities=torch.tensor(places))
    mixed = tree.recurse(shuffled.leaves(states[places]), case.outer(), draws=draws).root
    torch.testing.assert_close(mixed, straight[places], atol=1e-10, rtol=0)


# --- weights that are no numbers


@pytest.mark.parametrize("weight", ["scorer.score.weight", "cell.gates.bias"])
@MODES
def test_weights_that_are_not_numbers_give_nan(weight: str, training: bool) -> None:
    """And no error: that a loss is not finite is for the training to see and say."""
    case = Case((6, 3), training=training)
    for engine in ("naive", "fast"):
        tree = case.tree(engine)
        tree.get_parameter(weight).data.fill_(torch.nan)
        root = tree.recurse(case.leaves(case.states()), case.outer(), draws=case.draws()).root
        assert bool(root.isnan().all())
