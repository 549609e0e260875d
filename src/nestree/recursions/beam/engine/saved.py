"""Flattening of a search's results into tensors, for ``save_for_backward``, and a structure without tensors.

Tensors passed to ``save_for_backward`` are freed by ``backward()``, checked for in-place changes, and visible to
saved-tensor hooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class HoldsTensors:
    """Base of classes that [`flatten_tensors`][] looks into; it looks into dataclasses anyway."""


@dataclass(frozen=True)
class _Slot:
    """Placeholder for a tensor."""

    number: int


def flatten_tensors(value: Value, known: Sequence[Tensor]) -> tuple[Value, list[Tensor]]:
    """Return a copy of ``value`` with placeholders for its tensors, and the tensors, starting with ``known``."""
    tensors, numbers = list(known), {id(tensor): number for number, tensor in reversed(list(enumerate(known)))}

    def take(tensor: Tensor) -> _Slot:
        if id(tensor) not in numbers:
            numbers[id(tensor)] = len(tensors)
            tensors.append(tensor)
        return _Slot(numbers[id(tensor)])

    return _rebuilt(value, Tensor, take, {}), tensors


def unflatten_tensors(value: Value, tensors: Sequence[Tensor]) -> Value:
    """Return a copy of ``value`` with ``tensors`` in place of its placeholders."""
    return _rebuilt(value, _Slot, lambda slot: tensors[slot.number], {})


def _rebuilt(value: Any, kind: type, replace: Any, done: dict[int, Any]) -> Any:
    """Return a copy of ``value`` with all instances of ``kind`` replaced; shared objects stay shared."""
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
