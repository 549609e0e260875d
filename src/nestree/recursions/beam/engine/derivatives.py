"""Errors for derivatives that the engine does not support, instead of wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class NoSuchDerivative(RuntimeError):
    """A derivative that the engine does not support; the message says what does."""


class _FirstOnly(torch.autograd.Function):
    """The identity on first derivatives, whose own derivative is an error."""

    @staticmethod
    def forward(ctx: Any, why: str, *gradients: Tensor) -> tuple[Tensor, ...]:
        ctx.why = why
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise NoSuchDerivative(ctx.why)


def first_derivative_only(gradients: Sequence[Tensor], instead: str) -> Sequence[Tensor]:
    """Return gradients that, with ``create_graph``, raise [`NoSuchDerivative`][] when they are differentiated."""
    if not torch.is_grad_enabled():
        return gradients
    why = f"a search has no second derivatives: {instead}"
    return _FirstOnly.apply(why, *(gradient.detach().requires_grad_() for gradient in gradients))  # pyright: ignore[reportReturnType]


def refuse_transforms(instead: str) -> None:
    """Refuse to run inside ``torch.func`` transforms (``grad``, ``vmap``, ``jvp``...) and forward-mode autograd.

    Raises:
        NoSuchDerivative: one of them is active.
    """
    if torch._C._are_functorch_transforms_active():
        raise NoSuchDerivative(f"a search does not support torch.func transforms: {instead}")
    if torch.autograd.forward_ad._current_level >= 0:
        raise NoSuchDerivative(f"a search has no forward-mode derivatives: {instead}")
