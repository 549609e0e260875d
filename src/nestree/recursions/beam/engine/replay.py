"""The replay: gradients of what a search found, walked back through the nodes that are left of it.

Selection is hard, so no gradient flows through beams that were dropped: only the nodes under the surviving roots matter
(the cell's part), and the pairs of the frontiers that the surviving beams passed through (the scorer's part).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nestree.layers import PairScorer
from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.store import NodeStore, mix
from nestree.recursions.draws import dropout_mask

ROWS_AT_ONCE = 1024
"""So many nodes are pulled back at a time: their activations stay in the processor's cache."""


def score_gradient(history: History, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Pull the gradient of a level's final scores back through its steps.

    Each step adds ``logit(chosen) - logsumexp(frontier)`` to a score.

    Args:
        history: of the level's search.
        gradient: (G, W) of the final scores; 0 for beams that are absent.

    Returns:
        The gradients of the scores that the search began with, (G, W), and of the logits of the history's pairs.
    """
    gradient = gradient.clone()
    pair_gradient = gradient.new_zeros(history.pairs)
    for choice in reversed(history.choices):
        groups, beams, pairs = choice.logits.shape
        after = gradient[:groups]
        if choice.slot is not None and choice.share is not None:
            after = after.gather(1, choice.slot).mul_(choice.share)
        after = after[:, : choice.beam.shape[1]]
        before = torch.zeros_like(gradient[:groups, :beams]).scatter_add_(1, choice.beam, after)
        share = torch.exp(choice.logits - choice.log_norm.unsqueeze(-1))
        logit_gradient = share.mul_(-before.unsqueeze(-1)).flatten(1)
        logit_gradient.scatter_add_(1, choice.beam * pairs + choice.position, after)
        pair_gradient.index_add_(0, choice.pairs.flatten(), logit_gradient.flatten())
        gradient[:groups] = 0
        gradient[:groups, :beams] = before
    if history.start is not None:
        slot, share = history.start
        gradient = gradient.gather(1, slot).mul_(share)
    return gradient, pair_gradient


def scorer_gradient(
    store: NodeStore, left: Tensor, right: Tensor, gradient: Tensor, state_gradient: Tensor | None
) -> list[Tensor]:
    """Pull the gradients of pairs' logits back into the scorer and, adding to ``state_gradient``, the children.

    Args:
        store: of the search.
        left: (P,) left children.
        right: (P,) right children.
        gradient: (P,) of the pairs' logits.
        state_gradient: (rows, D), added to in place; None where the children have had theirs.

    Returns:
        Gradients of the scorer's hidden weight, hidden bias and score weight.
    """
    scorer = store.scorer
    assert isinstance(scorer, PairScorer)
    width = scorer.width
    hidden = store.left_half.index_select(0, left).add_(store.right_half.index_select(0, right))
    gradient = gradient.to(hidden.dtype)
    score_weight = (functional.gelu(hidden) * gradient.unsqueeze(-1)).sum(0, keepdim=True)
    hidden_gradient = torch.ops.aten.gelu_backward(gradient.unsqueeze(-1) * scorer.score.weight, hidden)
    halves = hidden.new_zeros(store.rows, 2 * width)
    halves[:, :width].index_add_(0, left, hidden_gradient)
    halves[:, width:].index_add_(0, right, hidden_gradient)
    weight = scorer.hidden.weight
    seen = store.states[: store.rows, :width]
    if state_gradient is not None:
        state_gradient[:, :width].addmm_(halves[:, :width], weight[:, :width])
        state_gradient[:, :width].addmm_(halves[:, width:], weight[:, width:])
    hidden_weight = torch.cat([halves[:, :width].T @ seen, halves[:, width:].T @ seen], dim=1)
    return [hidden_weight, hidden_gradient.sum(0), score_weight]


def parent_scorer_gradient(store: NodeStore, gradient: Tensor, state_gradient: Tensor) -> list[Tensor]:
    """Pull the gradients of nodes' logits as parents back into the scorer and, adding to ``state_gradient``, the nodes.

    Args:
        store: of the search.
        gradient: (rows,) of the nodes' logits.
        state_gradient: (rows, D), added to in place.

    Returns:
        The gradient of the score weight.
    """
    gradient = gradient.to(state_gradient.dtype).unsqueeze(-1)
    state_gradient.addcmul_(gradient, store.scorer.score.weight)
    return [gradient.T @ store.states[: store.rows]]


class CellGradients(NamedTuple):
    """Gradients of the cell's parameters, in the order of its parameters."""

    hidden_weight: Tensor
    hidden_bias: Tensor
    gates_weight: Tensor
    gates_bias: Tensor
    norm_weight: Tensor
    norm_bias: Tensor


def no_gradients(store: NodeStore) -> CellGradients:
    """Return zeros to add to."""
    return CellGradients(*map(torch.zeros_like, store.cell.parameters()))


def cell_gradient(store: NodeStore, roots: Tensor, state_gradient: Tensor) -> CellGradients:
    """Pull the gradients of nodes' states back through the cells below ``roots``, the highest nodes first.

    Args:
        store: of the search.
        roots: rows to start from, any shape.
        state_gradient: (rows, D); the children's share is added in place, so that it ends with the leaves' gradient.

    Returns:
        Gradients of the cell's parameters.
    """
    gradients = no_gradients(store)
    for rows in reachable_by_height(store, roots):
        for part in rows.split(ROWS_AT_ONCE):  # equally high nodes are independent of one another
            below = pull_back(store, part, state_gradient.index_select(0, part), gradients)
            state_gradient.index_add_(0, store.children(part).flatten(), below.flatten(0, 1))
    return gradients


def pull_back(store: NodeStore, rows: Tensor, above: Tensor, gradients: CellGradients | None) -> Tensor:
    """Pull gradients ``above`` (M, D) of the states of ``rows`` (M,) back to their children, (M, 2, D).

    What the cell's parameters get is added to ``gradients``, where there are some.
    """
    cell, dim = store.cell, store.states.shape[1]
    states = store.states.index_select(0, store.children(rows).flatten())
    left, right = states.view(-1, 2, dim).unbind(1)
    hidden = store.hidden.index_select(0, rows)
    gates = store.gates.index_select(0, rows).view(-1, 4, dim)
    new, opened = gates[:, 3], gates[:, :3].sigmoid()

    centred, spread = standardize(mix(left, right, new, opened), cell.norm.eps)
    mixed = standardize_gradient(above * cell.norm.weight, centred, spread)

    through = torch.stack([mixed * left, mixed * right, mixed * new], dim=1)
    gates[:, :3] = torch.ops.aten.sigmoid_backward(through, opened)
    torch.mul(mixed, opened[:, 2], out=gates[:, 3])
    of_gates = gates.view(-1, 4 * dim)

    active = functional.gelu(hidden)
    of_active = of_gates @ cell.gates.weight
    if store.random_bits is not None:
        random_bits = store.random_bits.index_select(0, rows)
        let_through = dropout_mask(random_bits, cell.dropout, hidden.dtype).mul_(1 / (1 - cell.dropout))
        active.mul_(let_through)
        of_active.mul_(let_through)
    of_hidden = torch.ops.aten.gelu_backward(of_active, hidden)
    if gradients is not None:
        gradients.norm_weight.add_((above * centred).sum(0))
        gradients.norm_bias.add_(above.sum(0))
        gradients.gates_weight.addmm_(of_gates.T, active)
        gradients.gates_bias.add_(of_gates.sum(0))
        gradients.hidden_weight.addmm_(of_hidden.T, states.view(-1, 2 * dim))
        gradients.hidden_bias.add_(of_hidden.sum(0))
    return (of_hidden @ cell.hidden.weight).view(-1, 2, dim).addcmul_(opened[:, :2], mixed.unsqueeze(1))


def reachable_by_height(store: NodeStore, roots: Tensor) -> Iterator[Tensor]:
    """Yield the composed rows under ``roots``, those of one height at a time, highest first."""
    reached = torch.zeros(store.rows, dtype=torch.bool, device=roots.device)
    reached[roots.flatten()] = True
    height = store.height[: store.rows]
    order = height.argsort(descending=True)
    counts = height.bincount().flip(0).tolist()[:-1]  # all but the leaves
    for rows in order[: sum(counts)].split(counts):
        here = rows[reached[rows]]
        reached[store.left[here]] = True
        reached[store.right[here]] = True
        yield here


def standardize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return ``x`` (M, D) less its mean, over its standard deviation, and one over that deviation (M, 1)."""
    centred = x - x.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    return centred.mul_(spread), spread


def standardize_gradient(gradient: Tensor, centred: Tensor, spread: Tensor) -> Tensor:
    """Pull a gradient back through the standardization."""
    along = (gradient * centred).mean(-1, keepdim=True)
    return (gradient - gradient.mean(-1, keepdim=True)).addcmul_(centred, along, value=-1).mul_(spread)
