"""What a search keeps for its gradients, as autograd wants it: the tensors, and the rest without them.

Tensors that go through ``save_for_backward`` are freed by ``backward()``, checked for changes in place, and seen by
hooks on saved tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class HoldsTensors:
    """A class whose instances may hold tensors that a backward pass needs; data classes need not say so."""


@dataclass(frozen=True)
class _Slot:
    """The place of a tensor."""

    number: int


def flatten_tensors(value: Value, known: Sequence[Tensor]) -> tuple[Value, list[Tensor]]:
    """Return ``value`` with numbers in place of tensors, and the tensors: those that are ``known`` first."""
    tensors, numbers = list(known), {id(tensor): number for number, tensor in reversed(list(enumerate(known)))}

    def take(tensor: Tensor) -> _Slot:
        if id(tensor) not in numbers:
            numbers[id(tensor)] = len(tensors)
            tensors.append(tensor)
        return _Slot(numbers[id(tensor)])

    return _rebuilt(value, Tensor, take, {}), tensors


def unflatten_tensors(value: Value, tensors: Sequence[Tensor]) -> Value:
    """Return what [`flatten_tensors`][] was given, with these tensors."""
    return _rebuilt(value, _Slot, lambda slot: tensors[slot.number], {})


def _rebuilt(value: Any, kind: type, replace: Any, done: dict[int, Any]) -> Any:
    """Return a copy of ``value`` with everything of a ``kind`` replaced; what is one object stays one."""
    if isinstance(value, kind):
        return replace(value)
    if isinstance(value, list | tuple):
        return type(value)(_rebuilt(item, kind, replace, done) for item in value)
    if not isinstance(value, HoldsTensors) and (isinstance(value, _Slot | type) or not is_dataclass(value)):
        return value
    if id(value) not in done:
        done[id(value)] = copy = object.__new__(type(value))
        for name, item in vars(value).items():
            object.__setattr__(copy, name, _rebuilt(item, kind, replace, done))
    return done[id(value)]
