"""Parts that must be constituents: the engine against the naive implementation, and what trees come out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import nestree
from nestree.recursions.beam.options import ENGINES
from nestree.recursions.outputs import OutputRequest, Outputs
from nestree.trees import Span
from support.engines import Case, assert_same_gradients
from support.random_trees import random_tree
from support.reference import padded


def spans_of(case: Case) -> list[list[Span]]:
    chooser = random.Random(case.seed)
    return [
        [span for span in random_tree(length, case.seed + row).spans() if chooser.random() < 0.4]
        for row, length in enumerate(case.lengths)
    ]


def found(case: Case, engine: str) -> tuple[Outputs, dict[str, Tensor]]:
    tree, states = case.tree(engine), case.states()
    every = tree.recurse_with_outputs(
        case.leaves(states), case.outer(), OutputRequest(scores=True, together=spans_of(case)), case.draws()
    )
    assert every.scores is not None
    loss = every.root.square().sum() + every.scores.masked_fill(every.scores == -torch.inf, 0).square().sum()
    names = {"leaves": states, **dict(tree.named_parameters())}
    gradients = torch.autograd.grad(loss, list(names.values()), materialize_grads=True)
    return every, dict(zip(names, gradients, strict=True))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "case",
    [
        Case((14, 9, 1, 2, 3), 3, arity=None),
        Case((11, 6), 4, arity=None, of_parents=True),
        Case((11, 6), 4, arity=None, merge_equal=True),
    ],
    ids=["pairs", "parents", "merged"],
)
def test_engines_agree_and_trees_have_the_parts(case: Case, seed: int, training: bool) -> None:
    case = replace(case, seed=seed, training=training)
    *engines, (naive, others) = (found(case, engine) for engine in ENGINES)
    for every, gradients in engines:
        torch.testing.assert_close(every.root, naive.root, atol=1e-10, rtol=0)
        torch.testing.assert_close(every.scores, naive.scores, atol=1e-10, rtol=0)
        assert_same_gradients(gradients, others, tolerance=1e-10)
        for beams, wanted in zip(every.beams, spans_of(case), strict=True):
            assert beams
            assert all(set(wanted) <= set(tree.spans()) for tree in beams)


def test_a_whole_tree_leaves_no_choice_of_tree() -> None:
    encoder = nestree.build("ebt-grc", dim=8).double().eval()
    states, lengths = padded([9, 4], 8), torch.tensor([9, 4])
    trees = [random_tree(9, 1), random_tree(4, 2)]
    found = encoder(states, lengths, together=[tree.spans() for tree in trees], trees=True)
    assert [[set(parsed.tree.spans()) for parsed in own] for own in found.trees] == [[set(t.spans())] for t in trees]
    along = encoder(states, lengths, along=trees)
    torch.testing.assert_close(found.root, along.root, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("name", "together", "says"),
    [
        ("ebt-grc", [[(0, 2)]], "together must be 2 lists"),
        ("ebt-grc", [[(0, 10)], []], r"together\[0\] has \(0, 10\), which is not a span of 9 tokens"),
        ("ebt-grc", [[(0, 3), (2, 5)], []], r"together\[0\] has spans that cross"),
        ("rir-ebt-grc", [[(2, 5)], []], r"together\[0\] must not cross group boundaries"),
        ("grc", [[], []], "together must be None"),
        ("s4d", [[], []], "together must be None"),
    ],
)
def test_what_does_not_fit_is_named(name: str, together: list[list[Span]], says: str) -> None:
    encoder = nestree.build(name, dim=8, **({"arity": 4} if name.startswith("rir") else {}))
    with pytest.raises(ValueError, match=says):
        encoder(torch.zeros(2, 9, 8), torch.tensor([9, 4]), together=together)


def test_spans_within_groups_are_kept() -> None:
    encoder = nestree.build("rir-ebt-grc", dim=8, arity=4).eval()
    found = encoder(torch.randn(1, 12, 8), torch.tensor([12]), together=[[(5, 7), (4, 7), (8, 12)]], trees=True)
    assert all({(5, 7), (4, 7), (8, 12)} <= set(parsed.tree.spans()) for parsed in found.trees[0])
