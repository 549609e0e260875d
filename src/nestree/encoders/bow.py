"""A bag of words: the baseline that ignores the order of the tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import MOST_LAYERS, check_at_least, check_one_of, check_probability, real_positions
from nestree.encoders.base import Encoder, Encoding
from nestree.encoders.options import EncoderOptions
from nestree.encoders.pooling import max_over, mean_over, sum_over
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths

POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": mean_over, "sum": sum_over, "max": max_over}


class BagOfWords(Encoder):
    """The mean, sum or maximum of the token states, and feed-forward layers on it. It finds no trees.

    Source: the deep averaging network of Iyyer et al. 2015 (ACL), without its dropout of whole words; with ``layers=0``
    there are no parameters, and a linear head makes it the model of Joulin et al. 2017 (fastText, arXiv 1607.01759).

    Examples:
        >>> BagOfWords(16)(torch.randn(2, 5, 16), torch.tensor([5, 3])).root.shape
        torch.Size([2, 16])
    """

    def __init__(self, dim: int, *, pool: str = "mean", layers: int = 0, dropout: float = 0.1) -> None:
        """Make an encoder for states of width ``dim``.

        Args:
            dim: width D.
            pool: mean, sum or max over the tokens.
            layers: number of feed-forward layers on the pooled features.
            dropout: dropout rate of the pooled features, and of what each layer returns.

        Raises:
            ValueError: ``dim`` is below 1, ``layers`` below 0, ``pool`` is unknown, or ``dropout`` is not in [0, 1).
        """
        super().__init__(dim)
        self.pool = check_one_of("pool", pool, POOLS)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(check_at_least("layers", layers, 0)))

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states; there are neither trees nor states of tokens."""
        root = self.dropout(POOLS[self.pool](states, real_positions(lengths.tensor, states.shape[1])))
        for layer in self.layers:
            root = self.dropout(functional.gelu(layer(root)))
        return Encoding(root)


@dataclass(frozen=True)
class BagOfWordsOptions(EncoderOptions):
    """Bag of words: the mean of the embeddings, whatever the order of the tokens."""

    dropout: float = 0.1
    """Dropout rate of the pooled features, and of what each layer returns."""
    layers: int = 0
    """Number of feed-forward layers on the pooled features."""
    pool: str = "mean"
    """Mean, sum or max over the tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("layers", self.layers, 0, MOST_LAYERS)
        check_one_of("pool", self.pool, POOLS)

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return BagOfWords(self.dim, pool=self.pool, layers=self.layers, dropout=self.dropout)
