"""What every encoder takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nestree.checks import check_at_least, check_sequences, real_positions
from nestree.encoders.inputs import AnyLengths, States, as_draws, padded
from nestree.encoders.surroundings import check_dtype, in_full, never_compiled, reaching_all, refuse_tracing
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.trees import ParsedTree

SHORT = 2
"""Sequences of at most so many tokens leave some parameters without a part in the root."""


class Encoding(NamedTuple):
    """What an encoder makes of a batch: a tuple, so that whatever wraps a module sees the tensors in it."""

    root: Tensor
    """(B, D): one vector a sequence."""
    trees: list[list[ParsedTree]] | None = None
    """When asked for: the trees found for each sequence, most probable first; their probabilities add up to 1."""


class Encoder(nn.Module, ABC):
    """A module from padded token states and lengths to one root a sequence.

    Subclasses implement [`encode`][], which may rely on checked arguments and on zeros in the padding.
    """

    def __init__(self, dim: int) -> None:
        """Note the width of the states, D.

        Raises:
            ValueError: ``dim`` is below 1.
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)

    @never_compiled
    def forward(
        self,
        states: States,
        lengths: AnyLengths | None = None,
        *,
        mask: Tensor | None = None,
        trees: bool = False,
        draws: Draws | torch.Generator | None = None,
    ) -> Encoding:
        """Encode a padded batch.

        Args:
            states: (B, L, D), of the dtype and on the device of the parameters; what stands in the padding has no
                effect. Or a PackedSequence, or a nested tensor, which know their lengths.
            lengths: (B,) integers from 1 to L: a tensor, list or array; None: all are L.
            mask: (B, L) instead of lengths: true where a sequence has a token, which is at the first positions.
            trees: also return the trees that were found.
            draws: where a beam tree's noise, alignments and dropout masks come from in training, or a generator on the
                states' device; None takes PyTorch's global generator, which every other dropout uses always.

        Raises:
            ValueError: names the argument: misfitting shapes, an empty batch, a length out of range, or a NaN or an
                infinite number at a real position.
            RuntimeError: in a trace or an export.
        """
        refuse_tracing()
        draws = as_draws(draws)
        states, given = padded(states, lengths, mask)
        host = check_sequences(states, given, self.dim)
        check_dtype(self, states)
        checked = Lengths(given.to(states.device, torch.int64), host)
        padding = ~real_positions(checked.tensor, states.shape[1]).unsqueeze(-1)
        encoding = self.encode(states.masked_fill(padding, 0), checked, trees=trees, draws=draws)
        root = in_full(encoding.root, self)
        return encoding._replace(root=reaching_all(root, self) if max(host) <= SHORT else root)

    @abstractmethod
    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states whose padding is zero."""
