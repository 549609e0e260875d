"""Operations on a search's tables of beams: carry columns over, and find largest or equal entries."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from nestree.recursions.shapes import CandidateIndex, KeptIndex


def carry(columns: Shaped[Tensor, "g v n"], beam: KeptIndex, at: Integer[Tensor, "g w 1"]) -> Shaped[Tensor, "g w n-1"]:
    """Return the rows of ``columns`` (G, V, N) for the continued beams, without column ``at`` + 1: (G, W, N - 1)."""
    groups, _, items = columns.shape
    column = torch.arange(items - 1, device=columns.device)
    index = column + (column > at) + beam.unsqueeze(-1) * items
    return columns.flatten(1).gather(1, index.flatten(1)).view(groups, -1, items - 1)


def top(
    keys: Float[Tensor, "*rows c"], count: int, place: Integer[Tensor, "*#rows c"] | None = None
) -> Integer[Tensor, "*rows {count}"]:
    """Return the indices of the ``count`` largest keys along the last dimension, largest first.

    Ties are broken by ``place`` (non-negative integers below 2^31, of the shape of ``keys``), smallest first; by
    default by index. ``torch.topk`` does not specify the order of ties, so keys and places are packed into one integer.
    """
    if place is None:
        place = torch.arange(keys.shape[-1], device=keys.device)
    if keys.dtype == torch.float32:
        bits = (keys + 0.0).view(torch.int32)  # adding zero makes -0.0 and 0.0 the same
        ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
        return ordered.mul_(2**31).sub_(place).topk(count, dim=-1).indices
    by_place = place.expand(keys.shape).argsort(-1)
    order = keys.gather(-1, by_place).sort(stable=True, dim=-1, descending=True).indices[..., :count]
    return by_place.gather(-1, order)


def first_of_equal(keys: CandidateIndex) -> CandidateIndex:
    """Return, for each of ``keys`` (G, C), the first column of its row with an equal key."""
    ordered, order = keys.sort(stable=True, dim=-1)
    column = torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    begins = torch.ones_like(keys, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = order.gather(1, (column * begins).cummax(-1).values)
    return torch.empty_like(order).scatter_(1, order, first)
