"""Checks for unmodified modules, for which a fused implementation is exact; others are called by their ``forward``."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from nestree.layers import GatedRecursiveCell, PairScorer, ParentScorer

Part = TypeVar("Part", bound=nn.Module)

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def is_plain_cell(cell: nn.Module, states: Tensor) -> TypeGuard[GatedRecursiveCell]:
    """Return whether ``cell`` is an unmodified gated recursive cell with the dtype and device of ``states``."""
    return (
        _unmodified(cell, GatedRecursiveCell)
        and _is_linear(cell.hidden, (cell.hidden.out_features, 2 * cell.dim), bias=True)
        and _is_linear(cell.gates, (4 * cell.dim, cell.hidden.out_features), bias=True)
        and _unmodified(cell.norm, nn.LayerNorm)
        and cell.norm.weight is not None
        and cell.norm.weight.shape == (cell.dim,)
        and cell.norm.bias is not None
        and _alike(cell, 6, states)
    )


def is_plain_pair_scorer(scorer: nn.Module, states: Tensor) -> TypeGuard[PairScorer]:
    """Return whether ``scorer`` is an unmodified pair scorer with the dtype and device of ``states``."""
    return (
        _unmodified(scorer, PairScorer)
        and _is_linear(scorer.hidden, (scorer.width, 2 * scorer.width), bias=True)
        and _is_linear(scorer.score, (1, scorer.width), bias=False)
        and _alike(scorer, 3, states)
    )


def is_plain_parent_scorer(scorer: nn.Module, states: Tensor) -> TypeGuard[ParentScorer]:
    """Return whether ``scorer`` is an unmodified parent scorer with the dtype and device of ``states``."""
    return (
        _unmodified(scorer, ParentScorer)
        and _is_linear(scorer.score, (1, scorer.dim), bias=False)
        and _alike(scorer, 1, states)
    )


def _is_linear(module: nn.Module, shape: tuple[int, int], *, bias: bool) -> bool:
    if not _unmodified(module, nn.Linear):
        return False
    return module.weight.shape == shape and (module.bias is not None) == bias


def _unmodified(module: nn.Module, kind: type[Part]) -> TypeGuard[Part]:
    """Return whether a module's class is exactly ``kind``, without hooks or a replaced ``forward``."""
    if type(module) is not kind or "forward" in vars(module) or "mix" in vars(module):
        return False
    every = torch.nn.modules.module
    hooked = any(getattr(module, hooks) for hooks in _HOOKS) or any(
        getattr(every, f"_global{hooks}") for hooks in _HOOKS
    )
    return not hooked


def _alike(module: nn.Module, count: int, states: Tensor) -> bool:
    """Return whether a module has ``count`` parameters, all plain tensors with the dtype and device of ``states``."""
    parameters = list(module.parameters())
    return len(parameters) == count and all(
        type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == states.dtype and tensor.device == states.device
        for tensor in parameters
    )
