"""The straight-through replay: gradients of a search with one beam, as if every choice had been a softmax.

In the forward pass, the mask m over pairs is one-hot at the chosen pair. In the backward pass it is ``softmax((logits +
noise) / T)``, and every item x of the frontier depends on it:

    x'_i = m_i p_i + (1 - c_i) x_i + (c_i - m_i) x_(i+1),    c = the cumulative sum of m

where p_i is the parent of pair i if all pairs are composed, and else ``cell(sum m_i x_i, sum m_i x_(i+1))``. As m is
one-hot, every x is a row of the node store: only one gradient per node has to be carried from step to step.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from nestree.recursions.beam.engine.cells import no_gradients
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.scoring import Scoring
from nestree.recursions.shapes import (
    GroupIndex,
    OneOrAllPairStates,
    OnePairFlags,
    OnePairIndex,
    OnePairLogits,
    OnePairStates,
    TableStates,
)


def straight_through_gradient(
    scoring: Scoring, histories: list[History], temperature: float, state_gradient: TableStates
) -> list[Tensor]:
    """Pull the gradients of the roots back through the levels of a search.

    Args:
        scoring: the search's scoring.
        histories: histories of its levels, from the leaves up.
        temperature: T.
        state_gradient: (U, D) gradient of the roots; added to in place, so that it ends up with that of the leaves.

    Returns:
        Gradients of the parameters of the cell, then of the scorer.
    """
    store, of_parents = scoring.store, scoring.composes_all
    cell = no_gradients(store.cell)
    slopes = scoring.slopes(histories)
    for level, history in reversed(list(enumerate(histories))):
        for step, merged in reversed(list(enumerate(history.merged))):
            nodes = merged[:, 0]
            below = store.pull_back(nodes, state_gradient.index_select(0, nodes), cell)
            state_gradient.index_add_(0, store.children(nodes).flatten(), below.flatten(0, 1))
            if step < len(history.choices):  # else there was no choice
                choice = history.choices[step]
                number, left, right = slopes.pairs(choice, level)
                groups = len(left)
                new = store.states[number] if of_parents else store.states[nodes[:groups]].unsqueeze(1)
                of_mask = _mask_gradient(
                    state_gradient[_after(left, right, nodes[:groups], choice.position)],
                    new,
                    store.states[left],
                    store.states[right],
                    choice.logits[:, 0] > -torch.inf,
                    None if of_parents else below[:groups],
                )
                of_logits = _logit_gradient(choice, of_mask, temperature).to(state_gradient.dtype)
                slopes.pull_back(number, left, right, of_logits, state_gradient)
    of_scorer = slopes.gradient(cell)  # called first: it may add to the cell's gradients
    return [*cell, *of_scorer]


def _after(left: OnePairIndex, right: OnePairIndex, node: GroupIndex, position: Integer[Tensor, "g 1"]) -> OnePairIndex:
    """Return the frontier (G, P) after ``node`` (G,) has replaced the pair at ``position`` (G, 1)."""
    place = torch.arange(left.shape[1], device=left.device)
    return torch.where(place < position, left, right).scatter_(1, position, node.unsqueeze(1))


def _mask_gradient(
    after: OnePairStates,
    new: OneOrAllPairStates,
    left: OnePairStates,
    right: OnePairStates,
    real: OnePairFlags,
    below: Float[Tensor, "g 2 d"] | None,
) -> OnePairLogits:
    """Return the gradient of the mask (G, P).

    Args:
        after: (G, P, D) gradient of the frontier after the merge.
        new: (G, P, D) the parent of each pair, or (G, 1, D) the same for all pairs.
        left: (G, P, D) left items of the pairs.
        right: (G, P, D) right items.
        real: (G, P) whether there is such a pair.
        below: (G, 2, D) gradients of the cell's two inputs, if the mask selects these.
    """
    move = (after * right).sum(-1)
    moved = (move - (after * left).sum(-1)).masked_fill_(~real, 0)
    gradient = (after * new).sum(-1) - move + moved.flip(-1).cumsum(-1).flip(-1)
    if below is not None:
        gradient += (below[:, :1] * left).sum(-1) + (below[:, 1:] * right).sum(-1)
    return gradient


def _logit_gradient(choice: Choice, of_mask: OnePairLogits, temperature: float) -> OnePairLogits:
    """Pull the gradient of the mask back through the softmax."""
    keys = choice.logits if choice.keys is None else choice.keys
    soft = (keys[:, 0] / temperature).softmax(-1)
    of_mask = of_mask.to(soft.dtype)
    return soft * (of_mask - (soft * of_mask).sum(-1, keepdim=True)) / temperature
