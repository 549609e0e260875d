"""What the engine's gradients are not made for, refused by name instead of giving wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class NoSuchDerivative(RuntimeError):
    """A derivative that the engine does not have; says what has it."""


class _FirstOnly(torch.autograd.Function):
    """Hands first derivatives on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, why: str, *gradients: Tensor) -> tuple[Tensor, ...]:
        ctx.why = why
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise NoSuchDerivative(ctx.why)


def first_derivative_only(gradients: Sequence[Tensor], instead: str) -> Sequence[Tensor]:
    """Return gradients that, under ``create_graph``, raise a [`NoSuchDerivative`][] when they are differentiated."""
    if not torch.is_grad_enabled():
        return gradients
    why = f"a search has no second derivatives: {instead}"
    return _FirstOnly.apply(why, *(gradient.detach().requires_grad_() for gradient in gradients))  # pyright: ignore[reportReturnType]


def refuse_transforms(instead: str) -> None:
    """Refuse to run inside ``torch.func.grad``, ``vmap``, ``jvp`` and others.

    Raises:
        NoSuchDerivative: one of them is at work.
    """
    if torch._C._are_functorch_transforms_active():
        raise NoSuchDerivative(f"torch.func's transforms do not see into a search: {instead}")
    if torch.autograd.forward_ad._current_level >= 0:
        raise NoSuchDerivative(f"a search has no forward-mode derivatives: {instead}")
