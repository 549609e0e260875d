"""Beam alignment: which of a group's beams fills which slot of the next level."""

from __future__ import annotations

import torch

from nestree.recursions.draws import Draws, Sites, widest
from nestree.recursions.outer import Outer
from nestree.recursions.shapes import BeamScores, GroupIndex, KeptIndex, Uniforms


def align(
    scores: BeamScores, present: GroupIndex, slots: int, outer: Outer, *, sites: Sites, draws: Draws | None
) -> KeptIndex:
    """Return, for each group, the beam in each slot.

    Slot 0 keeps the best beam. *Sampled* alignment draws every other slot with replacement, with probability
    proportional to ``exp(score / temperature)``; *random* draws uniformly; *systematic* takes, for slots
    j = 1 .. W - 1, the beam at quantile (j - 1/2) / (W - 1) of the same distribution as *sampled*, in training permuted
    over the slots; *none* takes the beams in order and repeats the best one where there are too few.

    Source: Ray Chowdhury and Caragea 2023 (arXiv 2311.04449), section 4.1.

    Args:
        scores: (G, V) accumulated scores, best first; scores beyond ``present`` are ignored.
        present: (G,) number of beams of each group, 1 to V.
        slots: W, number of slots per group.
        outer: the kind of alignment, and its temperature.
        sites: the groups' coordinates, for drawing.
        draws: source of random numbers; None (evaluation): sampled and random use the quantiles of systematic.

    Returns:
        (G, W) int64 beam numbers, each below ``present``.
    """
    beams = scores.shape[1]
    number = torch.arange(beams, device=scores.device)
    absent = number >= present.unsqueeze(-1)
    if outer.alignment == "none":
        slot = torch.arange(slots, device=scores.device)
        return torch.where(slot < present.unsqueeze(-1), slot, 0)
    weight = scores.detach().to(widest(scores.device)) / outer.temperature
    if outer.alignment == "random":
        weight = torch.zeros_like(weight)
    cumulative = weight.masked_fill(absent, -torch.inf).softmax(-1).cumsum(-1)
    quantile = _quantiles(len(scores), slots - 1, outer, sites, draws)
    drawn = torch.searchsorted(cumulative, quantile, right=True)
    drawn = torch.minimum(drawn, present.unsqueeze(-1) - 1)  # by rounding, a quantile may exceed the last sum
    return torch.cat([torch.zeros_like(present).unsqueeze(-1), drawn], dim=-1)


def _quantiles(groups: int, slots: int, outer: Outer, sites: Sites, draws: Draws | None) -> Uniforms:
    """Return (G, slots) quantiles in [0, 1), float64."""
    device = sites.group.device
    if draws is not None and outer.alignment != "systematic":
        return draws.alignment(sites, slots)
    middle = (torch.arange(slots, device=device, dtype=widest(device)) + 0.5) / max(slots, 1)
    if draws is None:
        return middle.expand(groups, slots).contiguous()
    return middle[draws.slot_order(sites, slots).argsort(-1)]
