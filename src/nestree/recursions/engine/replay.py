"""The replay: gradients of what a search found, walked back through the nodes that are left of it.

Selection is hard, so no gradient flows through beams that were dropped: only the nodes under the surviving roots matter
(the cell's part), and the pairs of the frontiers that the surviving beams passed through (the scorer's part).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nestree.recursions.draws import dropout_mask
from nestree.recursions.engine.search import History
from nestree.recursions.engine.store import NodeStore, mix


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
        after = gradient[:groups, : choice.beam.shape[1]]
        before = torch.zeros_like(gradient[:groups, :beams]).scatter_add_(1, choice.beam, after)
        share = torch.exp(choice.logits - choice.log_norm.unsqueeze(-1))
        logit_gradient = share.mul_(-before.unsqueeze(-1)).flatten(1)
        logit_gradient.scatter_add_(1, choice.beam * pairs + choice.position, after)
        pair_gradient.index_add_(0, choice.pairs.flatten(), logit_gradient.flatten())
        gradient[:groups] = 0
        gradient[:groups, :beams] = before
    return gradient, pair_gradient


def scorer_gradient(
    store: NodeStore, left: Tensor, right: Tensor, gradient: Tensor, state_gradient: Tensor
) -> list[Tensor]:
    """Pull the gradients of pairs' logits back into the scorer and, adding to ``state_gradient``, the children.

    Args:
        store: of the search.
        left: (P,) left children.
        right: (P,) right children.
        gradient: (P,) of the pairs' logits.
        state_gradient: (rows, D), added to in place.

    Returns:
        Gradients of the scorer's hidden weight, hidden bias and score weight.
    """
    scorer, width = store.scorer, store.scorer.width
    hidden = store.left_half.index_select(0, left).add_(store.right_half.index_select(0, right))
    gradient = gradient.to(hidden.dtype)
    score_weight = (functional.gelu(hidden) * gradient.unsqueeze(-1)).sum(0, keepdim=True)
    hidden_gradient = torch.ops.aten.gelu_backward(gradient.unsqueeze(-1) * scorer.score.weight, hidden)
    halves = hidden.new_zeros(store.rows, 2 * width)
    halves[:, :width].index_add_(0, left, hidden_gradient)
    halves[:, width:].index_add_(0, right, hidden_gradient)
    weight = scorer.hidden.weight
    seen = store.states[: store.rows, :width]
    state_gradient[:, :width].addmm_(halves[:, :width], weight[:, :width])
    state_gradient[:, :width].addmm_(halves[:, width:], weight[:, width:])
    hidden_weight = torch.cat([halves[:, :width].T @ seen, halves[:, width:].T @ seen], dim=1)
    return [hidden_weight, hidden_gradient.sum(0), score_weight]


def cell_gradient(store: NodeStore, roots: Tensor, state_gradient: Tensor) -> list[Tensor]:
    """Pull the gradients of nodes' states back through the cells below ``roots``, the highest nodes first.

    Args:
        store: of the search.
        roots: rows to start from, any shape.
        state_gradient: (rows, D); the children's share is added in place, so that it ends with the leaves' gradient.

    Returns:
        Gradients of the cell's hidden weight and bias, gates' weight and bias, and norm's weight and bias.
    """
    cell, dim = store.cell, store.states.shape[1]
    rows, counts = reachable_by_height(store, roots)
    children = torch.stack([store.left[rows], store.right[rows]], dim=1)
    states = store.states.index_select(0, children.flatten()).view(-1, 2, dim)
    hidden, gates = store.hidden.index_select(0, rows), store.gates.index_select(0, rows)
    active = functional.gelu(hidden)
    let_through = torch.ones_like(hidden)
    if store.words is not None:
        words = store.words.index_select(0, rows)
        let_through = dropout_mask(words, cell.dropout, hidden.dtype).mul_(1 / (1 - cell.dropout))
        active.mul_(let_through)
    slope = torch.ops.aten.gelu_backward(let_through, hidden)
    centred, spread = standardize(mix(states, gates), cell.norm.eps)
    open_gates = gates[:, : 3 * dim].sigmoid()
    gate_slope = torch.cat(
        [open_gates * (1 - open_gates) * values_of_gates(states, gates), open_gates[:, 2 * dim :]], 1
    )
    above = torch.empty_like(centred)
    gates_gradient, hidden_gradient = torch.empty_like(gates), hidden  # the hidden layer itself is used up
    start = 0
    for count in counts:
        part = slice(start, start + count)
        start += count
        torch.index_select(state_gradient, 0, rows[part], out=above[part])
        mixed = normalize_gradient(above[part] * cell.norm.weight, centred[part], spread[part])
        torch.mul(gate_slope[part].view(-1, 4, dim), mixed.unsqueeze(1), out=gates_gradient[part].view(-1, 4, dim))
        torch.mm(gates_gradient[part], cell.gates.weight, out=hidden_gradient[part])
        hidden_gradient[part].mul_(slope[part])
        below = torch.mm(hidden_gradient[part], cell.hidden.weight).view(-1, 2, dim)
        below.addcmul_(open_gates[part, : 2 * dim].view(-1, 2, dim), mixed.unsqueeze(1))
        state_gradient.index_add_(0, children[part].flatten(), below.view(-1, dim))
    return [
        hidden_gradient.T @ states.view(-1, 2 * dim),
        hidden_gradient.sum(0),
        gates_gradient.T @ active,
        gates_gradient.sum(0),
        (above * centred).sum(0),
        above.sum(0),
    ]


def reachable_by_height(store: NodeStore, roots: Tensor) -> tuple[Tensor, list[int]]:
    """Return the composed rows under ``roots``, highest first, and how many there are of each height."""
    reached = torch.zeros(store.rows, dtype=torch.bool, device=roots.device)
    reached[roots.flatten()] = True
    height = store.height[: store.rows]
    order = height.argsort(descending=True)
    counts = height.bincount().flip(0).tolist()[:-1]  # all but the leaves
    found: list[Tensor] = []
    for rows in order[: sum(counts)].split(counts):
        here = rows[reached[rows]]
        reached[store.left[here]] = True
        reached[store.right[here]] = True
        found.append(here)
    return torch.cat(found) if found else order[:0], [len(rows) for rows in found]


def values_of_gates(states: Tensor, gates: Tensor) -> Tensor:
    """Return what the three gates let through, [l; r; z]: (M, 3 D)."""
    dim = states.shape[-1]
    return torch.cat([states.view(-1, 2 * dim), gates[:, 3 * dim :]], dim=1)


def standardize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return ``x`` (M, D) less its mean, over its standard deviation, and one over that deviation (M, 1)."""
    centred = x - x.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    return centred.mul_(spread), spread


def normalize_gradient(gradient: Tensor, centred: Tensor, spread: Tensor) -> Tensor:
    """Pull a gradient back through the standardization."""
    along = (gradient * centred).mean(-1, keepdim=True)
    return (gradient - gradient.mean(-1, keepdim=True)).addcmul_(centred, along, value=-1).mul_(spread)
