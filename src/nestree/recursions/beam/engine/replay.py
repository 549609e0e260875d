"""The replay: gradients of a search, pulled back through the surviving nodes.

Selection is hard, so no gradient flows through dropped beams. The cell gets gradients from the nodes under the
surviving roots, and the scorer from the pairs of the frontiers that the surviving beams passed through (in
[`Scoring`][nestree.recursions.beam.engine.scoring.Scoring]).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.engine.cells import no_gradients
from nestree.recursions.beam.engine.history import History
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.shapes import Bits, KeptScores, Rows, RowWeights, TableStates

ROWS_PER_CHUNK = 1024
"""Number of nodes per chunk in the backward pass, so that their activations stay in the processor's cache."""
ROWS_PER_LAUNCH = 65_536
"""The same on an accelerator, where small chunks cost more in launches than they save."""


def score_gradient(history: History, gradient: KeptScores) -> tuple[KeptScores, RowWeights]:
    """Pull the gradient of a level's final scores back through its steps.

    Each step adds ``logit(chosen) - logsumexp(frontier)`` to a score.

    Args:
        history: history of the level's search.
        gradient: (G, W) gradient of the final scores; 0 for absent beams.

    Returns:
        The gradients of the initial scores of the search, (G, W), and of the logits of the history's pairs.
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


def cell_gradient(store: NodeStore, roots: Bits, state_gradient: TableStates) -> list[Tensor]:
    """Pull the gradients of node states back through the cells under ``roots``, highest nodes first.

    Args:
        store: the search's node store.
        roots: rows to start from, any shape.
        state_gradient: (U, D); the children's gradients are added in place, so that it ends up with the leaves'.

    Returns:
        Gradients of the cell's parameters.
    """
    gradients = no_gradients(store.cell)
    device = state_gradient.device
    found = reachable_by_height(store, roots) if devices.on_host(device) else all_by_step(store, device)
    for rows in found:
        for part in chunks(rows):  # nodes of equal height, or of one step, are independent
            below = store.pull_back(part, state_gradient.index_select(0, part), gradients)
            state_gradient.index_add_(0, store.children(part).flatten(), below.flatten(0, 1))
    return gradients


def chunks(rows: Rows) -> list[Tensor]:
    """Split rows for the backward pass; there are no empty parts."""
    size = ROWS_PER_CHUNK if devices.on_host(rows.device) else ROWS_PER_LAUNCH
    return [part for part in rows.split(size) if len(part)]


def all_by_step(store: NodeStore, device: torch.device) -> Iterator[Rows]:
    """Yield all composed rows, one step of the search at a time, the last one first.

    Gradients of nodes that did not survive are 0.
    """
    for step in reversed(store.appended):
        yield torch.arange(step.start, step.stop, device=device)


def reachable_by_height(store: NodeStore, roots: Bits) -> Iterator[Rows]:
    """Yield the composed rows under ``roots``, one height at a time, highest first."""
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
