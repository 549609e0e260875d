"""Scorers, which rate pairs of neighbours for a merge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import check_at_least
from nestree.errors import OptionError


class Scorer(nn.Module, ABC):
    """Rates the merge of two neighbours with one logit; higher is better.

    A subclass reads the children of a pair, ``forward(left, right)``, or, with ``reads_parents``, the parent that they
    would have, ``forward(parent)``. It treats each row independently.
    """

    reads_parents: ClassVar[bool] = False

    def __init__(self, dim: int) -> None:
        """Set the width D of states.

        Raises:
            ValueError: ``dim`` is below 1.
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)

    @abstractmethod
    def forward(self, *states: Float[Tensor, "*pairs d"]) -> Float[Tensor, "*pairs"]:
        """Return one logit per pair."""


class PairScorer(Scorer):
    """Score a pair by its two states: ``s(l, r) = w2 . GELU(W1 [l_1..S; r_1..S] + b1)``.

    As it does not need the parent, a beam tree composes only the pairs that it merges. It reads only the first S
    features, which separates the merge decision from the content. The output has no bias: it would cancel in the
    softmax over a frontier's pairs.

    Source: Ray Chowdhury and Caragea 2023, *Efficient Beam Tree Recursion* (arXiv 2307.10779), section 3.

    Args:
        dim: width D of a state.
        width: S, number of features read from each child, and width of the hidden layer; None for all D.

    Raises:
        ValueError: ``dim`` or ``width`` is below 1, or ``width`` is above ``dim``.
    """

    def __init__(self, dim: int, *, width: int | None = None) -> None:
        super().__init__(dim)
        self.width = dim if width is None else check_at_least("width", width, 1)
        if self.width > dim:
            raise OptionError(
                "width", f"must be at most dim ({dim}): a scorer reads the first features of a child; not {width}"
            )
        self.hidden = nn.Linear(2 * self.width, self.width)
        self.score = nn.Linear(self.width, 1, bias=False)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, left: Float[Tensor, "*pairs d"], right: Float[Tensor, "*pairs d"]
    ) -> Float[Tensor, "*pairs"]:
        """Return one logit per pair."""
        children = torch.cat([left[..., : self.width], right[..., : self.width]], dim=-1)
        return self.score(functional.gelu(self.hidden(children))).squeeze(-1)


class ParentScorer(Scorer):
    """Score a pair by its parent: ``s = v . parent``.

    Every pair has to be composed before it can be scored. There is no bias: it would cancel in the softmax over a
    frontier's pairs.

    Source: Ray Chowdhury and Caragea 2023, *Beam Tree Recursive Cells* (arXiv 2305.19999), section 3.

    Args:
        dim: width D of a state.

    Raises:
        ValueError: ``dim`` is below 1.
    """

    reads_parents: ClassVar[bool] = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, parent: Float[Tensor, "*pairs d"]
    ) -> Float[Tensor, "*pairs"]:
        """Return one logit per pair."""
        return self.score(parent).squeeze(-1)
