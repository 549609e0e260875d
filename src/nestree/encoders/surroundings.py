"""Where an encoder runs: what torch.compile, tracing, autocast and DistributedDataParallel ask of a module."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Function = TypeVar("Function", bound=Callable[..., Any])


def never_compiled(function: Function) -> Function:
    """Let ``torch.compile`` break its graph at ``function`` and run it, and all that it calls, as it is."""

    @functools.cache
    def as_it_is() -> Callable[..., Any]:
        return torch.compiler.disable(function)

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        if "torch._dynamo" not in sys.modules:  # importing it takes seconds
            return function(*arguments, **options)
        return as_it_is()(*arguments, **options)

    return run  # pyright: ignore[reportReturnType]


def refuse_tracing() -> None:
    """Refuse to be traced: a trace would keep the lengths, and with them the trees' shapes, of its example.

    Raises:
        RuntimeError: says what to use.
    """
    if torch._C._get_tracing_state() is not None or torch.onnx.is_in_onnx_export():
        raise RuntimeError(
            "an encoder cannot be traced: a trace is right for the lengths of its example only; save the state_dict "
            "and build the encoder again, or torch.compile the model, which leaves the encoder as it is"
        )
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "an encoder cannot be exported: how often it composes depends on the lengths; export what is before and "
            "behind it, and run it in between"
        )


def refuse_sharded_parts(module: nn.Module) -> None:
    """Refuse parameters that FSDP has sharded on their own: it gathers them when a part's ``forward`` is called.

    Raises:
        RuntimeError: says what to shard instead.
    """
    if "torch.distributed.tensor" not in sys.modules:  # importing it takes seconds
        return
    from torch.distributed.tensor import DTensor

    if any(isinstance(tensor, DTensor) for tensor in module.parameters()):
        raise RuntimeError("an encoder must be sharded as a whole: fully_shard(encoder), not parts of it")


def check_dtype(module: nn.Module, states: Tensor) -> None:
    """Make sure that states have the type of the module's parameters, where no autocast sees to it.

    Raises:
        ValueError: they have another one.
    """
    if torch.is_autocast_enabled(states.device.type):
        return
    own = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), states.dtype)
    if own != states.dtype:
        raise ValueError(f"states must be {own}, as the encoder's parameters are, not {states.dtype}")


def in_full(root: Tensor, module: nn.Module) -> Tensor:
    """Return a root that autocast made a half-precision one in float32, if the module's parameters are."""
    if root._is_view():  # FSDP's hooks would be lost in an in-place change of a view
        root = root.clone()
    if not torch.is_autocast_enabled(root.device.type) or root.dtype not in (torch.bfloat16, torch.float16):
        return root
    own = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), root.dtype)
    return root.to(own)


def reaching_all(root: Tensor, module: nn.Module) -> Tensor:
    """Return the root as one that all parameters have a gradient of, zero where it does not depend on them.

    Sequences of one or two tokens leave nothing to choose, or even to compose; DistributedDataParallel waits for every
    gradient.
    """
    parameters = [tensor for tensor in module.parameters() if tensor.requires_grad]
    transformed = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    if not torch.is_grad_enabled() or not parameters or transformed:
        return root
    return _ReachingAll.apply(root, *parameters)  # pyright: ignore[reportReturnType]


class _ReachingAll(torch.autograd.Function):
    """Hands a tensor on, and zeros to the parameters."""

    @staticmethod
    def forward(ctx: Any, root: Tensor, *parameters: Tensor) -> Tensor:
        ctx.likes = [(tensor.shape, tensor.dtype, tensor.device) for tensor in parameters]
        return root.view_as(root)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Sequence[Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient, *(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.likes)
