"""A long short-term memory over the tokens: the recurrent network that most people would try first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nestree.checks import MOST_LAYERS, WIDEST, check_at_least, check_one_of, check_probability, real_positions
from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.options import EncoderOptions
from nestree.encoders.pooling import max_over, mean_over
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths

POOLS = ("max", "mean", "last")


class LSTM(Encoder):
    """PyTorch's LSTM in one or both directions; the root is pooled from the token states. It finds no trees.

    Source: Hochreiter and Schmidhuber 1997; the maximum over both directions' states as in Conneau et al. 2017 (arXiv
    1705.02364), section 3.

    Examples:
        >>> LSTM(16)(torch.randn(2, 5, 16), torch.tensor([5, 3])).root.shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: int | None = None,
        layers: int = 1,
        bidirectional: bool = True,
        pool: str = POOLS[0],
        dropout: float = 0.1,
    ) -> None:
        """Make an encoder for states of width ``dim``.

        Args:
            dim: width D.
            hidden: width of each direction; a linear layer projects the directions together to ``dim``. None: ``dim``
                divided by the number of directions, which needs no projection unless that is odd.
            layers: number of layers.
            bidirectional: read from both ends.
            pool: root of a sequence: max or mean over its token states; or last, each direction's state after its last
                step.
            dropout: dropout rate of what each layer returns.

        Raises:
            ValueError: a size is below 1, ``pool`` is unknown, or ``dropout`` is not in [0, 1).
        """
        super().__init__(dim)
        directions = 2 if bidirectional else 1
        hidden = -(-dim // directions) if hidden is None else check_at_least("hidden", hidden, 1)
        check_at_least("layers", layers, 1)
        check_probability("dropout", dropout)
        self.pool = check_one_of("pool", pool, POOLS)
        between = dropout if layers > 1 else 0.0  # PyTorch warns of a dropout between layers where there is only one
        self.lstm = nn.LSTM(dim, hidden, layers, dropout=between, bidirectional=bidirectional, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        width = directions * hidden
        self.projection = nn.Identity() if width == dim else nn.Linear(width, dim)

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states; never returns trees."""
        longest = states.shape[1]
        # Packed, as the backward direction must begin at each sequence's own last token.
        packed = pack_padded_sequence(states, torch.tensor(lengths.host), batch_first=True, enforce_sorted=False)
        seen, (final, _) = self.lstm(packed)
        tokens, _ = pad_packed_sequence(seen, batch_first=True, total_length=longest)
        tokens = self.projection(self.dropout(tokens))
        if self.pool == "last":
            directions = 2 if self.lstm.bidirectional else 1
            root = self.projection(self.dropout(final[-directions:].transpose(0, 1).flatten(1)))
        else:
            real = real_positions(lengths.tensor, longest)
            root = (max_over if self.pool == "max" else mean_over)(tokens, real)
        return Encoding(root, tokens=tokens)


@dataclass(frozen=True)
class LSTMOptions(EncoderOptions):
    """Long short-term memory in both directions, with max pooling."""

    dropout: float = 0.1
    """Dropout rate of what each layer returns."""
    layers: int = 1
    """Number of LSTM layers."""
    hidden: int | None = None
    """Width of each direction, projected to ``dim``; null: ``dim`` divided by the number of directions, not projected
    unless that is odd."""
    bidirectional: bool = True
    """Read from both ends."""
    pool: str = POOLS[0]
    """Root of a sequence: max or mean over its token states; or last, each direction's state after its last step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("layers", self.layers, 1, MOST_LAYERS)
        if self.hidden is not None:
            check_at_least("hidden", self.hidden, 1, WIDEST)
        check_one_of("pool", self.pool, POOLS)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return LSTM(
            self.dim,
            hidden=self.hidden,
            layers=self.layers,
            bidirectional=self.bidirectional,
            pool=self.pool,
            dropout=self.dropout,
        )
