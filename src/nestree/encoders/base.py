"""What every encoder takes and gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from nestree.checks import check_at_least, check_sequences, real_positions
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.trees import ParsedTree


@dataclass(frozen=True)
class Encoding:
    """What an encoder makes of a batch."""

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

    def forward(
        self,
        states: Float[Tensor, "b l d"],
        lengths: Integer[Tensor, " b"],
        *,
        trees: bool = False,
        draws: Draws | None = None,
    ) -> Encoding:
        """Encode a padded batch.

        Args:
            states: (B, L, D), any floating dtype and device; what stands in the padding has no effect.
            lengths: (B,) integers from 1 to L.
            trees: also return the trees that were found.
            draws: where a beam tree's noise, alignments and dropout masks come from in training; None takes PyTorch's
                global generator, which every other dropout uses always.

        Raises:
            ValueError: names ``states`` or ``lengths``: misfitting shapes, an empty batch, a length out of range, or
                a NaN at a real position.
        """
        host = check_sequences(states, lengths, self.dim)
        checked = Lengths(lengths.to(states.device, torch.int64), host)
        padding = ~real_positions(checked.tensor, states.shape[1]).unsqueeze(-1)
        return self.encode(states.masked_fill(padding, 0), checked, trees=trees, draws=draws)

    @abstractmethod
    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states whose padding is zero."""
