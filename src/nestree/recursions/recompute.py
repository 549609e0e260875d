"""Activation checkpointing for long loops, from the point where saved activations exceed a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

ACTIVATION_BUDGET = 512 * 2**20
"""Bytes of activations that a loop saves before further steps are recomputed in the backward pass."""


class Recompute:
    """Runs the steps of one loop; those beyond [`ACTIVATION_BUDGET`][] bytes save only their arguments.

    A recomputed step draws the same dropout masks, so results do not depend on the budget.
    """

    def __init__(self, *, dropout: bool) -> None:
        """Start a loop; ``dropout``: whether its steps draw random numbers."""
        self._dropout = dropout
        self._kept = 0

    def __call__(self, step: Callable[..., Any], *arguments: Any, size: int) -> Any:
        """Return ``step(*arguments)``, whose activations take about ``size`` bytes."""
        if not torch.is_grad_enabled() or self._kept + size <= ACTIVATION_BUDGET:
            self._kept += size
            return step(*arguments)
        return checkpoint(step, *arguments, use_reentrant=False, preserve_rng_state=self._dropout)
