"""Checks of arguments: each returns the value it was given, or says in one line what would be right."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from nestree.errors import OptionError

Part = TypeVar("Part", bound="Options")


@dataclass(frozen=True)
class Options:
    """Frozen options that check themselves on creation; a class of several parts inherits from each of them."""

    def __post_init__(self) -> None:
        """Check each option; subclasses check theirs after ``super().__post_init__()``.

        Raises:
            ValueError: names the option.
        """
        for field in fields(self):
            if field.type in ("bool", bool):
                check_bool(field.name, getattr(self, field.name))

    def part(self, kind: type[Part]) -> Part:
        """Return the options that ``kind`` has."""
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})


def check_at_least(name: str, value: int, least: int) -> int:
    """Return ``value``, or raise a ValueError that names the argument if it is no integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(name, f"must be an integer of at least {least}, not {value!r}")
    return value


def check_bool(name: str, value: bool) -> bool:
    """Return ``value``, or raise a ValueError that names the argument if it is neither true nor false."""
    if not isinstance(value, bool):
        raise OptionError(name, f"must be true or false, not {value!r}")
    return value


class Checked:
    """Attributes that are checked whenever they are set, by functions of their name and value."""

    checks: ClassVar[dict[str, Callable[[str, Any], Any]]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            ValueError: names it, if it cannot take the value.
        """
        if name in self.checks:
            value = self.checks[name](name, value)
        super().__setattr__(name, value)


def check_probability(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError that names the argument if it is not in [0, 1)."""
    if not _is_number(value) or not 0 <= value < 1:
        raise OptionError(name, f"must be a number of at least 0 and below 1, not {value!r}")
    return float(value)


def check_share(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError that names the argument if it is not in [0, 1]."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise OptionError(name, f"must be a number from 0 to 1, not {value!r}")
    return float(value)


def check_positive(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError that names the argument if it is not above 0 and finite."""
    if not _is_number(value) or not 0 < value < float("inf"):
        raise OptionError(name, f"must be a number above 0, not {value!r}")
    return float(value)


def check_one_of(name: str, value: str, allowed: Collection[str]) -> str:
    """Return ``value``, or raise a ValueError that names the argument and lists what is allowed."""
    if value not in allowed:
        raise OptionError(name, f"must be one of {', '.join(allowed)}, not {value!r}")
    return value


def check_sequences(states: Tensor, lengths: Tensor, dim: int) -> list[int]:
    """Check a padded batch and return its lengths on the host.

    Args:
        states: (B, L, D), any floating dtype, B at least 1; positions beyond a sequence's length are ignored.
        lengths: (B,) integers from 1 to L.
        dim: the D that is expected.

    Raises:
        ValueError: names ``states`` or ``lengths`` and what does not fit.
    """
    if states.ndim != 3 or states.shape[-1] != dim:
        raise ValueError(f"states must have the shape (batch, length, {dim}), not {tuple(states.shape)}")
    if not states.is_floating_point():
        raise ValueError(f"states must be floating-point, not {states.dtype}")
    batch, longest, _ = states.shape
    if batch == 0:
        raise ValueError("states must hold at least one sequence, not an empty batch")
    return check_lengths(lengths, batch, longest)


def check_lengths(lengths: Tensor, batch: int, longest: int) -> list[int]:
    """Return the lengths of a padded batch of so many rows on the host.

    Raises:
        ValueError: names ``lengths`` and what does not fit.
    """
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(f"lengths must be integers, not {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(
            f"lengths must have the shape ({batch},), one for each row of states, not {tuple(lengths.shape)}"
        )
    host_lengths: list[int] = lengths.tolist()
    for row, length in enumerate(host_lengths):
        if not 1 <= length <= longest:
            raise ValueError(f"lengths[{row}] is {length}; states hold sequences of 1 to {longest}")
    return host_lengths


def check_rows(states: Tensor, dim: int) -> None:
    """Make sure that ``states`` are packed ones, (T, D) of any floating dtype, where D is ``dim``.

    Raises:
        ValueError: names ``states`` and what does not fit.
    """
    if states.ndim != 2 or states.shape[-1] != dim:
        raise ValueError(f"states must have the shape (tokens, {dim}) where they are packed, not {tuple(states.shape)}")
    if not states.is_floating_point():
        raise ValueError(f"states must be floating-point, not {states.dtype}")


def check_ends(cu_seqlens: Tensor, tokens: int) -> list[int]:
    """Check where sequences begin that are packed one after the other, and return their lengths on the host.

    Args:
        cu_seqlens: (B + 1,) integers: where each sequence begins, and ``tokens``.
        tokens: T, of all sequences.

    Raises:
        ValueError: names ``cu_seqlens`` and what does not fit.
    """
    if cu_seqlens.dtype == torch.bool or cu_seqlens.is_floating_point() or cu_seqlens.is_complex():
        raise ValueError(f"cu_seqlens must be integers, not {cu_seqlens.dtype}")
    if cu_seqlens.ndim != 1 or len(cu_seqlens) < 2:
        raise ValueError(
            f"cu_seqlens must have the shape (sequences + 1,), of at least one sequence, not {tuple(cu_seqlens.shape)}"
        )
    ends: list[int] = cu_seqlens.tolist()
    if ends[0] != 0 or ends[-1] != tokens:
        raise ValueError(
            f"cu_seqlens must begin with 0 and end with {tokens}, the rows of states, not {ends[0]} and {ends[-1]}"
        )
    lengths = [end - start for start, end in pairwise(ends)]
    for place, length in enumerate(lengths):
        if length < 1:
            raise ValueError(
                f"cu_seqlens[{place + 1}] is {ends[place + 1]}, which must be above {ends[place]}, the one before"
            )
    return lengths


def surely_finite(states: Tensor) -> bool:
    """Return whether there is neither NaN nor infinity in ``states``; it may be false though there is neither."""
    if torch._C._are_functorch_transforms_active():  # numbers cannot be looked at inside torch.func's transforms
        return True
    return bool(states.detach().sum().isfinite())  # a cheap test, which overflow fails too


def check_finite(rows: Tensor, name: Callable[[int], str]) -> None:
    """Make sure that rows (T, D) hold numbers alone; ``name`` says what a row is called.

    Raises:
        ValueError: there is a NaN or an infinite number; says where.
    """
    if surely_finite(rows):
        return
    bad = (~rows.isfinite().all(dim=-1)).nonzero()
    if len(bad):
        row = int(bad[0])
        kind = "a NaN" if bool(rows[row].isnan().any()) else "an infinite number"
        raise ValueError(f"{name(row)} holds {kind} at a real position")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def real_positions(lengths: Tensor, longest: int) -> Tensor:
    """Return a boolean mask (B, ``longest``): true where a sequence has a token, false in the padding."""
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(-1)


def check_tokens(tokens: Tensor, vocabulary_size: int) -> None:
    """Make sure that ``tokens`` (B, L) are token numbers.

    Raises:
        ValueError: they are no integers, or there is one that the vocabulary does not have; says where.
    """
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ValueError(f"tokens must be integers, not {tokens.dtype}")
    if tokens.ndim != 2:
        raise ValueError(f"tokens must have the shape (batch, length), not {tuple(tokens.shape)}")
    tokens = tokens.long()
    bad = ((tokens < 0) | (tokens >= vocabulary_size)).nonzero() if tokens.numel() else tokens.new_zeros(0, 2)
    if len(bad):
        row, position = bad[0].tolist()
        raise ValueError(
            f"tokens[{row}, {position}] is {int(tokens[row, position])}; the vocabulary has the numbers 0 to "
            f"{vocabulary_size - 1}"
        )
