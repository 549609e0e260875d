"""Checks of arguments: each returns the value, or raises an error that says in one line what would be right."""

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
    """Frozen options that are checked on creation; a class that combines several sets of options inherits from each."""

    def __post_init__(self) -> None:
        """Check boolean options; subclasses check their own options after ``super().__post_init__()``.

        Raises:
            ValueError: an option is invalid; names it.
        """
        for field in fields(self):
            if field.type in ("bool", bool):
                check_bool(field.name, getattr(self, field.name))

    def part(self, kind: type[Part]) -> Part:
        """Return the subset of these options that is a ``kind``."""
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})


MOST = 10**12
"""Maximal value of integers that have no other limit: larger ones overflow where they are multiplied."""
MOST_SEED = 2**63 - 1
"""Maximal seed."""
MOST_MINUTES = 10.0**7
"""Maximal time, about 19 years: longer ones overflow."""
MOST_THREADS = 512
"""Maximal number of threads, and of processes: with thousands, the libraries crash."""
WIDEST = 2**16
"""Maximal width of a layer."""
MOST_LAYERS = 1_000
"""Maximal number of layers."""
MOST_BEAMS = 10_000
"""Maximal number of beams, slots and positions of a window."""


def check_at_least(name: str, value: int, least: int, most: int = MOST) -> int:
    """Return ``value``, or raise a ValueError that names the argument.

    Raises:
        OptionError: ``value`` is not an integer, or below ``least`` or above ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(name, f"must be an integer of at least {least}, not {_shown(value)}")
    if value > most:
        raise OptionError(name, f"must be an integer of at most {most}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """Return a value for messages; Python refuses to print integers of thousands of digits."""
    if isinstance(value, int) and abs(value) > 2**1000:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


def check_bool(name: str, value: bool) -> bool:
    """Return ``value``, or raise a ValueError that names the argument if it is neither true nor false."""
    if not isinstance(value, bool):
        raise OptionError(name, f"must be true or false, not {value!r}")
    return value


class Checked:
    """Checks attributes whenever they are set, by functions of their name and value."""

    checks: ClassVar[dict[str, Callable[[str, Any], Any]]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            ValueError: the value is invalid; names the attribute.
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


def check_positive(name: str, value: float, most: float = 1e30) -> float:
    """Return ``value``, or raise a ValueError that names the argument if it is not above 0 or above ``most``."""
    if not _is_number(value) or not value > 0:
        raise OptionError(name, f"must be a number above 0, not {_shown(value)}")
    if value > most:
        raise OptionError(name, f"must be a number of at most {most:g}, not {_shown(value)}")
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
        dim: the expected D.

    Raises:
        ValueError: wrong shapes, dtypes or lengths, or a NaN or infinite number at a real position; names ``states`` or
            ``lengths``.
    """
    if states.ndim != 3 or states.shape[-1] != dim:
        raise ValueError(f"states must have the shape (batch, length, {dim}), not {tuple(states.shape)}")
    if not states.is_floating_point():
        raise ValueError(f"states must be floating-point, not {states.dtype}")
    batch, longest, _ = states.shape
    if batch == 0:
        raise ValueError("states must have at least one sequence, not an empty batch")
    return check_lengths(lengths, batch, longest)


def check_lengths(lengths: Tensor, batch: int, longest: int) -> list[int]:
    """Return the lengths of a padded batch (B, L) as a list.

    Raises:
        ValueError: wrong shape, dtype or values; names ``lengths``.
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
            raise ValueError(f"lengths[{row}] must be from 1 to {longest}, the length of states, not {length}")
    return host_lengths


def check_rows(states: Tensor, dim: int) -> None:
    """Check packed states (T, D) of any floating dtype, where D is ``dim``.

    Raises:
        ValueError: wrong shape or dtype; names ``states``.
    """
    if states.ndim != 2 or states.shape[-1] != dim:
        raise ValueError(f"states must have the shape (tokens, {dim}) where they are packed, not {tuple(states.shape)}")
    if not states.is_floating_point():
        raise ValueError(f"states must be floating-point, not {states.dtype}")


def check_ends(cu_seqlens: Tensor, tokens: int) -> list[int]:
    """Check the boundaries of packed sequences, and return their lengths as a list.

    Args:
        cu_seqlens: (B + 1,) integers: where each sequence begins, and ``tokens``.
        tokens: T, of all sequences.

    Raises:
        ValueError: wrong shape, dtype or values; names ``cu_seqlens``.
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
    """Return True only if ``states`` are finite; may also return False for finite ones."""
    if torch._C._are_functorch_transforms_active():  # values cannot be read inside torch.func transforms
        return True
    return bool(states.detach().sum().isfinite())  # a cheap test; overflow can fail it too


def check_finite(rows: Tensor, name: Callable[[int], str]) -> None:
    """Check that packed rows (T, D) are finite; ``name`` returns the name of a row for the message.

    Raises:
        ValueError: a row has a NaN or infinite number; names the row.
    """
    if surely_finite(rows):
        return
    bad = (~rows.isfinite().all(dim=-1)).nonzero()
    if len(bad):
        row = int(bad[0])
        kind = "a NaN" if bool(rows[row].isnan().any()) else "an infinite number"
        raise ValueError(f"{name(row)} has {kind} at a real position")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def real_positions(lengths: Tensor, longest: int) -> Tensor:
    """Return a boolean mask (B, ``longest``): true where a sequence has a token, false in the padding."""
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(-1)


def check_tokens(tokens: Tensor, vocabulary_size: int) -> None:
    """Check that ``tokens`` (B, L) are token numbers of the vocabulary.

    Raises:
        ValueError: they are not integers, or one is not in the vocabulary; says where.
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
            f"tokens[{row}, {position}] must be from 0 to {vocabulary_size - 1}, a token of the vocabulary, not "
            f"{int(tokens[row, position])}"
        )
