"""Cases for the engines of the beam tree, and what each engine makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from nestree.layers import GatedRecursiveCell, PairScorer, ParentScorer
from nestree.recursions import BeamSearch, BeamTree, KeyedDraws, Outer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.options import ENGINES
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import ALIGNMENTS
from support.reference import randomize

SAFE_MARGIN = 1e-4
"""In float32 a choice that hangs on less than this may be made either way."""

Spans = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Case:
    """A batch and a beam tree."""

    lengths: tuple[int, ...]
    beam_size: int = 3
    arity: int | None = 4
    split_from: int | None = None
    training_split_from: int | None = None
    alignment: str = "sampled"
    sample_at_evaluation: bool = False
    partial: float = 0.0
    training: bool = True
    noise: bool = True
    merge_equal: bool = False
    dropout: float = 0.1
    scorer_width: int | None = 3
    of_parents: bool = False
    dim: int = 5
    seed: int = 0

    def outer(self) -> Outer:
        return Outer(
            self.arity,
            self.split_from,
            self.training_split_from,
            alignment=self.alignment,
            sample_at_evaluation=self.sample_at_evaluation,
            partial=self.partial,
        )

    def tree(self, engine: str, dtype: torch.dtype = torch.float64) -> BeamTree:
        cell = GatedRecursiveCell(self.dim, dropout=self.dropout)
        scorer = ParentScorer(self.dim) if self.of_parents else PairScorer(self.dim, width=self.scorer_width)
        tree = BeamTree(
            cell,
            scorer,
            BeamSearch(self.beam_size, self.noise, self.merge_equal, engine),
        )
        return randomize(tree, self.seed).to(dtype).train(self.training)

    def states(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Leaf states (B, L, D) that need a gradient; zero in the padding."""
        generator = torch.Generator().manual_seed(self.seed)
        states = torch.zeros(len(self.lengths), max(self.lengths), self.dim, dtype=torch.float64)
        for row, length in enumerate(self.lengths):
            states[row, :length] = torch.randn(length, self.dim, generator=generator, dtype=torch.float64)
        return states.to(dtype).requires_grad_()

    def leaves(self, states: Tensor) -> Leaves:
        return Leaves(states, Lengths.of(list(self.lengths)))

    def draws(self) -> KeyedDraws:
        return KeyedDraws(self.seed)


@dataclass(frozen=True)
class Outcome:
    """What an engine gave."""

    root: Tensor
    trees: list[dict[Spans, float]]
    """Of each sequence: the probability of every tree, by its spans."""
    gradients: dict[str, Tensor]
    """Of the leaves and of every parameter."""


@st.composite
def cases(draw: Callable, *, longest: int = 70) -> Case:
    """Any case: ragged lengths, short ones often."""
    length = st.one_of(st.integers(1, 4), st.integers(1, 12), st.integers(1, longest))
    lengths = draw(st.lists(length, min_size=1, max_size=3))
    arity = draw(st.one_of(st.none(), st.integers(2, 5), st.integers(2, 30)))
    flat = arity is not None and draw(st.integers(0, 4)) == 0
    return Case(
        lengths=tuple(lengths),
        beam_size=draw(st.integers(1, 7)),
        arity=arity,
        split_from=10**9 if flat else None,
        training_split_from=draw(st.one_of(st.none(), st.integers(2, 20))),
        alignment=draw(st.sampled_from(ALIGNMENTS)),
        sample_at_evaluation=draw(st.booleans()),
        partial=draw(st.sampled_from([0.0, 0.0, 0.3, 0.5])),
        training=draw(st.booleans()),
        noise=draw(st.booleans()),
        merge_equal=draw(st.integers(0, 2)) == 0,
        dropout=draw(st.sampled_from([0.0, 0.1, 0.5])),
        scorer_width=draw(st.sampled_from([None, 1, 3])),
        of_parents=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


def outcome(case: Case, engine: str, dtype: torch.dtype = torch.float64, *, rows: list[int] | None = None) -> Outcome:
    """Run one engine, forward and backward; only the ``rows`` of the batch count, by default all."""
    tree, states = case.tree(engine, dtype), case.states(dtype)
    folded = tree.recurse(case.leaves(states), case.outer(), trees=True, draws=case.draws())
    counted = list(range(len(case.lengths))) if rows is None else rows
    assert folded.trees is not None
    trees = [
        {frozenset(parsed.tree.spans()): parsed.probability for parsed in folded.trees[row] if parsed.probability}
        for row in counted
    ]
    return Outcome(folded.root[counted].detach(), trees, gradients(folded.root[counted], tree, states, case.seed))


def gradients(root: Tensor, module: nn.Module, states: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """The gradients of a random weighting of ``root``; what it does not depend on has a zero gradient."""
    names = {"leaves": states, **dict(module.named_parameters())}
    generator = torch.Generator().manual_seed(seed + 1)
    weighting = torch.randn(root.shape, generator=generator, dtype=torch.float64).to(root.dtype)
    found = torch.autograd.grad((root * weighting).sum(), list(names.values()), materialize_grads=True)
    return dict(zip(names, found, strict=True))


def margins(case: Case, dtype: torch.dtype = torch.float64) -> list[float]:
    """The smallest gap on which a choice hung, for each sequence."""
    tree, states, found = case.tree("naive", dtype), case.states(dtype), []
    for row, length in enumerate(case.lengths):
        naive = tree.naive(case.outer(), row, states.device, case.draws())
        with torch.no_grad():
            naive(states[row, :length])
        found.append(naive.margin)
    return found


def safe_rows(case: Case, dtype: torch.dtype) -> list[int]:
    """The sequences whose choices no rounding in ``dtype`` can flip."""
    return [row for row, margin in enumerate(margins(case, dtype)) if margin >= SAFE_MARGIN]


def assert_same(one: Outcome, other: Outcome, *, output: float, gradient: float, floor: float = 0.1) -> None:
    """Compare outputs and probabilities absolutely, gradients by ``||difference|| / max(||gradient||, floor)``."""
    assert (one.root - other.root).abs().amax().item() <= output
    for row, (mine, others) in enumerate(zip(one.trees, other.trees, strict=True)):
        assert mine.keys() == others.keys(), f"sequence {row} has other trees"
        for spans, probability in mine.items():
            assert abs(probability - others[spans]) <= output
    assert_same_gradients(one.gradients, other.gradients, tolerance=gradient, floor=floor)


def assert_same_gradients(
    one: dict[str, Tensor], other: dict[str, Tensor], *, tolerance: float, floor: float = 0.1
) -> None:
    assert one.keys() == other.keys()
    for name, mine in one.items():
        error = (mine - other[name]).norm() / max(mine.norm().item(), floor)
        assert error.item() <= tolerance, f"{name}: relative error {error:.2e}"


def assert_engines_agree(case: Case) -> Outcome:
    """Check in float64 that the engines agree, and return what the fast one gave."""
    fast, torch_only, naive = (outcome(case, engine) for engine in ENGINES)
    assert_same(fast, naive, output=1e-10, gradient=1e-10)
    assert_same(torch_only, naive, output=1e-10, gradient=1e-10)
    return fast


def with_seeds(case: Case, count: int) -> list[Case]:
    """The same case with other weights, leaves and draws."""
    return [replace(case, seed=seed) for seed in range(count)]
