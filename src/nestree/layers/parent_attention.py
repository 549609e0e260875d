"""Parent attention: every token reads the nodes above it in the trees that were found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nestree.checks import check_at_least, check_probability

WIDEST = 128
"""Width d of queries and keys, at most."""
HEIGHTS = 10
"""Heights that are told apart; those above count as the last."""
AT_ONCE = 2**22
"""Numbers that the energies' products gather at a time."""


@dataclass(frozen=True)
class Paths:
    """The ancestors of the leaves of some beams, as P pairs (leaf of a beam, ancestor); S leaves of beams in all."""

    leaf: Tensor
    """(S,) the leaf."""
    beam: Tensor
    """(S,) the beam, numbered over all sequences."""
    segment: Tensor
    """(P,) the leaf of a beam that each pair belongs to, in ascending order."""
    node: Tensor
    """(P,) the ancestor."""
    height: Tensor
    """(P,) how high the ancestor is above the leaves."""

    def starts(self) -> Tensor:
        """Return (S,) the first pair of each leaf of a beam; one without ancestors has no pairs."""
        counts = torch.bincount(self.segment, minlength=len(self.leaf))
        return counts.cumsum(0) - counts


class ParentAttention(nn.Module):
    """Contextualize leaves: each attends to its ancestors in every beam, and the beams are averaged.

    ``x' = LayerNorm(W x)`` for leaves and nodes; ``z = SiLU(Wz x')`` of width d = min(128, D); queries q and q_h and
    keys k are ``z * scale + offset``; and, for leaf i and its ancestors v,

        energy(i, v) = (q_i . k_v + q_h,i . e[min(height(v), 10)]) / sqrt(2 d),   a = softmax over v
        o_i = dropout(Wo (SiLU(Wu x'_i) * sum_v a_v SiLU(Wv x'_v)))
        g = sigmoid(Wg [o_i; x_i]),   x_i <- g o_i + (1 - g) x_i

    A leaf without ancestors, the only one of its sequence, reads zeros. A second round has the same weights.

    Source: Ray Chowdhury and Caragea 2023, *Efficient Beam Tree Recursion* (arXiv 2307.10779), section 5.
    Cost: a leaf has as many ancestors as it is deep: up to n in a flat beam tree, about k log_k n in recursion in
    recursion, in each of W beams; memory grows with the number of pairs, but not with pairs times D.
    """

    def __init__(self, dim: int, *, rounds: int = 1, dropout: float = 0.1) -> None:
        """Make the attention for states of width ``dim``.

        Args:
            dim: D.
            rounds: how many times a leaf attends, with the same weights.
            dropout: share of features of what a leaf has read that are dropped in training.

        Raises:
            ValueError: ``dim`` or ``rounds`` is below 1, or ``dropout`` not in [0, 1).
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.rounds = check_at_least("rounds", rounds, 1)
        width = min(WIDEST, dim)
        self.project = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.shared = nn.Linear(dim, width)
        self.scale = nn.Parameter(torch.randn(3, width))
        self.offset = nn.Parameter(torch.zeros(3, width))
        self.heights = nn.Parameter(torch.randn(HEIGHTS, width))
        self.queries = nn.Linear(dim, 2 * dim)
        self.values = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(2 * dim, dim)
        self.gate = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(check_probability("dropout", dropout))

    def read(self, states: Float[Tensor, "*rows d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries q and q_h and the gate ``SiLU(Wu x')`` of leaves."""
        inner = self.norm(self.project(states))
        shared = functional.silu(self.shared(inner))
        first, second = (shared * self.scale[j] + self.offset[j] for j in (0, 1))
        return first, second, functional.silu(self.queries(inner))

    def show(self, states: Float[Tensor, "*rows d"]) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of nodes."""
        inner = self.norm(self.project(states))
        keys = functional.silu(self.shared(inner)) * self.scale[2] + self.offset[2]
        return keys, functional.silu(self.values(inner))

    def move(self, states: Float[Tensor, "*rows d"], read: Float[Tensor, "*rows e"]) -> Float[Tensor, "*rows d"]:
        """Return the new states of leaves, of which ``read`` is the product of their gate and what they attended to."""
        out = self.dropout(self.out(read))
        gate = self.gate(torch.cat([out, states], dim=-1)).sigmoid()
        return gate * out + (1 - gate) * states

    @property
    def temperature(self) -> float:
        """What energies are divided by."""
        return math.sqrt(2 * self.heights.shape[1])

    def forward(
        self,
        leaves: Float[Tensor, "n d"],
        nodes: Float[Tensor, "m d"],
        paths: Paths,
        weights: Float[Tensor, " beams"],
    ) -> Float[Tensor, "n d"]:
        """Return the leaves' states, averaged over the beams.

        Args:
            leaves: of all sequences.
            nodes: all ancestors.
            paths: which leaf has which ancestors in which beam.
            weights: of the beams; those of one sequence add up to 1.
        """
        keys, values = self.show(nodes)
        starts, places = paths.starts(), (paths.height.clamp(max=HEIGHTS) - 1)
        states = leaves[paths.leaf]
        for number in range(self.rounds):
            # All beams begin with the same leaves.
            found = self.read(states) if number else [of[paths.leaf] for of in self.read(leaves)]
            first, second, gate = found
            of_height = (second @ self.heights.T)[paths.segment, places]
            energy = (pair_products(first, keys, paths, starts) + of_height) / self.temperature
            share = segment_softmax(energy, paths.segment, len(states)).to(values.dtype)
            seen = functional.embedding_bag(paths.node, values, starts, mode="sum", per_sample_weights=share)
            states = self.move(states, gate * seen)
        weighted = states * weights.to(states.dtype)[paths.beam].unsqueeze(-1)
        return torch.zeros_like(leaves).index_add(0, paths.leaf, weighted)


def segment_softmax(energy: Tensor, segment: Tensor, segments: int) -> Tensor:
    """Return the softmax of the energies (P,) over those of each segment."""
    energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
    largest = energy.new_full((segments,), -torch.inf).scatter_reduce(0, segment, energy.detach(), "amax")
    grown = (energy - largest[segment]).exp()
    return grown / energy.new_zeros(segments).index_add(0, segment, grown)[segment]


def pair_products(queries: Tensor, keys: Tensor, paths: Paths, starts: Tensor) -> Tensor:
    """Return ``queries[segment] . keys[node]`` (P,) without ever holding P rows."""
    return _PairProducts.apply(queries, keys, paths, starts)  # pyright: ignore[reportReturnType]


class _PairProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, paths: Paths, starts: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, paths.segment, paths.node, starts)
        at_once = max(1, AT_ONCE // queries.shape[1])
        parts = zip(paths.segment.split(at_once), paths.node.split(at_once), strict=True)
        return torch.cat([(queries[segment] * keys[node]).sum(-1) for segment, node in parts])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, keys, segment, node, starts = ctx.saved_tensors
        of_queries = functional.embedding_bag(node, keys, starts, mode="sum", per_sample_weights=gradient)
        order = node.argsort(stable=True)
        counts = torch.bincount(node, minlength=len(keys))
        of_keys = functional.embedding_bag(
            segment[order], queries, counts.cumsum(0) - counts, mode="sum", per_sample_weights=gradient[order]
        )
        return of_queries, of_keys, None, None
