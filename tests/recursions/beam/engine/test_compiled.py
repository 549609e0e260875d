"""The compiled library: where it serves, that threads change nothing, and what happens where it is not there."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import nestree
from nestree.layers import GatedRecursiveCell, PairScorer, ParentScorer
from nestree.native import library
from nestree.recursions import KeyedDraws
from nestree.recursions.beam.engine.compiled import NativeBackend, serves
from nestree.recursions.draws import Draws
from support.engines import Case, assert_same, outcome

compiled = pytest.mark.skipif(library.load() is None, reason="the library was not compiled here")

LEAVES = torch.zeros(3, 8)


class OtherCell(GatedRecursiveCell):
    pass


class OtherDraws(Draws):
    pass


@compiled
def test_serves_plain_parts() -> None:
    assert serves(GatedRecursiveCell(8), PairScorer(8), LEAVES, None, None)
    assert serves(GatedRecursiveCell(8), PairScorer(8, width=3), LEAVES, Draws(), KeyedDraws(1))
    assert serves(GatedRecursiveCell(8).double(), PairScorer(8).double(), LEAVES.double(), None)


@compiled
def test_calls_other_cells() -> None:
    normed, small = GatedRecursiveCell(8), GatedRecursiveCell(8)
    weight_norm(normed.gates)
    small.norm = nn.RMSNorm(8)  # pyright: ignore[reportAttributeAccessIssue]
    for cell in (OtherCell(8), normed, small):
        assert serves(cell, PairScorer(8), LEAVES)


class FailingCell(GatedRecursiveCell):
    def forward(self, left: Tensor, right: Tensor, mask: Tensor | None = None) -> Tensor:
        raise KeyError("no such cell")


@compiled
def test_an_error_in_a_cell_ends_the_search_and_is_raised() -> None:
    case = Case((5, 3))
    tree = case.tree("fast")
    tree.cell = FailingCell(case.dim).double()
    for _ in range(2):
        with pytest.raises(KeyError, match="no such cell"):
            tree.recurse(case.leaves(case.states()), case.outer(), draws=case.draws())


@compiled
@pytest.mark.parametrize("kind", [GatedRecursiveCell, OtherCell])
def test_a_search_is_freed_without_the_garbage_collector(kind: type[GatedRecursiveCell]) -> None:
    case = Case((5, 3))
    tree = case.tree("fast")
    tree.cell = kind(case.dim).double()
    gc.collect()
    gc.disable()
    try:
        root, forest = tree.fast(case.outer(), case.draws())(case.leaves(case.states()))
        states = weakref.ref(forest.store.states)
        root.sum().backward()
        del root, forest
        assert states() is None
    finally:
        gc.enable()


@compiled
def test_leaves_other_parts_alone() -> None:
    cell, scorer = GatedRecursiveCell(8), PairScorer(8)
    assert not serves(cell, ParentScorer(8), LEAVES)
    assert not serves(cell, scorer, LEAVES.bfloat16())
    assert not serves(cell, scorer, LEAVES.double())
    assert not serves(cell, scorer, LEAVES.to("meta"))
    assert not serves(cell, scorer, LEAVES, OtherDraws())


@compiled
@pytest.mark.parametrize("compiled_engine", ["fast", "torch"])
def test_the_engine_says_who_works(compiled_engine: str) -> None:
    case = Case((5, 2))
    recursion = case.tree(compiled_engine).fast(case.outer(), case.draws())
    with torch.no_grad():
        backend = recursion.search(case.leaves(case.states()).packed(), [5, 2], record=False).backend
    assert isinstance(backend, NativeBackend) == (compiled_engine == "fast")


@compiled
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("arity", [None, 4], ids=["flat", "grouped"])
def test_threads_change_nothing_but_rounding(arity: int | None, training: bool) -> None:
    case = Case((31, 1, 140, 7, 2, 64), 4, arity=arity, training=training)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(outcome(case, "fast"))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert_same(found[0], other, output=1e-12, gradient=1e-12)


@compiled
@pytest.mark.parametrize("arity", [None, 3], ids=["flat", "grouped"])
def test_absent_beams_point_into_their_own_sequence(arity: int | None) -> None:
    """Threads share no row: each replays the rows of its own sequences."""
    case = Case((9, 2, 3, 1, 4), 7, arity=arity, noise=False)
    recursion = case.tree("fast").fast(case.outer(), case.draws())
    with torch.no_grad():
        forest = recursion.search(case.leaves(case.states()).packed(), list(case.lengths), record=True)
    absent = forest.beams.scores == -torch.inf
    assert absent[1].any()
    first = 0
    for nodes, length in zip(forest.beams.nodes.tolist(), case.lengths, strict=True):
        for node in nodes:
            under = [node]
            while under[0] >= forest.store.leaves:
                row = under.pop(0)
                under[:0] = [int(forest.store.left[row]), int(forest.store.right[row])]
            assert first <= under[0] < first + length
        first += length


@compiled
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["ebt-grc", "rir-ebt-grc"])
def test_autocast_rounds_only_the_factors_of_the_cells_products(name: str, half: torch.dtype) -> None:
    """The library takes addresses: with a gradient of another type it would read and write past the end."""
    options: dict = {} if name == "ebt-grc" else {"arity": 3, "s4d": False}
    encoder = nestree.build(name, dim=16, beam_size=3, dropout=0.0, **options).eval()
    encoder.leaf = nn.Identity()  # a Linear is what autocast changes
    found = []
    for autocast in (False, True):
        states = torch.randn(3, 9, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        encoder.zero_grad()
        with torch.autocast("cpu", dtype=half, enabled=autocast):
            root = encoder(states, torch.tensor([9, 5, 1])).root
        assert root.dtype == torch.float32
        root.square().sum().backward()
        gradients = [parameter.grad for parameter in encoder.inner.parameters()]
        found.append([root.detach(), states.grad, *gradients])
    rounded = half is torch.bfloat16 and library.multiplies_bfloat16()
    assert torch.equal(found[0][0], found[1][0]) is not rounded
    for plain, other in zip(*found, strict=True):
        assert (plain - other).norm() <= (0.03 if rounded else 0) * plain.norm()


@compiled
@pytest.mark.parametrize("dim", [1, 3, 16, 33, 72])
def test_bfloat16_products_of_every_width(dim: int) -> None:
    """Widths that fill the processor's registers, and others; odd ones leave a number without a partner."""
    case = Case((23, 9, 2), 3, dim=dim, scorer_width=max(1, dim - 1), dropout=0.0)
    recursion = case.tree("fast", torch.float32).fast(case.outer(), case.draws())
    packed = case.leaves(case.states(torch.float32)).packed()
    parameters = [*recursion.cell.parameters(), *recursion.scorer.parameters()]
    outside = torch.randn(3, 3, dim, generator=torch.Generator().manual_seed(2))
    gradients = []
    with torch.no_grad():
        forest = recursion.search(packed, list(case.lengths), record=True, bfloat16=True)
        store, backend = forest.store, forest.backend
        assert isinstance(backend, NativeBackend)
        row = int(forest.beams.nodes[0, 0])
        left, right = store.states[store.left[row]], store.states[store.right[row]]
        composed = recursion.cell(left.unsqueeze(0), right.unsqueeze(0))[0]
        for bfloat16 in (False, True):  # of one search
            backend.bfloat16 = bfloat16
            starts = [backend.score_gradient(tape.history, torch.ones(tape.slots.shape)) for tape in forest.tapes]
            levels = [(tape.history, rest) for tape, (_, rest) in zip(forest.tapes, starts, strict=True)]
            of_leaves, of_parameters = backend.gradient(levels[::-1], forest.beams.nodes, outside, parameters)
            gradients.append([of_leaves, *of_parameters[:4]])
    for plain, other in [(composed, store.states[row]), *zip(*gradients, strict=True)]:
        assert (plain - other).norm() <= 0.02 * plain.norm()
        assert not library.multiplies_bfloat16() or dim == 1 or not torch.equal(plain, other)


@compiled
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_gradient_of_another_type_is_converted(dtype: torch.dtype) -> None:
    case = Case((9, 4), 3, arity=None, training=False)
    recursion = case.tree("fast", torch.float32).fast(case.outer(), case.draws())
    with torch.no_grad():
        forest = recursion.search(case.leaves(case.states(torch.float32)).packed(), [9, 4], record=True)
    (tape,) = forest.tapes
    parameters = [*recursion.cell.parameters(), *recursion.scorer.parameters()]
    found = []
    for kind in (torch.float32, dtype):
        start, rest = forest.backend.score_gradient(tape.history, torch.ones(tape.slots.shape, dtype=kind))
        assert start.dtype == torch.float32
        outside = torch.ones(*forest.beams.nodes.shape, case.dim, dtype=kind)
        of_leaves, of_parameters = forest.backend.gradient(
            [(tape.history, rest)], forest.beams.nodes, outside, parameters
        )
        found.append([of_leaves, *of_parameters])
    for one, other in zip(*found, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


@compiled
@pytest.mark.parametrize("dim", [1, 3, 16, 33, 72])
def test_every_width_agrees_with_pytorch(dim: int) -> None:
    """Widths that fill the processor's registers, and others."""
    case = Case((23, 9, 2), 3, dim=dim, scorer_width=max(1, dim - 1))
    assert_same(outcome(case, "fast"), outcome(case, "torch"), output=1e-11, gradient=1e-10)
    single = replace(case, training=False)
    one, other = (outcome(single, engine, torch.float32) for engine in ("fast", "torch"))
    assert_same(one, other, output=2e-5, gradient=2e-4)


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_extreme_numbers_stay_finite(dtype: torch.dtype) -> None:
    """Where GELU, sigmoids and exponentials run into their limits."""

    def root(engine: str) -> Tensor:
        torch.manual_seed(0)
        encoder = nestree.build("ebt-grc", dim=16, beam_size=3, engine=engine).to(dtype).eval()
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(300)
        generator = torch.Generator().manual_seed(0)
        return encoder(torch.randn(2, 12, 16, generator=generator, dtype=dtype), torch.tensor([12, 7])).root

    assert root("fast").isfinite().all()
    torch.testing.assert_close(root("fast"), root("torch"), atol=1e-3, rtol=1e-3)


@compiled
def test_noise_and_masks_follow_the_generator() -> None:
    encoder = nestree.build("ebt-grc", dim=8, beam_size=2, dropout=0.5).train()
    states, lengths = torch.randn(3, 20, 8), torch.tensor([20, 15, 11])

    def root(seed: int) -> Tensor:
        return encoder(states, lengths, draws=Draws(torch.Generator().manual_seed(seed))).root

    assert torch.equal(root(1), root(1))
    assert not torch.equal(root(1), root(2))


@compiled
def test_a_mask_drops_the_share_that_was_asked_for() -> None:
    """Over many nodes the mean of kept features is one, so that the mean of the hidden layer stays."""
    share, dim, count = 0.3, 16, 4000
    encoder = nestree.build("ebt-grc", dim=dim, beam_size=1, dropout=share).train()
    inner = encoder.inner
    with torch.no_grad():  # a parent is the mean of its kept hidden features, all alike
        for parameter in (inner.cell.hidden.weight, inner.cell.gates.weight):
            parameter.zero_()
        inner.cell.hidden.bias.fill_(1.0)
        inner.cell.gates.weight[3 * dim, :] = 1.0  # the new state's first feature: the sum of what is kept
        inner.cell.gates.bias.zero_()
        inner.cell.norm.weight.zero_()
    states = torch.zeros(count, 2, dim)
    backend_states = []
    original = NativeBackend.search

    def spy(self: NativeBackend, *arguments: object) -> object:
        found = original(self, *arguments)  # pyright: ignore[reportArgumentType]
        backend_states.append((self.gates[self.store.leaves : self.store.rows, 3 * dim], inner.cell.hidden_dim))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NativeBackend, "search", spy)
        encoder(states, torch.full((count,), 2))
    sums, features = backend_states[0]
    one = torch.nn.functional.gelu(torch.tensor(1.0)).item() / (1 - share)
    kept = sums / one
    assert kept.mean().item() / features == pytest.approx(1 - share, abs=0.005)
    assert kept.var().item() == pytest.approx(features * share * (1 - share), rel=0.15)


def test_without_the_library_pytorch_does_it() -> None:
    program = (
        "import nestree, torch; from nestree.native import library; "
        "assert library.load() is None; e = nestree.build('ebt-grc', dim=8).eval(); "
        "print(tuple(e(torch.zeros(2, 5, 8), torch.tensor([5, 3])).root.shape))"
    )
    environment = {**os.environ, library.VARIABLE: "torch"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 8)"
