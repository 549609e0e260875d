"""How likely a scorer is to find given trees."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nestree.layers import Scorer
from nestree.recursions.along import GivenNodes
from nestree.recursions.beam.engine.recomputed import fixed_weights
from nestree.recursions.beam.naive import score_dtype
from nestree.recursions.shapes import TableStates
from nestree.trees import Tree


def tree_log_prob(scorer: Scorer, states: TableStates, given: GivenNodes, trees: Sequence[Tree]) -> Float[Tensor, " b"]:
    """Return, for each sequence, the log-probability (B,) that every merge of a search belongs to the given tree.

    The tree is built in the order of its merges. At each step the probabilities of all pairs that the tree merges are
    added up, so that independent merges may come in any order. The last merge has no alternative and adds nothing.
    Without noise; differentiable in the scorer and in ``states``.

    Args:
        scorer: a pair scorer; a parent scorer would need the parents of all pairs, which given trees do not have.
        states: (U, D) node states, as [`AlongTrees`][nestree.recursions.along.AlongTrees] computes them.
        given: the nodes of the trees.
        trees: one per sequence.
    """
    if scorer.reads_parents:
        raise ValueError("along has no scores where the scorer reads parents: use an encoder with a pair scorer (ebt)")
    numbers: dict[tuple[int, int], int] = {}
    steps: list[tuple[int, list[int], list[bool]]] = []  # (sequence, its pairs, whether the tree merges each)
    for sequence, tree in enumerate(trees):
        steps.extend((sequence, *step) for step in _steps(given.rows[sequence], tree, numbers))
    if not steps:
        return states.new_zeros(len(trees), dtype=score_dtype(states))
    left, right = torch.tensor(list(numbers), device=states.device).unbind(1)
    with torch.autocast(states.device.type, enabled=False), fixed_weights(scorer):
        logits = scorer(states[left], states[right])
    logits = logits.to(score_dtype(logits))
    longest = max(len(pairs) for _, pairs, _ in steps)
    places = np.full((len(steps), longest), -1)
    good = np.zeros((len(steps), longest), dtype=bool)
    for row, (_, pairs, fits) in enumerate(steps):
        places[row, : len(pairs)] = pairs
        good[row, : len(pairs)] = fits
    place, fits = torch.from_numpy(places).to(states.device), torch.from_numpy(good).to(states.device)
    table = logits[place.clamp(min=0)].masked_fill(place < 0, -torch.inf)
    of_steps = table.masked_fill(~fits, -torch.inf).logsumexp(-1) - table.logsumexp(-1)
    owner = torch.tensor([sequence for sequence, _, _ in steps], device=states.device)
    return of_steps.new_zeros(len(trees)).index_add(0, owner, of_steps)


def _steps(rows: list[int], tree: Tree, numbers: dict[tuple[int, int], int]) -> list[tuple[list[int], list[bool]]]:
    """Return the pairs of the frontier before each merge except the last, by ``numbers``, and which the tree merges."""
    merged = set(tree.merges)
    frontier = list(range(tree.leaves))
    found: list[tuple[list[int], list[bool]]] = []
    for number, (left, _) in enumerate(tree.merges[:-1]):
        pairs = list(pairwise(frontier))
        found.append(
            (
                [numbers.setdefault((rows[one], rows[other]), len(numbers)) for one, other in pairs],
                [pair in merged for pair in pairs],
            )
        )
        at = frontier.index(left)
        frontier[at : at + 2] = [tree.leaves + number]
    return found
