"""Activations of long loops: kept while they are few, computed again in the backward pass when they are many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

ACTIVATION_BUDGET = 512 * 2**20
"""Bytes of activations that a loop keeps before it begins to compute them again."""


class Recompute:
    """Runs the steps of one loop; those beyond [`ACTIVATION_BUDGET`][] bytes keep their arguments only.

    A step that is computed again draws the same dropout masks, so results do not depend on where this begins.
    """

    def __init__(self, *, dropout: bool) -> None:
        """Begin a loop; ``dropout`` says whether its steps draw random numbers."""
        self._dropout = dropout
        self._kept = 0

    def __call__(self, step: Callable[..., Any], *arguments: Any, size: int) -> Any:
        """Return ``step(*arguments)``, whose activations take about ``size`` bytes."""
        if not torch.is_grad_enabled() or self._kept + size <= ACTIVATION_BUDGET:
            self._kept += size
            return step(*arguments)
        return checkpoint(step, *arguments, use_reentrant=False, preserve_rng_state=self._dropout)
