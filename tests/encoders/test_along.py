"""Folding along given trees, and how likely the scorer is to find them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

import nestree
from nestree.encoders import Encoder
from nestree.trees import Tree
from nestree.trees.fixed import left_branching
from support.engines import assert_same_gradients
from support.random_trees import random_tree
from support.reference import compose, leaf_transform, padded, randomize, score

LENGTHS = [9, 1, 2, 14, 3]
WITH_A_CELL = ["rir-ebt-grc", "ebt-grc", "bt-grc", "egt-grc", "rir-grc", "bbt-grc", "grc"]


def trees_of(seed: int = 0) -> list[Tree]:
    return [random_tree(length, seed + row) for row, length in enumerate(LENGTHS)]


def encoder_of(name: str, **options: object) -> Encoder:
    more = {"s4d": False} if name.startswith("rir") else {}
    return randomize(nestree.build(name, dim=6, **more, **options), 3).double().eval()  # pyright: ignore[reportReturnType]


def by_hand(encoder: Encoder, states: Tensor, trees: list[Tree]) -> list[list[Tensor]]:
    """All nodes of every tree."""
    found = []
    for row, tree in enumerate(trees):
        nodes = [leaf_transform(encoder.leaf, state) for state in states[row, : tree.leaves]]
        for left, right in tree.merges:
            nodes.append(compose(encoder.inner.cell, nodes[left], nodes[right]))
        found.append(nodes)
    return found


@pytest.mark.parametrize("name", WITH_A_CELL)
def test_nodes_and_gradients_are_those_of_the_trees(name: str) -> None:
    encoder, trees = encoder_of(name), trees_of()
    results = []
    for fast in (True, False):
        states = padded(LENGTHS, 6, extra=1).requires_grad_()
        if fast:
            found = encoder(states, torch.tensor(LENGTHS), along=trees, nodes=True, trees=True)
            assert [[parsed.tree for parsed in own] for own in found.trees] == [[tree] for tree in trees]
            root = found.root
            nodes = [
                [own[span] for span in [*((leaf, leaf + 1) for leaf in range(tree.leaves)), *tree.spans()]]
                for own, tree in zip(found.nodes, trees, strict=True)
            ]
        else:
            nodes = by_hand(encoder, states, trees)
            root = torch.stack([own[-1] for own in nodes])
        loss = sum((node.square() * (at + 1)).sum() for own in nodes for at, node in enumerate(own)) + root.sum()
        names = {"states": states, **dict(encoder.named_parameters())}
        gradients = torch.autograd.grad(loss, list(names.values()), materialize_grads=True, allow_unused=True)
        results.append((root, dict(zip(names, gradients, strict=True))))
    (root, gradients), (expected, others) = results
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=0)
    assert_same_gradients(gradients, others, tolerance=1e-10)


def test_the_chain_along_its_own_tree_is_the_chain_without_its_start() -> None:
    encoder = encoder_of("bbt-grc")
    states, lengths = padded([5], 6), torch.tensor([5])
    own = encoder(states, lengths, trees=True)
    torch.testing.assert_close(encoder(states, lengths, along=[own.trees[0][0].tree]).root, own.root)


def test_a_beam_tree_along_its_own_tree_has_the_same_root_and_tokens() -> None:
    encoder = encoder_of("ebt-grc", beam_size=1, token_rounds=2)
    states, lengths = padded(LENGTHS, 6), torch.tensor(LENGTHS)
    own = encoder(states, lengths, trees=True, tokens=True)
    again = encoder(states, lengths, along=[trees[0].tree for trees in own.trees], tokens=True)
    torch.testing.assert_close(again.root, own.root, atol=1e-10, rtol=0)
    torch.testing.assert_close(again.tokens, own.tokens, atol=1e-10, rtol=0)


def test_dropout_in_training_alone() -> None:
    encoder, trees = encoder_of("ebt-grc", dropout=0.5), trees_of()
    states, lengths = padded(LENGTHS, 6), torch.tensor(LENGTHS)

    def root() -> Tensor:
        return encoder(states, lengths, along=trees).root

    assert torch.equal(root(), root())
    encoder.train()
    assert not torch.equal(root(), root())


def test_scores_are_the_probability_of_merges_of_the_tree() -> None:
    encoder, trees = encoder_of("ebt-grc"), trees_of()
    results = []
    for fast in (True, False):
        states = padded(LENGTHS, 6).requires_grad_()
        if fast:
            found = encoder(states, torch.tensor(LENGTHS), along=trees, scores=True).scores.squeeze(-1)
        else:
            totals = []
            for tree, nodes in zip(trees, by_hand(encoder, states, trees), strict=True):
                frontier, total = list(range(tree.leaves)), nodes[0].new_zeros(())
                for number, (left, _) in enumerate(tree.merges[:-1]):
                    pairs = list(pairwise(frontier))
                    scorer = encoder.inner.scorer
                    logits = torch.stack([score(scorer, nodes[a], nodes[b], scorer.width) for a, b in pairs])
                    fits = torch.tensor([pair in tree.merges for pair in pairs])
                    total = total + logits.softmax(0)[fits].sum().log()
                    at = frontier.index(left)
                    frontier[at : at + 2] = [tree.leaves + number]
                totals.append(total)
            found = torch.stack(totals)
        names = {"states": states, **dict(encoder.named_parameters())}
        gradients = torch.autograd.grad(
            (found * torch.arange(1, 6)).sum(), list(names.values()), materialize_grads=True, allow_unused=True
        )
        results.append((found, dict(zip(names, gradients, strict=True))))
    (found, gradients), (expected, others) = results
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    assert_same_gradients(gradients, others, tolerance=1e-9)
    assert found[1] == found[2] == 0  # no choice


def test_supervision_teaches_the_scorer_a_tree() -> None:
    torch.manual_seed(0)
    encoder = nestree.build("ebt-grc", dim=8, dropout=0.0, noise=False)
    states, lengths = torch.randn(6, 8, 8), torch.full((6,), 8)
    trees = [left_branching(8)] * 6
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.02)
    for _ in range(60):
        loss = -encoder(states, lengths, along=trees, scores=True).scores.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = encoder.eval()(states, lengths, trees=True).trees
    assert [set(own[0].tree.spans()) for own in found] == [set(trees[0].spans())] * 6


@pytest.mark.parametrize(
    ("name", "along", "asked", "says"),
    [
        ("ebt-grc", [left_branching(3)], {}, "along must be 2 trees"),
        ("ebt-grc", [left_branching(3), left_branching(3)], {}, r"along\[1\] must be a tree over 2 leaves"),
        ("om", [left_branching(3), left_branching(2)], {}, "along must be None"),
        ("transformer", [left_branching(3), left_branching(2)], {}, "along must be None"),
        ("bt-grc", [left_branching(3), left_branching(2)], {"scores": True}, "scores must be False"),
        ("grc", [left_branching(3), left_branching(2)], {"scores": True}, "scores must be False"),
        ("ebt-grc", [left_branching(3), left_branching(2)], {"tokens": True}, "token_rounds"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(name: str, along: list[Tree], asked: dict[str, bool], says: str) -> None:
    encoder = nestree.build(name, dim=8)
    with pytest.raises(ValueError, match=says):
        encoder(torch.zeros(2, 3, 8), torch.tensor([3, 2]), along=along, **asked)
