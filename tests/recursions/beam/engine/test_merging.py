"""Merging equal frontiers: with beams enough the search sums over all trees, without merging over all merge orders."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nestree.recursions.beam.engine.merging import classes_of
from support.engines import Case, assert_engines_agree, assert_same_gradients, cases, gradients
from support.reference import expected_root, merge_orders

ENGINES = pytest.mark.parametrize("engine", ["fast", "torch", "naive"])
TREES = [1, 1, 2, 5, 14, 42]
"""How many binary trees there are over 1 to 6 leaves."""


@ENGINES
@pytest.mark.parametrize("length", range(1, 7))
@pytest.mark.parametrize("merge_equal", [True, False], ids=["trees", "merge orders"])
def test_a_wide_beam_sums_over_everything(engine: str, length: int, merge_equal: bool) -> None:
    everything = TREES[length - 1] if merge_equal else math.factorial(length - 1)
    case = Case((length,), everything, arity=None, training=False, merge_equal=merge_equal, dim=3, scorer_width=2)
    tree, states = case.tree(engine), case.states()
    folded = tree.recurse(case.leaves(states), case.outer(), trees=True)
    expected = expected_root(list(merge_orders(tree, list(states[0]))))
    torch.testing.assert_close(folded.root[0], expected, atol=1e-11, rtol=0)
    assert folded.trees is not None
    assert len(folded.trees[0]) == TREES[length - 1]
    if engine == "fast":
        found = gradients(folded.root, tree, states)
        assert_same_gradients(found, gradients(expected.unsqueeze(0), tree, states), tolerance=1e-9)


@given(case=cases(longest=15))
def test_merged_beams_hold_different_trees(case: Case) -> None:
    case = Case(case.lengths, case.beam_size, None, training=case.training, merge_equal=True, seed=case.seed)
    tree = case.tree("fast")
    engine = tree.fast(case.outer(), case.draws())
    with torch.no_grad():
        forest = engine.search(case.leaves(case.states().detach()).packed(), list(case.lengths), record=False)
    trees = tree.recurse(case.leaves(case.states()), case.outer(), trees=True, draws=case.draws()).trees
    assert trees is not None
    for row, scores in enumerate(forest.beams.scores):
        assert len(trees[row]) == int(scores.isfinite().sum())


@pytest.mark.parametrize("alignment", ["none", "sampled", "systematic"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_beams_that_are_equal_when_a_level_starts_are_merged(alignment: str, training: bool) -> None:
    """Groups of two items leave one beam each, so the next level starts with one beam, however many slots it has."""
    case = Case((8,), 4, arity=2, split_from=5, alignment=alignment, training=training, merge_equal=True)
    assert [level.size for level in case.outer().levels([8], training=training)] == [[2] * 4, [4]]
    trees = assert_engines_agree(case).trees[0]
    assert len(trees) == 4


@given(
    codes=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    absent=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_classes_share_their_score_out(codes: list[int], absent: list[bool]) -> None:
    scores = torch.randn(len(codes), dtype=torch.float64)
    scores[torch.tensor(absent[: len(codes)])] = -torch.inf
    classes = classes_of(torch.tensor([codes]), scores.unsqueeze(0))
    for number, code in enumerate(codes):
        same = [other for other, its in enumerate(codes) if its == code and not absent[other]]
        if absent[number]:
            assert classes.total[0, number] == -torch.inf
            assert classes.share[0, number] == 0
            continue
        assert classes.first[0, number] == same[0]
        torch.testing.assert_close(classes.share[0, number], scores[same].softmax(0)[same.index(number)])
        total = scores[same].logsumexp(0) if number == same[0] else torch.tensor(-torch.inf, dtype=torch.float64)
        torch.testing.assert_close(classes.total[0, number], total)
