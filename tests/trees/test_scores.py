"""Scores of trees against enumeration."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.tasks.listops import ListOps, encode, gold_tree
from nestree.tasks.listops.expression import operator_spans
from nestree.trees import ParsedTree, Tree
from nestree.trees.fixed import balanced, left_branching, random_tree, right_branching
from nestree.trees.scores import GoldTree, TreeScore, allowed, bracket_f1, tree_scores
from support.trees import all_trees, cut

EXPRESSION = "[MAX 2 [MIN 4 7 ] 0 [SM 1 [MED 3 3 8 ] ] ]"


def random_pair(leaves: int, seed: int) -> tuple[Tree, Tree]:
    rng = random.Random(seed)
    return random_tree(leaves, rng), random_tree(leaves, rng)


@given(st.integers(1, 20), st.integers(0, 999))
def test_f1_is_that_of_precision_and_recall(leaves: int, seed: int) -> None:
    tree, gold = random_pair(leaves, seed)
    found = [span for span in tree.spans() if span != (0, leaves)]
    wanted = [span for span in gold.spans() if span != (0, leaves)]
    both = sum(a == b for a in found for b in wanted)
    score = bracket_f1(tree, gold)
    if not wanted:
        assert score == 1
    else:
        precision, recall = both / len(found), both / len(wanted)
        assert score == pytest.approx(2 * precision * recall / (precision + recall) if both else 0)
    assert bracket_f1(gold, gold) == 1
    assert bracket_f1(gold, tree) == score


def test_trees_of_different_sentences_are_not_compared() -> None:
    with pytest.raises(ValueError, match="the same number of leaves, not 3 and 4"):
        bracket_f1(left_branching(3), left_branching(4))
    with pytest.raises(ValueError, match="a tree of 3 leaves has a gold tree of 4"):
        tree_scores([ParsedTree(left_branching(3), 1.0)], [GoldTree(left_branching(4), ())])


@given(st.integers(1, 40))
def test_trees_that_take_no_learning(leaves: int) -> None:
    assert set(left_branching(leaves).spans()) == {(0, end) for end in range(2, leaves + 1)}
    assert set(right_branching(leaves).spans()) == {(first, leaves) for first in range(leaves - 1)}
    assert balanced(leaves).height == (leaves - 1).bit_length()


def test_random_trees_cut_anywhere_and_reach_every_tree() -> None:
    rng = random.Random(0)
    drawn = Counter(frozenset(random_tree(5, rng).spans()) for _ in range(4000))
    assert set(drawn) == {frozenset(tree.spans()) for tree in all_trees(5)}
    roots = Counter(
        min(e for f, e in (*spans, (0, 1)) if f == 0 and (e, 5) in (*spans, (4, 5))) for spans in drawn.elements()
    )
    assert all(abs(count / 4000 - 0.25) < 0.04 for count in roots.values())  # 5.8 standard deviations


@given(st.integers(2, 60), st.integers(2, 6), st.integers(0, 99))
def test_random_trees_keep_groups(leaves: int, arity: int, seed: int) -> None:
    groups = cut(leaves, arity)
    ParsedTree(random_tree(leaves, random.Random(seed), groups), 1.0, groups)  # checks them


@pytest.mark.parametrize("leaves", [5, 6, 7])
@pytest.mark.parametrize("arity", [2, 3, 4])
def test_the_limit_is_the_best_of_all_trees_with_the_same_groups(leaves: int, arity: int) -> None:
    groups = cut(leaves, arity)
    needed = {span for level in groups for span in level if span[1] - span[0] > 1}
    trees = [tree for tree in all_trees(leaves) if needed <= set(tree.spans())]
    for gold in all_trees(leaves)[::7]:
        best = max(bracket_f1(tree, gold) for tree in trees)
        scores = tree_scores([ParsedTree(trees[0], 1.0, groups)], [GoldTree(gold, tuple(gold.spans()))])
        assert scores["limit"].f1 == pytest.approx(best)
        assert scores["limit"].recall == pytest.approx(best)
        assert scores["model"].f1 == pytest.approx(bracket_f1(trees[0], gold))
        assert set(allowed(gold.spans(), groups)) == {
            span for span in gold.spans() if not any(crossing(span, group) for group in needed)
        }


def crossing(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[0] < a[1] < b[1] or b[0] < a[0] < b[1] < a[1]


def test_the_gold_tree_of_listops_has_everything() -> None:
    gold = ListOps().gold(encode(EXPRESSION))
    scores = tree_scores([ParsedTree(gold.tree, 1.0)], [gold])
    assert scores["model"] == scores["limit"] == TreeScore(1.0, 1.0)
    assert gold.tree == gold_tree(encode(EXPRESSION))
    assert scores["right"].recall == 0
    assert set(scores) == {"model", "random", "left", "right", "balanced", "limit"}


def test_the_order_inside_of_a_list_is_free() -> None:
    """The operators' spans in a tree that takes its arguments from the right."""
    tokens = encode("[MAX 2 [MIN 4 7 ] ]")
    tree, words = Tree.from_brackets("([MAX (2 (([MIN (4 (7 ]))) ])))")
    assert list(words) == ListOps().words(tokens)
    score = tree_scores([ParsedTree(tree, 1.0)], [ListOps().gold(tokens)])["model"]
    assert score.recall == 1
    assert score.f1 == pytest.approx(1 / 5)


def test_whole_sequences_and_single_tokens_do_not_count() -> None:
    tokens = np.array(encode("[MAX 2 9 ]"))
    assert operator_spans(tokens) == [(0, 4)]
    assert tree_scores([ParsedTree(balanced(4), 1.0)], [ListOps().gold(tokens)])["model"] == TreeScore(0.5, None)
    single = tree_scores([ParsedTree(Tree(1, ()), 1.0)], [ListOps().gold(encode("3"))])
    assert single["model"] == single["random"] == TreeScore(None, None)
    for score in (TreeScore(0.5, None), TreeScore(None, None), TreeScore(0.25, 1.0)):
        assert TreeScore.from_dict(score.as_dict()) == score
