"""Cells and scorers of any kind inside the engine: what the naive implementation gives, with every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from nestree.layers import CELLS, Cell, GatedRecursiveCell, PairScorer, ParentScorer, Scorer
from nestree.layers.cells import build_cell
from nestree.recursions import BeamSearch, BeamTree, GumbelTree, KeyedDraws, Outer
from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.cells import AnyCell, FusedGatedCell, engine_cell
from nestree.recursions.beam.engine.derivatives import NoSuchDerivative
from nestree.recursions.beam.engine.saved import flatten_tensors
from nestree.recursions.lengths import Lengths
from support.reference import randomize

DIM = 6
LENGTHS = [9, 1, 4]
pytestmark = pytest.mark.usefixtures("unchecked_shapes")  # a cell need not be a Cell
MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


class Sum(Cell):
    """No parameters, no mask."""

    def forward(self, left: Tensor, right: Tensor, keep: Tensor | None = None) -> Tensor:
        return torch.tanh(left - 0.5 * right)


class Own(Cell):
    """Takes no mask at all, and has a parameter that is never used."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.mix = nn.Linear(2 * dim, dim, bias=False)
        self.unused = nn.Parameter(torch.zeros(2))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.tanh(self.mix(torch.cat([left, right], dim=-1))) + 0.3 * left


class Louder(GatedRecursiveCell):
    def forward(self, left: Tensor, right: Tensor, keep: Tensor | None = None) -> Tensor:
        return 1.5 * super().forward(left, right, keep)


class LoRA(nn.Module):
    """A frozen layer and a trained update of low rank."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        return self.layer(states) + self.up(self.down(states))


class Dot(Scorer):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (left * right.flip(-1)).sum(-1)


class Norms(Scorer):
    reads_parents = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, parent: Tensor) -> Tensor:
        return (parent.tanh() * self.weight).sum(-1)


def grc(change: Callable[[GatedRecursiveCell], object] | None = None) -> GatedRecursiveCell:
    cell = randomize(GatedRecursiveCell(DIM, dropout=0.3), 1)
    if change is not None:
        change(cell)
    return cell


def replaced(name: str, part: Callable[[nn.Module], nn.Module]) -> Callable[[GatedRecursiveCell], object]:
    return lambda cell: setattr(cell, name, part(getattr(cell, name)))


PARTS: dict[str, Callable[[], nn.Module]] = {
    **{name: lambda name=name: build_cell(name, DIM, dropout=0.3) for name in CELLS},
    "no parameters": lambda: Sum(DIM),
    "no mask": lambda: Own(DIM),
    "subclass": lambda: randomize(Louder(DIM, dropout=0.3), 1),
    "lora": lambda: grc(replaced("gates", LoRA)),
    "weight norm": lambda: grc(lambda cell: weight_norm(cell.gates)),
    "spectral norm": lambda: grc(lambda cell: spectral_norm(cell.hidden)),
    "pruned": lambda: grc(lambda cell: prune.l1_unstructured(cell.hidden, "weight", 0.5)),
    "RMSNorm": lambda: grc(replaced("norm", lambda norm: nn.RMSNorm(DIM))),
    "no norm weights": lambda: grc(replaced("norm", lambda norm: nn.LayerNorm(DIM, elementwise_affine=False))),
    "no bias": lambda: grc(replaced("hidden", lambda layer: nn.Linear(2 * DIM, 4 * DIM, bias=False))),
    "hook": lambda: grc(lambda cell: cell.gates.register_forward_hook(lambda module, inputs, output: 0.5 * output)),
}
CELL = pytest.mark.parametrize("part", PARTS)


def results(
    cell: nn.Module, scorer: nn.Module, engine: str, *, training: bool, arity: int | None = 4, **search: object
) -> tuple[Tensor, dict[str, Tensor]]:
    """Roots, and the gradients of leaves and parameters."""
    tree = BeamTree(cell, scorer, BeamSearch(3, engine=engine, **search)).double().train(training)
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(len(LENGTHS), max(LENGTHS), DIM, generator=generator, dtype=torch.float64).requires_grad_()
    root = tree.recurse(Leaves(states, Lengths.of(LENGTHS)), Outer(arity), draws=KeyedDraws(2)).root
    wanted = {"leaves": states} | {name: tensor for name, tensor in tree.named_parameters() if tensor.requires_grad}
    weighting = torch.randn(root.shape, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad((root * weighting).sum(), list(wanted.values()), materialize_grads=True)
    return root.detach(), dict(zip(wanted, found, strict=True))


def assert_like_naive(make: Callable[[], tuple[nn.Module, nn.Module]], **options: object) -> dict[str, Tensor]:
    (root, gradients), (naive_root, naive) = (results(*make(), engine, **options) for engine in ("fast", "naive"))
    torch.testing.assert_close(root, naive_root, atol=1e-10, rtol=1e-10)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, naive[name], atol=1e-9, rtol=1e-9, msg=name)
    return gradients


def seeded(part: str) -> nn.Module:
    torch.manual_seed(4)
    return PARTS[part]()


@CELL
@MODES
def test_any_cell_is_what_the_naive_implementation_makes_of_it(part: str, training: bool) -> None:
    gradients = assert_like_naive(lambda: (seeded(part), randomize(PairScorer(DIM, width=4), 2)), training=training)
    assert bool(gradients["leaves"].ne(0).any())


@pytest.mark.parametrize("part", ["bilinear", "lora", "no mask"])
def test_any_cell_may_have_its_parents_scored(part: str) -> None:
    assert_like_naive(lambda: (seeded(part), randomize(ParentScorer(DIM), 2)), training=True)


@MODES
@pytest.mark.parametrize("scorer", [Dot, Norms])
def test_any_scorer_is_what_the_naive_implementation_makes_of_it(scorer: type[Scorer], training: bool) -> None:
    assert_like_naive(lambda: (grc(), scorer(DIM)), training=training)
    assert_like_naive(lambda: (seeded("bilinear"), scorer(DIM)), training=training, arity=None, merge_equal=True)


def test_the_fused_cell_is_for_untouched_parts_alone() -> None:
    leaves = torch.zeros(3, DIM)
    assert isinstance(engine_cell(grc(), leaves, 9, record=True), FusedGatedCell)
    for part in set(PARTS) - {"grc"}:
        assert isinstance(engine_cell(seeded(part), leaves, 9, record=True), AnyCell), part
    assert isinstance(engine_cell(grc(), leaves.double(), 9, record=True), AnyCell)


class SameCell(GatedRecursiveCell):
    pass


class SamePairScorer(PairScorer):
    pass


class SameParentScorer(ParentScorer):
    pass


@pytest.mark.parametrize(
    ("scorer", "same"), [(PairScorer, SamePairScorer), (ParentScorer, SameParentScorer)], ids=["pairs", "parents"]
)
def test_a_straight_through_replay_takes_any_part(scorer: type[Scorer], same: type[Scorer]) -> None:
    """Against the fused parts of the same numbers: subclasses that change nothing are not plain."""

    def found(cell: type[GatedRecursiveCell], scorer: type[Scorer]) -> list[Tensor]:
        tree = GumbelTree(randomize(cell(DIM, dropout=0.2), 1), randomize(scorer(DIM), 2)).double().train()
        states = torch.randn(3, 9, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        states.requires_grad_()
        root = tree.recurse(Leaves(states, Lengths.of(LENGTHS)), Outer(), draws=KeyedDraws(2)).root
        return [root, *torch.autograd.grad(root.square().sum(), [states, *tree.parameters()])]

    for one, other in zip(found(SameCell, same), found(GatedRecursiveCell, scorer), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


# --- what a backward pass sees


def tree_and_states(part: str = "grc", engine: str = "fast") -> tuple[BeamTree, Tensor]:
    tree = BeamTree(seeded(part), randomize(PairScorer(DIM), 2), BeamSearch(3, engine=engine)).double().train()
    return tree, torch.randn(3, 9, DIM, dtype=torch.float64).requires_grad_()


def root_of(tree: nn.Module, states: Tensor) -> Tensor:
    return tree.recurse(Leaves(states, Lengths.of(LENGTHS)), Outer(4), draws=KeyedDraws(2)).root


class Called(nn.Module):
    """A tree as a module that can be called."""

    def __init__(self, tree: BeamTree) -> None:
        super().__init__()
        self.tree = tree

    def forward(self, states: Tensor) -> Tensor:
        return root_of(self.tree, states)


@pytest.mark.parametrize("engine", ["fast", "torch"])
@pytest.mark.parametrize("part", ["grc", "bilinear", "weight norm"])
def test_functional_call_differentiates_the_parameters_it_is_given(part: str, engine: str) -> None:
    found = []
    for kind in (engine, "naive"):
        tree, states = tree_and_states(part, kind)
        model = Called(tree)
        other = {name: (1.3 * tensor.detach()).requires_grad_() for name, tensor in model.named_parameters()}
        torch.manual_seed(9)
        root = functional_call(model, other, (states.detach(),))
        found.append(torch.autograd.grad(root.square().sum(), list(other.values())))
    for one, naive in zip(*found, strict=True):
        torch.testing.assert_close(one, naive, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("engine", ["fast", "torch", "naive"])
@pytest.mark.parametrize("part", ["grc", "bilinear"])
@pytest.mark.parametrize("of", ["cell", "scorer"])
def test_a_weight_that_changed_before_backward_is_an_error(part: str, engine: str, of: str) -> None:
    tree, states = tree_and_states(part, engine)
    root = root_of(tree, states)
    with torch.no_grad():
        next(getattr(tree, of).parameters()).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        root.sum().backward()


@pytest.mark.parametrize("engine", ["fast", "torch"])
@pytest.mark.parametrize("part", ["grc", "bilinear"])
def test_nothing_is_kept_after_backward(part: str, engine: str) -> None:
    tree, states = tree_and_states(part, engine)
    root = root_of(tree, states)
    root.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        root.sum().backward()
    _, held = flatten_tensors(root.grad_fn.result, [])  # pyright: ignore[reportOptionalMemberAccess]
    assert held == []


@pytest.mark.parametrize("engine", ["fast", "torch"])
def test_a_second_derivative_names_the_engine_that_has_it(engine: str) -> None:
    tree, states = tree_and_states("grc", engine)
    (gradient,) = torch.autograd.grad(root_of(tree, states).sum(), states, create_graph=True)
    with pytest.raises(NoSuchDerivative, match='engine="naive"'):
        gradient.square().sum().backward()
    tree, states = tree_and_states("grc", "naive")
    (gradient,) = torch.autograd.grad(root_of(tree, states).sum(), states, create_graph=True)
    gradient.square().sum().backward()
    assert bool(states.grad.ne(0).any())


def test_saved_tensors_may_be_moved_where_pytorch_searches() -> None:
    tree, states = tree_and_states("grc", "torch")
    (plain,) = torch.autograd.grad(root_of(tree, states).sum(), states)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
        root = root_of(tree, states)
    torch.testing.assert_close(torch.autograd.grad(root.sum(), states)[0], plain)


# --- what cannot be run again


class Noisy(Cell):
    def forward(self, left: Tensor, right: Tensor, keep: Tensor | None = None) -> Tensor:
        return nn.functional.dropout(left + right, 0.5, self.training)


def test_random_numbers_of_its_own_are_refused() -> None:
    tree = BeamTree(Noisy(DIM), PairScorer(DIM)).train()
    states = torch.randn(3, 9, DIM)
    with pytest.raises(ValueError, match=r"^Noisy must draw no random numbers of its own"):
        root_of(tree, states)
    assert root_of(tree.eval(), states).shape == (3, DIM)


def test_statistics_of_a_batch_are_refused() -> None:
    tree = BeamTree(grc(replaced("norm", lambda norm: nn.BatchNorm1d(DIM))), PairScorer(DIM)).train()
    with pytest.raises(ValueError, match=r"^GatedRecursiveCell\.norm must treat each row alone"):
        root_of(tree, torch.randn(3, 9, DIM))


def test_a_spectral_norm_makes_one_step_per_search() -> None:
    tree = BeamTree(seeded("spectral norm"), PairScorer(DIM)).train()
    reference = seeded("spectral norm").train()
    with parametrize.cached():
        reference(torch.zeros(1, DIM), torch.zeros(1, DIM))
    root_of(tree, torch.randn(3, 9, DIM)).sum().backward()
    ours, theirs = (cell.hidden.parametrizations.weight[0]._u for cell in (tree.cell, reference))
    torch.testing.assert_close(ours, theirs)


def test_a_mode_that_changes_before_backward_changes_nothing() -> None:
    gradients = []
    for late in (False, True):
        torch.manual_seed(0)
        tree, states = tree_and_states("spectral norm")
        root = root_of(tree, states)
        tree.train(not late)
        gradients.append(torch.autograd.grad(root.sum(), [states, *tree.parameters()]))
        assert tree.cell.training is not late
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
