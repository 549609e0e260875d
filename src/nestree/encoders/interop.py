"""What torch.compile, tracing, autocast and DistributedDataParallel require of an encoder."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Function = TypeVar("Function", bound=Callable[..., Any])


def not_compiled(function: Function) -> Function:
    """Make ``torch.compile`` break its graph at ``function``, which then runs uncompiled with all that it calls."""

    @functools.cache
    def as_it_is() -> Callable[..., Any]:
        return torch.compiler.disable(function)

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        if torch.onnx.is_in_onnx_export():  # here, as it passes keyword arguments by position
            refuse_tracing()
        if "torch._dynamo" not in sys.modules:  # importing it takes seconds
            return function(*arguments, **options)
        return as_it_is()(*arguments, **options)

    return run  # pyright: ignore[reportReturnType]


def refuse_tracing() -> None:
    """Refuse tracing and export: a trace would hard-code the lengths of its example, and so the shapes of the trees.

    Raises:
        RuntimeError: the call is traced or exported; says what to do instead.
    """
    if torch._C._get_tracing_state() is not None or torch.onnx.is_in_onnx_export():
        raise RuntimeError(
            "an encoder cannot be traced: a trace would be correct only for the lengths of its example; save the "
            "state_dict and rebuild the encoder, or torch.compile the model, which leaves the encoder uncompiled"
        )
    if torch.compiler.is_exporting():
        raise RuntimeError(
            "an encoder cannot be exported: the number of its operations depends on the lengths; export the layers "
            "before and after it, and run it in between"
        )


def refuse_sharded_parts(module: nn.Module) -> None:
    """Refuse parts that FSDP shards separately: it gathers their parameters only when their own ``forward`` is called.

    Raises:
        RuntimeError: says what to shard instead.
    """
    if "torch.distributed.tensor" not in sys.modules:  # importing it takes seconds
        return
    from torch.distributed.tensor import DTensor

    if any(isinstance(tensor, DTensor) for tensor in module.parameters()):
        raise RuntimeError("an encoder must be sharded as a whole: fully_shard(encoder), not parts of it")


def check_dtype(module: nn.Module, states: Tensor) -> None:
    """Check that states have the dtype of the module's parameters; under autocast any dtype will do.

    Raises:
        ValueError: they have another dtype.
    """
    if torch.is_autocast_enabled(states.device.type):
        return
    own = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), states.dtype)
    if own != states.dtype:
        raise ValueError(f"states must be {own}, as the encoder's parameters are, not {states.dtype}")


def in_parameter_dtype(root: Tensor, module: nn.Module) -> Tensor:
    """Return ``root`` in the dtype of the module's parameters, where autocast has reduced it to half precision."""
    if not torch.is_autocast_enabled(root.device.type) or root.dtype not in (torch.bfloat16, torch.float16):
        return root
    own = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), root.dtype)
    return root.to(own)


def without_view(output: Tensor) -> Tensor:
    """Return ``output``, copied if it is a view that has a gradient.

    FSDP would lose its hooks if a view were changed in place.
    """
    return output.clone() if output.requires_grad and output._is_view() else output


def attach_parameters(root: Tensor, module: nn.Module) -> Tensor:
    """Return ``root`` with every parameter in its graph: those that it does not depend on get zero gradients.

    DistributedDataParallel waits for the gradient of every parameter, but with one or two tokens there is nothing to
    choose, or even to compose.
    """
    parameters = [tensor for tensor in module.parameters() if tensor.requires_grad]
    transformed = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    if not torch.is_grad_enabled() or not parameters or transformed:
        return root
    return _AttachParameters.apply(root, *parameters)  # pyright: ignore[reportReturnType]


class _AttachParameters(torch.autograd.Function):
    """The identity; in the backward pass the parameters get zeros."""

    @staticmethod
    def forward(ctx: Any, root: Tensor, *parameters: Tensor) -> Tensor:
        ctx.likes = [(tensor.shape, tensor.dtype, tensor.device) for tensor in parameters]
        return root.view_as(root)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Sequence[Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient, *(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.likes)
