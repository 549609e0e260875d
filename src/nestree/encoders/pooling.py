"""One vector for the states of a sequence's tokens."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def mean_over(states: Float[Tensor, "b l d"], real: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
    """Return the mean over the positions that are ``real``."""
    return sum_over(states, real) / real.sum(1, keepdim=True)


def sum_over(states: Float[Tensor, "b l d"], real: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
    """Return the sum over the positions that are ``real``."""
    return states.masked_fill(~real.unsqueeze(-1), 0).sum(1)


def max_over(states: Float[Tensor, "b l d"], real: Bool[Tensor, "b l"]) -> Float[Tensor, "b d"]:
    """Return each feature's maximum over the positions that are ``real``."""
    return states.masked_fill(~real.unsqueeze(-1), -float("inf")).amax(1)
