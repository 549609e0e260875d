"""A Transformer encoder, the baseline of the Long Range Arena."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nestree.checks import MOST_LAYERS, WIDEST, check_at_least, check_probability, real_positions
from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.options import EncoderOptions
from nestree.encoders.pooling import mean_over
from nestree.errors import OptionError
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths


class Transformer(Encoder):
    """Sinusoidal positions, pre-norm Transformer layers, a final norm, and the mean over real positions.

    It finds no trees. Attention weights have no dropout: attention that never holds all L x L weights at once is only
    available without it. Time grows with L^2, memory with L.

    Source: Vaswani et al. 2017 (arXiv 1706.03762), section 3; the norm before each part as in Xiong et al. 2020
    (arXiv 2002.04745); the mean instead of a class token.

    Examples:
        >>> Transformer(16, layers=2, heads=2, feedforward=32)(torch.randn(2, 5, 16), torch.tensor([5, 3])).root.shape
        torch.Size([2, 16])
    """

    def __init__(self, dim: int, *, layers: int = 4, heads: int = 4, feedforward: int = 512, dropout: float = 0.1):
        """Make an encoder for states of width ``dim``.

        Args:
            dim: width D.
            layers: number of layers.
            heads: attention heads per layer; must divide ``dim``.
            feedforward: hidden width of each layer's feed-forward block.
            dropout: dropout rate after attention and feed-forward blocks, and inside the latter.

        Raises:
            ValueError: a size is below 1, ``heads`` does not divide ``dim``, or ``dropout`` is not in [0, 1).
        """
        super().__init__(dim)
        check_at_least("layers", layers, 1)
        check_at_least("feedforward", feedforward, 1)
        check_heads(heads, dim)
        # Not batch_first: that order selects PyTorch's fused kernels at evaluation, which hold all L x L weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, feedforward, check_probability("dropout", dropout), activation="gelu", norm_first=True
            )
            for _ in range(layers)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            layer.self_attn.dropout = 0.0
        self.norm = nn.LayerNorm(dim)

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states; never returns trees."""
        real = real_positions(lengths.tensor, states.shape[1])
        padding = None if min(lengths.host) == states.shape[1] else ~real
        states = (states + sinusoids(states.shape[1], self.dim, states)).transpose(0, 1)
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=padding)
        states = self.norm(states.transpose(0, 1))
        return Encoding(mean_over(states, real), tokens=states)


def sinusoids(length: int, dim: int, like: Tensor) -> Float[Tensor, "l d"]:
    """Return positional encodings with the dtype and device of ``like``.

    Feature 2 i of position t is ``sin(t / 10000^(2 i / D))``, feature 2 i + 1 the cosine of the same.
    """
    precise = torch.float64 if like.dtype == torch.float64 else torch.float32
    rates = torch.exp(torch.arange(0, dim, 2, device=like.device, dtype=precise) * (-math.log(10_000) / dim))
    angles = torch.arange(length, device=like.device, dtype=precise)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim].to(like.dtype)


def check_heads(heads: int, dim: int) -> int:
    """Return ``heads``, or raise a ValueError that names it if it is not an integer that divides ``dim``."""
    check_at_least("heads", heads, 1)
    if dim % heads:
        raise OptionError("heads", f"must divide dim, which is {dim}, not {heads}")
    return heads


@dataclass(frozen=True)
class TransformerOptions(EncoderOptions):
    """Transformer encoder with sinusoidal positions and mean pooling."""

    dropout: float = 0.1
    """Dropout rate after attention and feed-forward blocks, and inside the latter."""
    layers: int = 4
    """Number of Transformer layers."""
    heads: int = 4
    """Attention heads per layer; must divide ``dim``."""
    feedforward: int = 512
    """Hidden width of each layer's feed-forward block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("layers", self.layers, 1, MOST_LAYERS)
        check_at_least("feedforward", self.feedforward, 1, WIDEST)
        check_heads(self.heads, self.dim)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return Transformer(
            self.dim, layers=self.layers, heads=self.heads, feedforward=self.feedforward, dropout=self.dropout
        )
