"""Tokens, scores and nodes: the engine against the naive implementation, and parent attention's pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from nestree.layers import ParentAttention
from nestree.layers import parent_attention as module
from nestree.layers.parent_attention import Paths, pair_products, path_sums, segment_softmax
from nestree.native import library
from nestree.recursions.beam.engine.compiled import NativeBackend
from nestree.recursions.beam.engine.paths import Places
from nestree.recursions.beam.options import ENGINES
from nestree.recursions.outputs import OutputRequest, Outputs
from nestree.trees import Span
from support.engines import Case, assert_same_gradients, cases
from support.reference import randomize


def found(case: Case, engine: str, rounds: int = 1) -> tuple[Outputs, dict[str, Tensor]]:
    """Everything that there is, and the gradients of a random weighting of all of it."""
    tree, states = case.tree(engine), case.states()
    attention = ParentAttention(case.dim, rounds=rounds, dropout=case.dropout)
    attention = randomize(attention, case.seed + 1).double().train(case.training)
    torch.manual_seed(case.seed)  # of the attention's own dropout
    every = tree.recurse_with_outputs(
        case.leaves(states), case.outer(), OutputRequest(attention, scores=True, nodes=True), case.draws()
    )
    assert every.tokens is not None
    assert every.scores is not None
    generator = torch.Generator().manual_seed(case.seed)
    parts = [every.root, every.tokens, every.scores.masked_fill(every.scores == -torch.inf, 0)]
    parts += [state for own in every.nodes for _, state in sorted(own.items(), key=lambda item: item[0])]
    loss = sum((part * torch.randn(part.shape, generator=generator, dtype=torch.float64)).sum() for part in parts)
    names = {"leaves": states, **dict(tree.named_parameters(prefix="tree")), **dict(attention.named_parameters())}
    gradients = torch.autograd.grad(loss, list(names.values()), materialize_grads=True, allow_unused=True)
    return every, dict(zip(names, gradients, strict=True))


def spans_of(every: Outputs) -> list[list[set[Span]]]:
    return [[set(tree.spans()) for tree in beams] for beams in every.beams]


def assert_agree(case: Case, rounds: int = 1) -> None:
    *engines, (naive, gradients) = (found(case, engine, rounds) for engine in ENGINES)
    for every, own in engines:
        torch.testing.assert_close(every.root, naive.root, atol=1e-10, rtol=0)
        torch.testing.assert_close(every.tokens, naive.tokens, atol=1e-10, rtol=0)
        torch.testing.assert_close(every.scores, naive.scores, atol=1e-10, rtol=0)
        assert spans_of(every) == spans_of(naive)
        for nodes, others in zip(every.nodes, naive.nodes, strict=True):
            assert nodes.keys() == others.keys()
            for span, state in nodes.items():
                torch.testing.assert_close(state, others[span], atol=1e-10, rtol=0)
        assert_same_gradients(own, gradients, tolerance=1e-10)


@settings(max_examples=30)
@given(case=cases(longest=40))
def test_engines_agree(case: Case) -> None:
    assert_agree(case)


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "case",
    [
        Case((23, 1, 2, 3), 4, arity=None),
        Case((41, 1, 2, 17), 3, arity=4),
        Case((41, 1, 2, 17), 3, arity=6, partial=0.5),
        Case((19, 2, 7), 3, of_parents=True),
        Case((19, 2, 7), 3, arity=None, merge_equal=True),
        Case((1, 1), 3),
        Case((2,), 1),
    ],
    ids=["flat", "grouped", "partial", "parents", "merged", "tokens", "pair"],
)
def test_engines_agree_on(case: Case, rounds: int, training: bool) -> None:
    assert_agree(Case(**{**vars(case), "training": training}), rounds)


def test_every_parameter_gets_a_gradient() -> None:
    _, gradients = found(Case((12, 3), 3, arity=None), "fast")
    assert all(gradient.ne(0).any() for gradient in gradients.values())


@pytest.mark.skipif(library.load() is None, reason="the library was not compiled here")
def test_threads_change_nothing_but_rounding() -> None:
    """Every thread gets the gradients of its own sequences' nodes."""
    case = Case((31, 1, 90, 7, 2, 2, 44), 4)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(found(case, "fast"))
    finally:
        torch.set_num_threads(before)
    (one, gradients), (other, others) = results
    torch.testing.assert_close(one.tokens, other.tokens, atol=1e-12, rtol=0)
    assert_same_gradients(gradients, others, tolerance=1e-12)


@pytest.mark.skipif(library.load() is None, reason="the library was not compiled here")
def test_absent_beams_have_nodes_of_their_own_sequence() -> None:
    case = Case((9, 2, 2, 1), 5, arity=None)
    recursion = case.tree("fast").fast(case.outer(), case.draws())
    with torch.no_grad():
        forest = recursion.search(case.leaves(case.states()).packed(), list(case.lengths), record=True)
    assert isinstance(forest.backend, NativeBackend)
    absent = forest.beams.scores == -torch.inf
    assert absent.any()
    owner = torch.tensor([0] * 9 + [1] * 2 + [2] * 2 + [3])
    sequence, _ = absent.nonzero().unbind(1)
    nodes = forest.beams.nodes[absent]
    while bool((nodes >= 14).any()):  # down to the leaves
        nodes = torch.where(nodes < 14, nodes, forest.store.left[nodes])
    assert torch.equal(owner[nodes], sequence)


def test_neighbours_change_no_token() -> None:
    alone, together = (found(Case(lengths, 3, training=False), "fast")[0] for lengths in [(13,), (13, 40, 1)])
    assert alone.tokens is not None
    assert together.tokens is not None
    torch.testing.assert_close(together.tokens[:13], alone.tokens, atol=1e-12, rtol=0)


# --- places and paths


class Store:
    """((0 1) (2 3)), and in another beam (0 (1 (2 3)))."""

    states = torch.zeros(8, 1)
    left = torch.tensor([0, 0, 0, 0, 0, 2, 4, 1, 0])
    right = torch.tensor([0, 0, 0, 0, 1, 3, 5, 5, 7])
    leaves, rows = 4, 9


def test_places_and_paths_of_two_trees() -> None:
    places = Places.under(torch.tensor([6, 8]), Store)
    paths, rows = places.paths(4)
    above = [
        [
            (rows[node].item(), height.item())
            for node, height, at in zip(paths.node, paths.height, paths.segment, strict=True)
            if at == segment
        ]
        for segment in range(8)
    ]
    assert paths.leaf.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert paths.beam.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert above == [
        *[[(4, 1), (6, 2)]] * 2,
        *[[(5, 1), (6, 2)]] * 2,
        [(8, 3)],
        [(7, 2), (8, 3)],
        *[[(5, 1), (7, 2), (8, 3)]] * 2,
    ]


# --- parent attention


def some_paths() -> Paths:
    segment, node = torch.tensor([0, 0, 2, 2, 2, 3]), torch.tensor([1, 0, 2, 1, 0, 2])
    return Paths(
        torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1]), segment, node, torch.tensor([1, 2, 1, 2, 15, 3])
    )


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_pair_products_and_their_gradients(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", at_once)
    paths = some_paths()
    queries, keys = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 3))

    def products(queries: Tensor, keys: Tensor) -> Tensor:
        return pair_products(queries, keys, paths)

    expected = (queries[paths.segment] * keys[paths.node]).sum(-1)
    torch.testing.assert_close(products(queries, keys), expected)
    assert torch.autograd.gradcheck(products, (queries, keys))
    assert torch.autograd.gradgradcheck(products, (queries, keys))


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_path_sums_and_their_gradients(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", at_once)
    paths = some_paths()
    values, weights = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2), (6,)))

    def sums(values: Tensor, weights: Tensor) -> Tensor:
        return path_sums(values, weights, paths)

    rows = weights.unsqueeze(-1) * values[paths.node]
    torch.testing.assert_close(sums(values, weights), rows.new_zeros(4, 2).index_add(0, paths.segment, rows))
    assert torch.autograd.gradcheck(sums, (values, weights))
    assert torch.autograd.gradgradcheck(sums, (values, weights))


def test_segment_softmax_is_a_softmax_per_segment() -> None:
    energy = torch.tensor([1.0, 1000.0, -2.0, 0.0, 3.0, -1e4], dtype=torch.float64)
    paths = some_paths()
    found = segment_softmax(energy, paths.segment, 4)
    expected = torch.cat([energy[:2].softmax(0), energy[2:5].softmax(0), torch.ones(1, dtype=torch.float64)])
    torch.testing.assert_close(found, expected)


def test_dropout_works_in_training_alone() -> None:
    attention = ParentAttention(6, dropout=0.5)
    inputs = torch.randn(3, 6), torch.randn(3, 6), some_paths(), torch.tensor([0.7, 0.3])
    assert not torch.equal(attention(*inputs), attention(*inputs))
    attention.eval()
    assert torch.equal(attention(*inputs), attention(*inputs))


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"dim": 4, "rounds": 0}, {"dim": 4, "dropout": 1.0}], ids=str)
def test_wrong_arguments_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        ParentAttention(**wrong)  # pyright: ignore[reportArgumentType]
