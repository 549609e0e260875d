"""What may be handed to an encoder: states padded, packed or nested, and lengths in any form whose meaning is plain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence, pad_sequence

from nestree.recursions.draws import Draws

States = Tensor | PackedSequence
AnyLengths = Tensor | Sequence[int] | NDArray[np.integer]


def padded(states: States, lengths: AnyLengths | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return padded states (B, L, D) and lengths (B,); without lengths or a mask every sequence is as long as L.

    Raises:
        ValueError: names the argument: ``lengths`` twice, or a mask of anything but the first positions.
    """
    if isinstance(states, PackedSequence) or (isinstance(states, Tensor) and states.is_nested):
        for name, given in (("lengths", lengths), ("mask", mask)):
            if given is not None:
                raise ValueError(f"{name} must be left out: packed and nested states know their lengths")
        if isinstance(states, PackedSequence):
            return pad_packed_sequence(states, batch_first=True)
        sequences = list(states.unbind())
        return pad_sequence(sequences, batch_first=True), torch.tensor([len(sequence) for sequence in sequences])
    if not isinstance(states, Tensor):
        raise ValueError(f"states must be a tensor or a PackedSequence, not {type(states).__name__}")
    if mask is not None:
        if lengths is not None:
            raise ValueError("mask must be left out where there are lengths")
        return states, _lengths_of(mask, states)
    if lengths is None:
        return states, torch.full(states.shape[:1], states.shape[1] if states.ndim > 1 else 0)
    return states, as_lengths(lengths)


def as_lengths(lengths: AnyLengths) -> Tensor:
    """Return lengths as a tensor.

    Raises:
        ValueError: they are nothing that can be one.
    """
    if isinstance(lengths, Tensor):
        return lengths
    try:
        return torch.as_tensor(np.asarray(lengths))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"lengths must be integers, in a tensor, a list or an array, not {type(lengths).__name__}"
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


def _lengths_of(mask: Tensor, states: Tensor) -> Tensor:
    if mask.shape != states.shape[:2]:
        raise ValueError(f"mask must have the shape {tuple(states.shape[:2])}, not {tuple(mask.shape)}")
    mask = mask != 0
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("mask must be true at the first positions of each row and false behind them: pad on the right")
    return mask.sum(1)
