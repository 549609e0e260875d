"""A stack of bidirectional S4D layers: the state-space model that RIR is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.buckets import Buckets
from nestree.checks import MOST_LAYERS, check_at_least, check_probability
from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.options import EncoderOptions
from nestree.layers import S4D
from nestree.layers.s4d import drop_channels, in_pieces
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths


def normalized(norm: nn.Module, states: Float[Tensor, "t d"]) -> Float[Tensor, "t d"]:
    """Normalize each of the D features over the real positions of all sequences.

    In training the statistics are those of what one process runs at once: of its share of the batch where several
    processes share it (unless the norm is a SyncBatchNorm), and of the micro-batch where there are micro-batches. A
    single position has no variance, and is normalized by the running statistics, as at evaluation.
    """
    if type(norm) is not nn.BatchNorm1d or not norm.training or len(states) > 1:
        return norm(states)
    return functional.batch_norm(
        states, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.running_mean is None, 0.0, norm.eps
    )


class S4DLayer(nn.Module):
    """One layer of the stack: ``BatchNorm(x + GLU(W y))``, or ``x + GLU(W y)`` with y of ``BatchNorm(x)``.

    y has D channels: a forward and a backward state-space model of each are added up, then GELU and dropout.
    """

    def __init__(self, dim: int, *, dropout: float, prenorm: bool) -> None:
        """Make a layer for states of width ``dim``; ``prenorm`` puts the norm before everything else."""
        super().__init__()
        self.prenorm = prenorm
        self.ssm = S4D(2 * dim, skip_scale=math.sqrt(0.5))  # the two directions' D add up to one standard normal
        self.dropout = nn.Dropout1d(dropout)  # the same mask at every time step
        self.mix = nn.Linear(dim, 2 * dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, states: Float[Tensor, "t d"], buckets: Buckets) -> Float[Tensor, "t d"]:
        """Return states of the same shape: those of all sequences, concatenated."""
        inputs = normalized(self.norm, states) if self.prenorm else states
        # Running backwards through the padding's zeros is running backwards from the last token.
        mixed = (self._run(part) for part in buckets.padded(inputs))
        states = states + buckets.packed(list(mixed))
        return states if self.prenorm else normalized(self.norm, states)

    def _run(self, inputs: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        return in_pieces(self._mix, self.ssm.both_ways(inputs.mT), inputs, whole=self.training)

    def _mix(self, both: Float[Tensor, "b h l"], inputs: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        forwards, backwards = both.mT.chunk(2, dim=-1)
        seen = drop_channels(functional.gelu(forwards + backwards), self.dropout)
        return functional.glu(self.mix(seen), dim=-1)


class S4DStack(Encoder):
    """Bidirectional S4D layers with batch normalization; the mean over real positions. It finds no trees.

    Neighbours change nothing at evaluation, but do in training, through the statistics of their batch.

    Source: Gu et al. 2022 (arXiv 2206.11893), section 5; two directions and GLU as in the Long Range Arena models of
    Gu, Goel and Re 2022 (arXiv 2111.00396).

    Examples:
        >>> S4DStack(16, layers=2)(torch.randn(2, 5, 16), torch.tensor([5, 3])).root.shape
        torch.Size([2, 16])
    """

    takes_packed = True

    def __init__(self, dim: int, *, layers: int = 8, dropout: float = 0.0, prenorm: bool = False) -> None:
        """Make an encoder of states of width ``dim``.

        Args:
            dim: width D.
            layers: how many.
            dropout: share of channels dropped in training in each layer.
            prenorm: normalize what a layer reads instead of what it returns.

        Raises:
            ValueError: a size is below 1 or ``dropout`` not in [0, 1).
        """
        super().__init__(dim)
        check_at_least("layers", layers, 1)
        check_probability("dropout", dropout)
        self.layers = nn.ModuleList(S4DLayer(dim, dropout=dropout, prenorm=prenorm) for _ in range(layers))

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states; there are no trees."""
        buckets = Buckets(lengths.host)
        for layer in self.layers:
            states = layer(states, buckets)
        summed = buckets.joined([part.sum(1) for part in buckets.padded(states)])
        return Encoding(summed / lengths.tensor.unsqueeze(-1).to(states.dtype), tokens=states)


@dataclass(frozen=True)
class S4DOptions(EncoderOptions):
    """Stack of bidirectional S4D layers with batch normalization and mean pooling."""

    dropout: float = 0.0
    """Share of channels dropped in each layer in training, the same at every time step."""
    layers: int = 8
    """Layers of the stack."""
    prenorm: bool = False
    """Normalize what a layer reads instead of what it returns."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_at_least("layers", self.layers, 1, MOST_LAYERS)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return S4DStack(self.dim, layers=self.layers, dropout=self.dropout, prenorm=self.prenorm)
