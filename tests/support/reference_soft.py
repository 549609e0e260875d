"""The equations of trees with soft choices once more: loops over single vectors, like those in ``reference``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from support.reference import Training, compose, expected_root, of_parents, score

Masks = Callable[[int, int], Tensor | float]
"""The dropout mask of a cell, already scaled, by step and by beam or position."""


def parents_of(cell: nn.Module, left: Tensor, right: Tensor, masks: list[Tensor]) -> Tensor:
    return torch.stack([compose(cell, *pair) for pair in zip(left, right, masks, strict=True)])


def moved(items: Tensor, mask: Tensor, parents: Tensor) -> Tensor:
    """A frontier after a merge by a mask of its pairs: x'_i = m_i p_i + (1 - c_i) x_i + (c_i - m_i) x_(i+1)."""
    m, c = mask.unsqueeze(-1), mask.cumsum(0).unsqueeze(-1)
    return m * parents + (1 - c) * items[:-1] + (c - m) * items[1:]


def gumbel_tree(tree: nn.Module, leaves: list[Tensor], noise: Callable[[int, int], Tensor], mask: Masks) -> Tensor:
    """A greedy tree with a straight-through softmax; every pair of the frontier is scored afresh at every step.

    Where parents are scored, a pair keeps the mask of its cell from step to step.
    """
    items, step = torch.stack(leaves), 0
    masks = [mask(0, at) for at in range(len(items) - 1)]
    while len(items) > 1:
        left, right, pairs = items[:-1], items[1:], len(items) - 1
        if of_parents(tree):
            parents = parents_of(tree.cell, left, right, masks)
            logits = parents @ tree.scorer.score.weight[0]
        else:
            logits = torch.stack(
                [score(tree.scorer, *pair, tree.scorer.width) for pair in zip(left, right, strict=True)]
            )
        soft = ((logits + noise(step, pairs)) / tree.temperature).softmax(0)
        at = int(soft.argmax())
        hard = torch.zeros_like(soft)
        hard[at] = 1
        straight = hard + soft - soft.detach()
        if not of_parents(tree):
            parents = compose(tree.cell, straight @ left, straight @ right, mask(step, 0)).expand(pairs, -1)
        items, step = moved(items, straight if pairs > 1 else hard, parents), step + 1
        beside = [mask(step, place) for place in (at - 1, at) if 0 <= place < pairs - 1]
        masks = [*masks[: max(at - 1, 0)], *beside, *masks[at + 2 :]]
    return items[0]


def one_soft(tree: nn.Module, leaves: list[Tensor], training: Training) -> Tensor:
    """A beam tree whose last beam is the average of all candidates that plain selection would drop.

    Every pair is composed afresh at every step; in a hard beam it keeps its mask, which ``training`` has for the step
    and position * W + beam.
    """

    def best(keys: Tensor, count: int) -> list[int]:
        return sorted(range(len(keys)), key=lambda index: -keys[index].item())[:count]

    def mask(step: int, at: int, beam: int) -> Tensor:
        return training.mask(step, at * tree.search.beam_size + beam)

    items, step = torch.stack(leaves), 0
    beams = [(items.new_zeros(()), items, [mask(0, at, 0) for at in range(len(items) - 1)])]
    while len(items) > 2:
        pairs = len(items) - 1
        parents = [parents_of(tree.cell, items[:-1], items[1:], masks) for _, items, masks in beams]
        pair_noise = training.pair_noise(step, len(beams), pairs)
        candidate_noise = training.candidate_noise(step, len(beams), pairs)
        candidates = []
        for b, (total, items, masks) in enumerate(beams):
            logits = parents[b] @ tree.scorer.score.weight[0]
            log_probabilities = logits - logits.exp().sum().log()
            for at in sorted(best(logits + pair_noise[b], tree.search.beam_size)):
                one_hot = torch.eye(pairs, dtype=items.dtype)[at]
                score_after = total + log_probabilities[at]
                key = score_after + candidate_noise[b, at]
                candidates.append((key, score_after, items, parents[b], one_hot, masks, at))
        ordered = best(torch.stack([candidate[0] for candidate in candidates]), len(candidates))
        hard, rest = ordered[: tree.search.beam_size - 1], ordered[tree.search.beam_size - 1 :]
        beams, step = [], step + 1
        for b, index in enumerate(hard):
            _, total, items, composed, one_hot, masks, at = candidates[index]
            beside = [mask(step, place, b) for place in (at - 1, at) if 0 <= place < pairs - 1]
            masks = [*masks[: max(at - 1, 0)], *beside, *masks[at + 2 :]]
            beams.append((total, moved(items, one_hot, composed), masks))
        if rest:
            _, totals, frontiers, composed, one_hots, _, _ = zip(*(candidates[index] for index in rest), strict=True)
            weights = torch.stack(totals).softmax(0)
            total, items, composed, soft = (
                sum(weight * part for weight, part in zip(weights, parts, strict=True))
                for parts in (totals, frontiers, composed, one_hots)
            )
            masks = [mask(step, at, tree.search.beam_size - 1) for at in range(pairs - 1)]
            beams.append((total, moved(items, soft, composed), masks))
        items = beams[0][1]
    if len(items) == 1:
        return items[0]
    return expected_root([(total, compose(tree.cell, *items, masks[0])) for total, items, masks in beams])
