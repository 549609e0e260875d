"""Heads: from roots to logits."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from nestree.checks import check_at_least, check_probability


class ClassificationHead(nn.Module):
    """Logits from a root: ``Linear(dropout(GELU(Linear(dropout(root)))))``, or one linear layer.

    Args:
        dim: width of the root.
        classes: number of logits.
        hidden: width of the hidden layer; None for one linear layer without dropout.
        dropout: share of features dropped during training, before each of the two layers.

    Raises:
        ValueError: a size is below 1 or ``dropout`` not in [0, 1).
    """

    def __init__(self, dim: int, classes: int, *, hidden: int | None = None, dropout: float = 0.1) -> None:
        super().__init__()
        check_at_least("dim", dim, 1)
        check_at_least("classes", classes, 1)
        check_probability("dropout", dropout)
        if hidden is None:
            self.layers = nn.Sequential(nn.Linear(dim, classes))
        else:
            check_at_least("hidden", hidden, 1)
            self.layers = nn.Sequential(
                nn.Dropout(dropout), nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
            )

    def forward(self, root: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        """Return the logits."""
        return self.layers(root)
