"""What may be handed to an encoder: states padded, packed or nested, and lengths in any form whose meaning is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from nestree.buckets import pack, pad
from nestree.checks import check_ends, check_finite, check_rows, check_sequences, real_positions, surely_finite
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths

States = Tensor | PackedSequence
AnyLengths = Tensor | Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class Batch:
    """The checked arguments of an encoder."""

    states: Tensor
    """(B, L, D), with anything in the padding; or (T, D), concatenated sequences."""
    lengths: Lengths
    longest: int
    """L of a padded batch of tokens."""
    packed: bool = False
    """Whether ``cu_seqlens`` was given, so that tokens are returned packed."""

    @classmethod
    def of(
        cls,
        states: States,
        lengths: AnyLengths | None,
        mask: Tensor | None,
        cu_seqlens: AnyLengths | None,
        dim: int,
    ) -> Batch:
        """Read the arguments; without lengths, a mask or ``cu_seqlens`` every sequence is as long as L.

        Raises:
            ValueError: lengths given twice, a mask that is not true at the first positions alone, or states or lengths
                that the checks refuse; names the argument.
        """
        options = {"lengths": lengths, "mask": mask, "cu_seqlens": cu_seqlens}
        given = [name for name, value in options.items() if value is not None]
        if isinstance(states, PackedSequence) or (isinstance(states, Tensor) and states.is_nested):
            if given:
                raise ValueError(f"{given[0]} must be left out: packed and nested states have their own lengths")
            states, host = _in_time(states) if isinstance(states, PackedSequence) else _nested(states)
            check_rows(states, dim)
        elif not isinstance(states, Tensor):
            raise ValueError(f"states must be a tensor or a PackedSequence, not {type(states).__name__}")
        elif len(given) > 1:
            raise ValueError(f"{given[1]} must be left out where there {_ARE[given[0]]}")
        elif cu_seqlens is None:
            own = _lengths_of(mask, states) if mask is not None else as_lengths(_whole(states, lengths))
            host = check_sequences(states, own, dim)
            return cls(states, Lengths(own.to(states.device, torch.int64), host), states.shape[1])
        else:
            check_rows(states, dim)
            host = check_ends(as_lengths(cu_seqlens, "cu_seqlens"), len(states))
        return cls(states, Lengths.of(host, states.device), max(host), cu_seqlens is not None)

    def rows(self) -> Tensor:
        """Return the concatenated states of all sequences, (T, D).

        Raises:
            ValueError: a NaN or an infinite number at a real position; says where.
        """
        rows = self.states if self.states.ndim == 2 else pack(self.states, self.lengths.host)
        check_finite(rows, lambda row: f"states[{', '.join(map(str, self.place(row)))}]")
        return rows

    def padded(self) -> Tensor:
        """Return the states padded with zeros, (B, L, D).

        Raises:
            ValueError: as for [`rows`][].
        """
        if self.states.ndim == 2:
            return pad(self.rows(), self.lengths.host)
        if not surely_finite(self.states):
            self.rows()  # what is not finite may be in the padding
        if min(self.lengths.host) == self.longest:
            return self.states
        return self.states.masked_fill(~real_positions(self.lengths.tensor, self.longest).unsqueeze(-1), 0)

    def like_given(self, tokens: Tensor) -> Tensor:
        """Return tokens as the states were given: packed with ``cu_seqlens``, otherwise padded with zeros."""
        lengths = self.lengths.host
        if self.packed:
            return tokens if tokens.ndim == 2 else pack(tokens, lengths)
        if tokens.ndim == 2:
            return pad(tokens, lengths, self.longest)
        return tokens.masked_fill(~real_positions(self.lengths.tensor, self.longest).unsqueeze(-1), 0)

    def place(self, row: int) -> Sequence[int]:
        """Return the index in the given states of a row of the packed ones."""
        if self.states.ndim == 2:
            return [row]
        for sequence, length in enumerate(self.lengths.host):
            if row < length:
                return [sequence, row]
            row -= length
        raise IndexError(row)


def as_lengths(lengths: AnyLengths, name: str = "lengths") -> Tensor:
    """Return lengths as a tensor.

    Raises:
        ValueError: they cannot be converted; names ``name``.
    """
    if isinstance(lengths, Tensor):
        return lengths
    try:
        return torch.as_tensor(np.asarray(lengths))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must be integers, in a tensor, a list or an array, not {type(lengths).__name__}"
        ) from None


def as_draws(draws: Draws | torch.Generator | None) -> Draws | None:
    """Return draws; a generator becomes some.

    Raises:
        ValueError: they are neither.
    """
    if isinstance(draws, torch.Generator):
        return Draws(draws)
    if draws is not None and not isinstance(draws, Draws):
        raise ValueError(f"draws must be Draws or a torch.Generator, not {type(draws).__name__}")
    return draws


_ARE = {"lengths": "are lengths", "mask": "is a mask"}


def _whole(states: Tensor, lengths: AnyLengths | None) -> AnyLengths:
    return torch.full(states.shape[:1], states.shape[1] if states.ndim > 1 else 0) if lengths is None else lengths


def _nested(states: Tensor) -> tuple[Tensor, list[int]]:
    """Return the concatenated sequences of a nested tensor, and their lengths.

    Raises:
        ValueError: there is no sequence, or an empty one; names ``states``.
    """
    sequences = list(states.unbind())
    lengths = [len(sequence) for sequence in sequences]
    if not lengths or min(lengths) < 1:
        raise ValueError("states must have at least one sequence, and none without tokens")
    return torch.cat(sequences), lengths


def _in_time(states: PackedSequence) -> tuple[Tensor, list[int]]:
    """Return the concatenated sequences of a PackedSequence, which is ordered by time step, and their lengths."""
    running = states.batch_sizes.numpy()  # on the CPU always
    before = np.cumsum(running) - running
    own = (np.arange(running[0])[:, None] < running).sum(1).tolist()
    back = range(len(own)) if states.unsorted_indices is None else states.unsorted_indices.tolist()
    rows = np.concatenate([before[: own[place]] + place for place in back])
    return states.data.index_select(0, torch.from_numpy(rows).to(states.data.device)), [own[place] for place in back]


def _lengths_of(mask: Tensor, states: Tensor) -> Tensor:
    if mask.shape != states.shape[:2]:
        raise ValueError(f"mask must have the shape {tuple(states.shape[:2])}, not {tuple(mask.shape)}")
    mask = mask != 0
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("mask must be true at the first positions of each row and false behind them: pad on the right")
    return mask.sum(1)
