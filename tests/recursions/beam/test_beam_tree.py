"""The beam tree, flat and inside the outer tree, by every engine: against greedy search, enumeration and loops."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell, PairScorer, ParentScorer
from nestree.recursions import BeamSearch, BeamTree, Draws, KeyedDraws, Outer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.naive import Beam, Node
from nestree.recursions.beam.options import ENGINES
from nestree.recursions.draws import Sites, dropout_mask
from nestree.recursions.lengths import Lengths
from support.reference import (
    Training,
    assert_same_gradients,
    beam_search,
    compose,
    expected_root,
    frontier_log_probabilities,
    greedy,
    merge_orders,
    padded,
    randomize,
    rir_beam,
)

DIM = 4
FLAT = Outer()
EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)
SCORERS = st.sampled_from([2, "parents"])
"""What a beam tree is made of: how many features its scorer reads of a child, or that it reads parents."""
LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def beam_tree(
    beam_size: int,
    *,
    engine: str = "naive",
    seed: int = 0,
    width: int | str | None = 2,
    dropout: float = 0.0,
    noise: bool = True,
    merge_equal: bool = False,
    training: bool = False,
) -> BeamTree:
    cell = GatedRecursiveCell(DIM, dropout=dropout)
    scorer = ParentScorer(DIM) if width == "parents" else PairScorer(DIM, width=width)
    tree = BeamTree(cell, scorer, BeamSearch(beam_size, noise, merge_equal, engine))
    return randomize(tree.double(), seed).train(training)


def leaves(lengths: list[int], seed: int = 0) -> Leaves:
    states = padded(lengths, DIM, seed=seed).nan_to_num(0).requires_grad_()
    return Leaves(states, Lengths.of(lengths))


def rows(batch: Leaves) -> list[list[Tensor]]:
    return [list(row[:length]) for row, length in zip(batch.states, batch.lengths.host, strict=True)]


def assert_equal(tree: BeamTree, batch: Leaves, root: Tensor, expected: Tensor) -> None:
    """Compare roots and the gradients of weights and leaves."""
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn(root.shape, generator=torch.Generator().manual_seed(1), dtype=root.dtype)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(tree, one, other)


# --- the search


@EVERY_ENGINE
@settings(max_examples=15)
@given(lengths=LENGTHS, seed=st.integers(0, 99), width=st.none() | st.integers(1, DIM) | SCORERS)
def test_width_1_equals_greedy_search(engine: str, lengths: list[int], seed: int, width: int | str | None) -> None:
    tree, batch = beam_tree(1, engine=engine, seed=seed, width=width), leaves(lengths, seed)
    root = tree.recurse(batch, FLAT).root
    assert_equal(tree, batch, root, torch.stack([greedy(tree, row) for row in rows(batch)]))


@EVERY_ENGINE
@settings(max_examples=12)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=2), seed=st.integers(0, 99), width=SCORERS)
def test_a_wide_enough_beam_sums_over_all_merge_orders(
    engine: str, lengths: list[int], seed: int, width: int | str
) -> None:
    orders = math.factorial(max(max(lengths) - 1, 1))
    tree, batch = beam_tree(orders + seed % 4, engine=engine, seed=seed, width=width), leaves(lengths, seed)
    root = tree.recurse(batch, FLAT).root
    assert_equal(tree, batch, root, torch.stack([expected_root(list(merge_orders(tree, row))) for row in rows(batch)]))


@EVERY_ENGINE
def test_six_leaves_have_120_merge_orders(engine: str) -> None:
    tree, batch = beam_tree(120, engine=engine, seed=3), leaves([6])
    orders = list(merge_orders(tree, rows(batch)[0]))
    assert len(orders) == 120
    assert sum(total.exp().item() for total, _ in orders) == pytest.approx(1)
    assert_equal(tree, batch, tree.recurse(batch, FLAT).root, expected_root(orders).unsqueeze(0))


TREES = {1: 1, 2: 1, 3: 2, 4: 5, 5: 14, 6: 42}
"""How many binary trees there are over so many leaves: Catalan's numbers."""


@EVERY_ENGINE
@pytest.mark.parametrize("length", TREES)
def test_a_beam_as_wide_as_there_are_trees_will_do_where_equal_frontiers_are_merged(engine: str, length: int) -> None:
    tree, batch = beam_tree(TREES[length], engine=engine, seed=length, merge_equal=True), leaves([length])
    folded = tree.recurse(batch, FLAT, trees=True)
    assert len(folded.trees[0]) == TREES[length]
    assert_equal(tree, batch, folded.root, expected_root(list(merge_orders(tree, rows(batch)[0]))).unsqueeze(0))


@EVERY_ENGINE
@settings(max_examples=15)
@given(lengths=LENGTHS, beam_size=st.integers(1, 5), seed=st.integers(0, 99), width=SCORERS)
def test_search_equals_the_loop(engine: str, lengths: list[int], beam_size: int, seed: int, width: int | str) -> None:
    tree, batch = beam_tree(beam_size, engine=engine, seed=seed, width=width), leaves(lengths, seed)
    expected = [expected_root(beam_search(tree, [(row[0].new_zeros(()), row)])) for row in rows(batch)]
    assert_equal(tree, batch, tree.recurse(batch, FLAT).root, torch.stack(expected))


@EVERY_ENGINE
@settings(max_examples=15)
@given(lengths=LENGTHS, beam_size=st.integers(1, 4), seed=st.integers(0, 99))
def test_training_without_noise_and_dropout_equals_evaluation(
    engine: str, lengths: list[int], beam_size: int, seed: int
) -> None:
    tree, batch = beam_tree(beam_size, engine=engine, seed=seed, noise=False), leaves(lengths, seed)
    root = tree.recurse(batch, FLAT).root
    assert torch.equal(tree.train().recurse(batch, FLAT).root, root)


@EVERY_ENGINE
def test_search_gradients_are_right(engine: str) -> None:
    tree, batch = beam_tree(2, engine=engine, seed=5), leaves([4, 3])

    def root(states: Tensor, *_: Tensor) -> Tensor:
        return tree.recurse(Leaves(states, batch.lengths), FLAT).root

    assert torch.autograd.gradcheck(root, (batch.states, *tree.parameters()), fast_mode=True)


# --- the trees that are reported


@EVERY_ENGINE
@given(length=st.integers(1, 5), seed=st.integers(0, 99))
def test_trees_sum_the_merge_orders_that_make_them(engine: str, length: int, seed: int) -> None:
    tree, batch = beam_tree(math.factorial(max(length - 1, 1)), engine=engine, seed=seed), leaves([length], seed)
    (found,) = tree.recurse(batch, FLAT, trees=True).trees
    expected: Counter[frozenset[tuple[int, int]]] = Counter()
    for order in itertools.product(*(range(size - 1) for size in range(length, 1, -1))):
        probability, frontier, bounds = 1.0, rows(batch)[0], [(leaf, leaf + 1) for leaf in range(length)]
        spans = set()
        for at in order:
            if len(frontier) > 2:
                probability *= frontier_log_probabilities(tree, frontier)[at].exp().item()
            frontier = [*frontier[:at], compose(tree.cell, *frontier[at : at + 2]), *frontier[at + 2 :]]
            bounds = [*bounds[:at], (bounds[at][0], bounds[at + 1][1]), *bounds[at + 2 :]]
            spans.add(bounds[at])
        expected[frozenset(spans)] += probability
    assert {frozenset(parsed.tree.spans()): parsed.probability for parsed in found} == pytest.approx(expected)
    probabilities = [parsed.probability for parsed in found]
    assert probabilities == sorted(probabilities, reverse=True)


# --- stochastic top-k


@EVERY_ENGINE
def test_width_1_draws_pairs_by_their_probability(engine: str) -> None:
    tree, count = beam_tree(1, engine=engine, seed=2, training=True), 300 if engine == "naive" else 2000
    states = leaves([3]).states.expand(count, -1, -1)
    batch = Leaves(states, Lengths.of([3] * count))
    probability = frontier_log_probabilities(tree, list(states[0])).exp()[0].item()
    assert 0.2 < probability < 0.8
    found = tree.recurse(batch, FLAT, trees=True, draws=Draws(torch.Generator().manual_seed(4))).trees
    share = sum(parsed.tree.merges[0] == (0, 1) for (parsed,) in found) / count
    assert share == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / count))


def test_top_k_draws_pairs_without_replacement() -> None:
    """Which two of three pairs start a beam of width 2: Gumbel top-k is drawing without replacement."""
    tree, draws = beam_tree(2, seed=2, training=True), Draws(torch.Generator().manual_seed(4))
    frontier = tuple(Node(leaf) for leaf in rows(leaves([4]))[0])
    start, count = [Beam(torch.zeros((), dtype=torch.float64), frontier)], 800
    search = tree.naive(FLAT, 0, torch.device("cpu"), draws)
    drawn = Counter(
        frozenset(at for _, at in search.select(start, composed={}, level=0, group=0, step=0)[1]) for _ in range(count)
    )
    p = frontier_log_probabilities(tree, [node.state for node in frontier]).exp().tolist()
    for one, other in itertools.combinations(range(3), 2):
        expected = p[one] * p[other] * (1 / (1 - p[one]) + 1 / (1 - p[other]))
        error = 4 * math.sqrt(expected * (1 - expected) / count)
        assert drawn[frozenset({one, other})] / count == pytest.approx(expected, abs=error)


@given(length=st.integers(1, 5), beam_size=st.integers(1, 4), seed=st.integers(0, 99))
def test_scores_add_up_noiseless_log_probabilities(length: int, beam_size: int, seed: int) -> None:
    """In training too, every beam is a merge order with its own log-probability; the best comes first."""
    tree, row = beam_tree(beam_size, seed=seed, training=True), leaves([length], seed).states[0]
    beams = tree.naive(FLAT, 0, torch.device("cpu"), KeyedDraws(seed))(row)
    orders = list(merge_orders(tree, list(row)))
    for beam in beams:
        assert any(
            torch.allclose(total, beam.score, atol=1e-10) and torch.allclose(root, beam.frontier[0].state, atol=1e-10)
            for total, root in orders
        )
    scores = [beam.score.item() for beam in beams]
    assert scores == sorted(scores, reverse=True)


@EVERY_ENGINE
def test_noise_explores_in_training_only(engine: str) -> None:
    tree, batch = beam_tree(2, engine=engine, seed=1, training=True), leaves([8, 7])
    roots = [tree.recurse(batch, FLAT, draws=KeyedDraws(seed)).root for seed in range(4)]
    assert not all(torch.equal(root, roots[0]) for root in roots[1:])
    tree.eval()
    roots = [tree.recurse(batch, FLAT, draws=KeyedDraws(seed)).root for seed in range(2)]
    assert torch.equal(*roots)


# --- dropout masks belong to nodes


class CountedDraws(KeyedDraws):
    """Keyed draws that count the nodes they made a mask for."""

    asked = 0
    calls = 0

    def random_bits(self, sites: Sites, step: int, beam: Tensor, features: int) -> Tensor:
        self.asked += len(beam)
        self.calls += 1
        return super().random_bits(sites, step, beam, features)


def test_a_pair_is_composed_once_whatever_beams_ask_for_it() -> None:
    tree, draws = beam_tree(6, seed=1, dropout=0.5, training=True), CountedDraws(1)
    beams = tree.naive(FLAT, 0, torch.device("cpu"), draws)(leaves([4]).states[0])
    assert len(beams) == 6  # all merge orders of four leaves: five trees
    assert draws.asked == 3 + 4 + 5  # pairs of leaves; a pair and a leaf; the roots
    states: dict[tuple, list[Tensor]] = {}
    for beam in beams:
        states.setdefault(shape(beam.frontier[0]), []).append(beam.frontier[0].state)
    assert sorted(len(group) for group in states.values()) == [1, 1, 1, 1, 2]
    assert all(torch.equal(group[0], other) for group in states.values() for other in group)


def shape(node: Node) -> tuple:
    return () if node.children is None else tuple(shape(child) for child in node.children)


@settings(max_examples=15)
@given(length=st.integers(1, 20), beam_size=st.integers(1, 3), width=SCORERS)
def test_n_tokens_take_n_minus_1_cells_one_after_the_other(length: int, beam_size: int, width: int | str) -> None:
    """Where parents are scored: all pairs at first, then the two beside each new node."""
    tree, draws = beam_tree(beam_size, engine="fast", width=width, dropout=0.5, training=True), CountedDraws(1)
    tree.recurse(leaves([length]), FLAT, draws=draws)
    assert draws.calls <= length - 1  # fewer where all that a step asks for is composed already
    assert draws.calls == length - 1 or beam_size > 1
    first = length - 1 if width == "parents" else beam_size * (length > 1)
    assert draws.asked <= first + (2 if width == "parents" else 1) * beam_size * max(length - 2, 0)


@EVERY_ENGINE
@pytest.mark.parametrize("noise", [True, False], ids=["noise", "no noise"])
@settings(max_examples=15)
@given(length=st.integers(1, 7), beam_size=st.integers(1, 5), seed=st.integers(0, 99), width=SCORERS)
def test_training_equals_the_loop_with_the_same_draws(
    engine: str, noise: bool, length: int, beam_size: int, seed: int, width: int | str
) -> None:
    """A node takes the mask of the first step, and there the lowest beam, that asks for it."""
    tree = beam_tree(beam_size, engine=engine, seed=seed, width=width, dropout=0.5, noise=noise, training=True)
    batch, draws = leaves([length], seed), KeyedDraws(seed)
    place = Sites(torch.tensor([0]), torch.tensor([0]), 0)

    def pair_noise(step: int, beams: int, pairs: int) -> Tensor:
        return draws.pair_noise(place, step, beams, pairs, torch.float64)[0] * noise

    def candidate_noise(step: int, beams: int, pairs: int) -> Tensor:
        position = torch.arange(pairs).expand(1, beams, pairs)
        return draws.candidate_noise(place, step, position, torch.float64)[0] * noise

    def mask(step: int, beam: int) -> Tensor:
        return 2 * dropout_mask(draws.random_bits(place, step, torch.tensor([beam]), 4 * DIM), 0.5, torch.float64)[0]

    start = [(torch.zeros((), dtype=torch.float64), rows(batch)[0])]
    expected = expected_root(beam_search(tree, start, Training(pair_noise, candidate_noise, mask)))
    assert_equal(tree, batch, tree.recurse(batch, FLAT, draws=draws).root, expected.unsqueeze(0))


# --- recursion in recursion


@EVERY_ENGINE
@pytest.mark.parametrize("alignment", ["systematic", "none"])
@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(1, 16), min_size=1, max_size=2),
    arity=st.integers(2, 4),
    beam_size=st.integers(1, 4),
    seed=st.integers(0, 99),
    width=SCORERS,
)
def test_recursion_in_recursion_equals_the_loop(
    engine: str, alignment: str, lengths: list[int], arity: int, beam_size: int, seed: int, width: int | str
) -> None:
    tree, batch = beam_tree(beam_size, engine=engine, seed=seed, width=width), leaves(lengths, seed)
    root = tree.recurse(batch, Outer(arity, alignment=alignment)).root
    expected = [expected_root(rir_beam(tree, row, arity, alignment)) for row in rows(batch)]
    assert_equal(tree, batch, root, torch.stack(expected))


@EVERY_ENGINE
@pytest.mark.parametrize("alignment", ["systematic", "none"])
def test_recursion_in_recursion_by_hand(engine: str, alignment: str) -> None:
    """Five tokens, arity 3, two beams: groups (a b c) (d e), then their two roots."""
    tree, batch = beam_tree(2, engine=engine, seed=6), leaves([5])
    a, b, c, d, e = rows(batch)[0]
    log_probabilities = frontier_log_probabilities(tree, [a, b, c])
    roots = [
        compose(tree.cell, compose(tree.cell, a, b), c),
        compose(tree.cell, a, compose(tree.cell, b, c)),
    ]
    best = int(log_probabilities.argmax())
    # The quantile of the one free slot is 1/2: the better of two beams again. Without alignment the other one follows.
    slots = [best, best if alignment == "systematic" else 1 - best]
    second = compose(tree.cell, d, e)
    expected = expected_root([(log_probabilities[slot], compose(tree.cell, roots[slot], second)) for slot in slots])
    assert_equal(tree, batch, tree.recurse(batch, Outer(3, alignment=alignment)).root, expected.unsqueeze(0))


@EVERY_ENGINE
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("alignment", ["sampled", "systematic", "random", "none"])
@settings(max_examples=5)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    spare=st.integers(0, 3),
    beam_size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_an_arity_of_at_least_the_length_is_the_flat_beam_tree(
    engine: str, training: bool, alignment: str, lengths: list[int], spare: int, beam_size: int, seed: int
) -> None:
    tree = beam_tree(beam_size, engine=engine, seed=seed, dropout=0.3, training=training)
    batch, outer = leaves(lengths, seed), Outer(max(2, max(lengths) + spare), alignment=alignment)
    roots = [tree.recurse(batch, shape, draws=KeyedDraws(seed)).root for shape in (outer, FLAT)]
    assert torch.equal(*roots)


@EVERY_ENGINE
@pytest.mark.parametrize("alignment", ["sampled", "random"])
def test_alignments_are_drawn_in_training_and_at_evaluation_only_when_asked(engine: str, alignment: str) -> None:
    batch = leaves([9])

    def different(outer: Outer, *, training: bool) -> bool:
        tree = beam_tree(3, engine=engine, seed=1, noise=False, training=training)
        roots = [tree.recurse(batch, outer, draws=KeyedDraws(seed)).root for seed in range(5)]
        return not all(torch.equal(root, roots[0]) for root in roots)

    assert different(Outer(3, alignment=alignment), training=True)
    assert not different(Outer(3, alignment=alignment), training=False)
    assert different(Outer(3, alignment=alignment, sample_at_evaluation=True), training=False)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"beam_size": 0}, "beam_size"), ({"engine": "fastest"}, "engine"), ({"dim": 5}, "scorer")],
    ids=["beam_size", "engine", "widths"],
)
def test_bad_arguments_are_named(options: dict, named: str) -> None:
    dim = options.pop("dim", DIM)
    with pytest.raises(ValueError, match=f"^{named} must"):
        BeamTree(GatedRecursiveCell(DIM), PairScorer(dim), BeamSearch(**options))
