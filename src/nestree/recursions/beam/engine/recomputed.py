"""Arbitrary modules in a search: called without autograd, and recomputed with autograd for the gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize

from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.shapes import Numbers


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that a module may have gradients for, by name: its parameters, or their replacements."""
    found: dict[str, Tensor] = {}
    for prefix, part in module.named_modules():
        former = getattr(part, "_former_parameters", {})  # of DataParallel's replicas
        for name, tensor in (*part._parameters.items(), *former.items()):
            if tensor is not None and not any(tensor is other for other in found.values()):
                found[f"{prefix}.{name}" if prefix else name] = tensor
    return found


def in_type_of(module: nn.Module, states: Numbers) -> Numbers:
    """Return states in the dtype of a module's parameters; under autocast they may have another."""
    types = (tensor.dtype for tensor in tensors_of(module).values() if tensor.is_floating_point())
    return states.to(next(types, states.dtype))


class Recomputed(HoldsTensors):
    """A snapshot of a module during a search: its parameters, buffers and training modes.

    The module must treat each row independently and deterministically.
    """

    def __init__(self, module: nn.Module, *, record: bool) -> None:
        """Take the snapshot; it is only complete with ``record``.

        Raises:
            ValueError: in training, a part of the module mixes rows or changes with every call.
        """
        self.module = module
        self.record = record
        named = tensors_of(module)
        self.names = list(named)
        self.parameters = list(named.values())
        buffers = {name: tensor.clone() for name, tensor in module.named_buffers()} if record else {}
        self.buffer_names, self.buffer_values = list(buffers), list(buffers.values())
        self.unchanged: bool | None = None
        """Whether the module still holds the tensors of the search; set in a backward pass, which has its own copy."""
        self.modes = [part.training for part in module.modules()]
        self.checked = not record or not any(self.modes)
        if not self.checked:
            _check_rows_alone(module)

    def __call__(self, *inputs: Any) -> Tensor:
        """Return the module's output."""
        if self.checked:
            return self.module(*inputs)
        self.checked = True
        device = next(tensor.device for tensor in inputs if isinstance(tensor, Tensor))
        before = _random_state(device)
        output = self.module(*inputs)
        if not torch.equal(before, _random_state(device)):
            raise ValueError(
                f"{type(self.module).__name__} must draw no random numbers of its own: a cell's dropout takes its mask "
                'as an argument (see "Your own cell"); or use engine="naive"'
            )
        return output

    def pull_back(
        self, inputs: Sequence[Tensor], rest: Sequence[Any], above: Tensor, gradients: list[Tensor] | None
    ) -> list[Tensor]:
        """Pull the gradient ``above`` of the output back to ``inputs``; the ``rest`` are further arguments.

        The parameters' gradients are added to ``gradients``, in the order of ``parameters``; None skips them.
        """
        sources = [tensor.detach().requires_grad_() for tensor in inputs]
        wanted = [] if gradients is None else [n for n, tensor in enumerate(self.parameters) if tensor.requires_grad]
        with torch.enable_grad(), self._modes():
            output = self._call(*sources, *rest)
        found = torch.autograd.grad(
            output,
            [*sources, *(self.parameters[number] for number in wanted)],
            above.to(output.dtype),
            retain_graph=True,  # a parametrized weight is computed once for all calls
            allow_unused=True,
        )
        for number, gradient in zip(wanted, found[len(sources) :], strict=True):
            if gradient is not None and gradients is not None:
                gradients[number].add_(gradient)
        return [
            torch.zeros_like(source) if gradient is None else gradient
            for source, gradient in zip(sources, found, strict=False)
        ]

    def _call(self, *inputs: Any) -> Tensor:
        """Call the module with the tensors of the search."""
        if self.unchanged is None:
            now = tensors_of(self.module)
            same = all(now.get(n) is old for n, old in zip(self.names, self.parameters, strict=True))
            self.unchanged = same and not self.buffer_names
        if self.unchanged:
            return self.module(*inputs)
        tensors = dict(zip(self.names, self.parameters, strict=True))
        tensors |= {name: value.clone() for name, value in zip(self.buffer_names, self.buffer_values, strict=True)}
        return functional_call(self.module, tensors, inputs)

    @contextmanager
    def _modes(self) -> Iterator[None]:
        """Restore the training modes of the search."""
        parts = list(self.module.modules())
        now = [part.training for part in parts]
        for part, mode in zip(parts, self.modes, strict=True):
            part.training = mode
        yield
        for part, mode in zip(parts, now, strict=True):
            part.training = mode


@contextmanager
def fixed_weights(*modules: nn.Module) -> Iterator[None]:
    """Compute parametrized weights once, so that a spectral norm does one power iteration per forward pass."""
    some = any(parametrize.is_parametrized(part) for module in modules for part in module.modules())
    with parametrize.cached() if some else nullcontext():
        yield


def _random_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)


def _check_rows_alone(module: nn.Module) -> None:
    """Refuse parts whose results are known to change when they are recomputed on other rows."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training:
            raise ValueError(
                f"{type(module).__name__}.{name} must treat each row alone: use LayerNorm instead of batch statistics"
            )
        if any(type(hook).__name__ == "SpectralNorm" for hook in part._forward_pre_hooks.values()):
            raise ValueError(
                f"{type(module).__name__}.{name} must not change with every call: use the spectral_norm of "
                "torch.nn.utils.parametrizations"
            )
