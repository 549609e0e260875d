"""Comparing the engine's outputs and gradients with the naive implementation's, before anything is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from nestree.bench.options import BenchOptions
from nestree.bench.plan import MODES, engines
from nestree.encoders.registry import ENCODERS
from nestree.recursions import KeyedDraws

LENGTHS = (47, 1, 14, 2, 9, 3)
"""Lengths of the batch that is compared, tokens."""
TOLERANCE = 1e-10
_FLOOR = 1e-2
"""Smallest norm of a gradient by which a difference is divided."""


@dataclass(frozen=True)
class Agreement:
    """Differences of the engine from the naive implementation with the same draws, in float64."""

    encoder: str
    mode: str
    output: float
    """Largest difference of the roots."""
    gradient: float
    """Largest ``||difference|| / max(||gradient||, 0.01)`` of the gradients of states and parameters."""

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerance; NaN is not."""
        return self.output <= TOLERANCE and self.gradient <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """Return the differences as JSON values."""
        return {**asdict(self), "tolerance": TOLERANCE, "holds": self.holds}


def verify(options: BenchOptions, device: torch.device) -> list[Agreement]:
    """Compare the engines of every encoder that has both, on a small ragged batch, in both modes."""
    return [
        compare(encoder, mode, options, device)
        for encoder in options.encoders
        if len(engines(encoder)) > 1
        for mode in MODES
    ]


def compare(encoder: str, mode: str, options: BenchOptions, device: torch.device) -> Agreement:
    """Compare the engines of one encoder in one mode."""
    (root, gradients), (naive_root, naive_gradients) = (
        _outcome(encoder, engine, mode, options, device) for engine in engines(encoder)
    )
    errors = [
        (one - other).norm().item() / max(other.norm().item(), _FLOOR)
        for one, other in zip(gradients, naive_gradients, strict=True)
    ]
    # Not max(), which ignores NaN.
    worst = torch.tensor(errors, dtype=torch.float64).amax().item()
    return Agreement(encoder, mode, (root - naive_root).abs().amax().item(), worst)


def _outcome(
    name: str, engine: str | None, mode: str, options: BenchOptions, device: torch.device
) -> tuple[Tensor, list[Tensor]]:
    """Return the roots of one engine, and the gradients of their randomly weighted sum."""
    torch.manual_seed(options.seed)
    encoder = ENCODERS[name](**options.of_encoder(name, engine)).build()
    encoder = encoder.to(device, torch.float64).train(mode == "training")
    lengths = torch.tensor(LENGTHS, device=device)
    states = torch.randn(len(LENGTHS), max(LENGTHS), options.dim, dtype=torch.float64).to(device).requires_grad_()
    weighting = torch.randn(len(LENGTHS), options.dim, dtype=torch.float64).to(device)
    torch.manual_seed(options.seed)  # for dropout outside the search
    root = encoder(states, lengths, draws=KeyedDraws(options.seed)).root
    wanted = [states, *encoder.parameters()]
    found = torch.autograd.grad((root * weighting).sum(), wanted, materialize_grads=True)
    return root.detach(), list(found)
