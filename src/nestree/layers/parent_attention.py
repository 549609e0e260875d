"""Parent attention: every token attends to the nodes above it in the trees."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import check_at_least, check_probability

WIDEST = 128
"""Largest width d of queries and keys."""
HEIGHTS = 10
"""Number of height embeddings; greater heights share the last one."""
CHUNK = 2**22
"""Number of elements gathered at a time for the products of queries and keys."""

PairNumbers = Float[Tensor, " p"]
PairIndex = Integer[Tensor, " p"]
LeafIndex = Integer[Tensor, " s"]


@dataclass(frozen=True)
class Paths:
    """The ancestors of the leaves of beams: P pairs (leaf of a beam, ancestor) of S leaves of beams."""

    leaf: LeafIndex
    """(S,) the leaf."""
    beam: LeafIndex
    """(S,) the beam, numbered over all sequences."""
    segment: PairIndex
    """(P,) index of each pair's leaf among the S, ascending."""
    node: PairIndex
    """(P,) the ancestor."""
    height: PairIndex
    """(P,) height of the ancestor."""


class ParentAttention(nn.Module):
    """Contextualize leaves: each attends to its ancestors in every beam, and the beams are averaged.

    ``x' = LayerNorm(W x)`` for leaves and nodes; ``z = SiLU(Wz x')`` of width d = min(128, D); queries q and q_h and
    keys k are ``z * scale + offset``; and, for leaf i and its ancestors v,

        energy(i, v) = (q_i . k_v + q_h,i . e[min(height(v), 10)]) / sqrt(2 d),   a = softmax over v
        o_i = dropout(Wo (SiLU(Wu x'_i) * sum_v a_v SiLU(Wv x'_v)))
        g = sigmoid(Wg [o_i; x_i]),   x_i <- g o_i + (1 - g) x_i

    A leaf without ancestors, that is, a sequence of one token, reads zeros. All rounds share their weights.

    Args:
        dim: width D of a state.
        rounds: number of rounds of attention, with shared weights.
        dropout: dropout rate of the attention output.

    Raises:
        ValueError: ``dim`` or ``rounds`` is below 1, or ``dropout`` not in [0, 1).

    Source: Ray Chowdhury and Caragea 2023, *Efficient Beam Tree Recursion* (arXiv 2307.10779), section 5.
    Cost: a leaf has as many ancestors as its depth: up to n in a flat beam tree, about k log_k n in recursion in
    recursion, for each of W beams. Memory grows with the number of pairs, not with pairs times D.
    """

    def __init__(self, dim: int, *, rounds: int = 1, dropout: float = 0.1) -> None:
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

    def reset_parameters(self) -> None:
        """Initialize this module's own parameters; its layers have methods of their own."""
        nn.init.normal_(self.scale)
        nn.init.zeros_(self.offset)
        nn.init.normal_(self.heights)

    def queries_and_gate(self, states: Float[Tensor, "*rows d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries q and q_h and the gate ``SiLU(Wu x')`` of leaves."""
        inner = self.norm(self.project(states))
        shared = functional.silu(self.shared(inner))
        first, second = (shared * self.scale[j] + self.offset[j] for j in (0, 1))
        return first, second, functional.silu(self.queries(inner))

    def keys_and_values(self, states: Float[Tensor, "*rows d"]) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of nodes."""
        inner = self.norm(self.project(states))
        keys = functional.silu(self.shared(inner)) * self.scale[2] + self.offset[2]
        return keys, functional.silu(self.values(inner))

    def update(self, states: Float[Tensor, "*rows d"], read: Float[Tensor, "*rows e"]) -> Float[Tensor, "*rows d"]:
        """Return the new states of leaves; ``read`` is their gated attention output."""
        out = self.dropout(self.out(read))
        gate = self.gate(torch.cat([out, states], dim=-1)).sigmoid()
        return gate * out + (1 - gate) * states

    @property
    def temperature(self) -> float:
        """Divisor of the energies."""
        return math.sqrt(2 * self.heights.shape[1])

    def forward(
        self,
        leaves: Float[Tensor, "n d"],
        nodes: Float[Tensor, "m d"],
        paths: Paths,
        weights: Float[Tensor, " beams"],
    ) -> Float[Tensor, "n d"]:
        """Return the leaves' new states, averaged over the beams.

        Args:
            leaves: leaf states of all sequences.
            nodes: states of all ancestors.
            paths: the ancestors of each leaf in each beam.
            weights: weights of the beams; those of one sequence add up to 1.
        """
        keys, values = self.keys_and_values(nodes)
        places = paths.height.clamp(max=HEIGHTS) - 1
        states = leaves[paths.leaf]
        for number in range(self.rounds):
            if number == 0:  # all beams start from the same leaves
                first, second, gate = (of[paths.leaf] for of in self.queries_and_gate(leaves))
            else:
                first, second, gate = self.queries_and_gate(states)
            of_height = (second @ self.heights.T)[paths.segment, places]
            energy = (pair_products(first, keys, paths) + of_height) / self.temperature
            share = segment_softmax(energy, paths.segment, len(states)).to(values.dtype)
            states = self.update(states, gate * path_sums(values, share, paths))
        weighted = states * weights.to(states.dtype)[paths.beam].unsqueeze(-1)
        return torch.zeros_like(leaves).index_add(0, paths.leaf, weighted)


def segment_softmax(energy: PairNumbers, segment: PairIndex, segments: int) -> PairNumbers:
    """Return the softmax of the energies (P,) within each segment."""
    energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
    largest = energy.new_full((segments,), -torch.inf).scatter_reduce(0, segment, energy.detach(), "amax")
    grown = (energy - largest[segment]).exp()
    return grown / energy.new_zeros(segments).index_add(0, segment, grown)[segment]


def pair_products(queries: Float[Tensor, "s d"], keys: Float[Tensor, "m d"], paths: Paths) -> PairNumbers:
    """Return ``queries[segment] . keys[node]`` (P,) without materializing P rows."""
    return _Products.apply(queries, keys, paths.segment, paths.node)  # pyright: ignore[reportReturnType]


def path_sums(values: Float[Tensor, "m e"], weights: PairNumbers, paths: Paths) -> Float[Tensor, "s e"]:
    """Return the sum of ``weights * values[node]`` over each segment (S, E), without materializing P rows."""
    return _Sums.apply(values, weights, paths.node, paths.segment, len(paths.leaf), True)  # pyright: ignore[reportReturnType]


class _Products(torch.autograd.Function):
    """``left[at_left] . right[at_right]``, where ``at_left`` ascends; its gradients are [`_Sums`][]."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, at_left: Tensor, at_right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right, at_left, at_right)
        if left.device.type == "cpu" and left.dtype in (torch.float32, torch.float64):
            return _sampled_products(left, right, at_left, at_right)
        at_once = max(1, CHUNK // left.shape[1])
        parts = zip(at_left.split(at_once), at_right.split(at_once), strict=True)
        return torch.cat([(left[one] * right[other]).sum(-1) for one, other in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        left, right, at_left, at_right = ctx.saved_tensors
        of_left = _Sums.apply(right, gradient, at_right, at_left, len(left), True)
        of_right = _Sums.apply(left, gradient, at_left, at_right, len(right), False)
        return of_left, of_right, None, None  # pyright: ignore[reportReturnType]


def _sampled_products(left: Tensor, right: Tensor, at_left: Tensor, at_right: Tensor) -> Tensor:
    """Return the products as the entries of a sparse matrix: nothing is gathered, which is ten times as fast."""
    ends = torch.bincount(at_left, minlength=len(left)).cumsum(0)
    first = torch.cat([ends.new_zeros(1), ends])
    pattern = _sparse(first, at_right, left.new_zeros(len(at_right)), (len(left), len(right)))
    return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()


def _sparse(first: Tensor, column: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)  # PyTorch warns once
        return torch.sparse_csr_tensor(first, column, values, shape, check_invariants=False)


class _Sums(torch.autograd.Function):
    """``weights * values[source]``, summed by ``target``; either that or ``source`` ascends.

    Its gradients are itself with source and target swapped, and [`_Products`][]; so, unlike ``embedding_bag``, which it
    uses, it has second derivatives.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weights: Tensor, source: Tensor, target: Tensor, size: int, ascending: bool
    ) -> Tensor:
        ctx.save_for_backward(values, weights, source, target)
        ctx.ascending = ascending
        counts = torch.bincount(target, minlength=size)
        if not ascending:
            order = target.argsort(stable=True)
            source, weights = source[order], weights[order]
        return functional.embedding_bag(
            source, values, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights.to(values.dtype)
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, weights, source, target = ctx.saved_tensors
        of_values = _Sums.apply(gradient, weights, target, source, len(values), not ctx.ascending)
        if ctx.ascending:
            of_weights = _Products.apply(gradient, values, target, source)
        else:
            of_weights = _Products.apply(values, gradient, source, target)
        return of_values, of_weights.to(weights.dtype), None, None, None, None  # pyright: ignore
