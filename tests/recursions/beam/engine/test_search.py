"""The search: selection with its tie rule, frontiers carried along, and every pair composed once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.engine.cells import FusedGatedCell
from nestree.recursions.beam.engine.columns import carry, first_of_equal, top
from nestree.recursions.beam.engine.recursion import Forest
from nestree.recursions.beam.engine.scoring import scoring_of
from nestree.recursions.beam.engine.search import Search, SearchResult
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import SearchDraws, Sites
from support.engines import Case, cases, with_seeds

FEW_VALUES = st.sampled_from([-math.inf, -2.5, -0.0, 0.0, 1e-30, -1e-30, 1.0, 3.0, 1e30])


def searched(case: Case, *, record: bool = False) -> Forest:
    """What a search over a case found."""
    states = case.states().detach()
    engine = case.tree("torch").fast(case.outer(), case.draws())
    with torch.no_grad():
        return engine.search(case.leaves(states).packed(), list(case.lengths), record=record)


# --- top


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@settings(max_examples=60)
@given(rows=st.lists(st.lists(FEW_VALUES, min_size=6, max_size=6), min_size=1, max_size=4), count=st.integers(1, 6))
def test_top_takes_the_largest_and_the_first_of_equals(dtype: torch.dtype, rows: list[list[float]], count: int) -> None:
    keys = torch.tensor(rows, dtype=dtype)
    expected = [sorted(range(6), key=lambda place: (-row[place], place))[:count] for row in keys.tolist()]
    assert top(keys, count).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@settings(max_examples=60)
@given(
    row=st.lists(st.floats(allow_nan=False, width=32, allow_infinity=True), min_size=1, max_size=9),
    data=st.data(),
)
def test_top_breaks_ties_by_place(dtype: torch.dtype, row: list[float], data: st.DataObject) -> None:
    row = row + row  # ties everywhere
    place = data.draw(st.permutations(range(0, 10 * len(row), 10)))
    count = data.draw(st.integers(1, len(row)))
    found = top(torch.tensor([row], dtype=dtype), count, torch.tensor([place]))
    assert found.tolist() == [sorted(range(len(row)), key=lambda index: (-row[index], place[index]))[:count]]


def test_top_holds_far_places_apart() -> None:
    keys = torch.zeros(1, 3)
    assert top(keys, 3, torch.tensor([[2**31 - 1, 2**31 - 2, 0]])).tolist() == [[2, 1, 0]]


def test_top_tells_neighbouring_floats_apart() -> None:
    keys = torch.tensor([1.0, 1.0 + 2**-23, -1.0, -1.0 - 2**-23, 1e-45, 0.0, -1e-45])
    order = torch.tensor(sorted(range(len(keys)), key=lambda place: -keys[place].item()))
    assert torch.equal(top(keys, len(keys)), order)


def test_scores_that_rounding_makes_equal_go_to_the_lower_beam_then_to_the_leftmost_pair() -> None:
    """Added to a score of -10^9, float32 no longer tells log-probabilities apart."""
    best = []
    for case in with_seeds(Case((6,), 3, arity=None, training=False), 10):
        tree, states = case.tree("fast", torch.float32).requires_grad_(False), case.states(torch.float32).detach()[0]
        store = NodeStore(states, 6 + 3 * 5, tree.cell, record=True)
        search = Search(
            scoring_of(tree.scorer, store),
            torch.arange(6).expand(1, 2, 6),
            torch.full((1, 2), -1e9),
            [6],
            [1],
            Sites(torch.tensor([0]), torch.tensor([0]), 0),
            3,
            SearchDraws(),
        )
        history = search.run().history
        assert history is not None
        first = history.choices[0]
        assert first.beam.tolist() == [[0, 0, 0]]
        assert first.position[0].tolist() == sorted(first.position[0].tolist())
        best.append(int(first.logits[0, 0].argmax()) == int(first.position[0, 0]))
    assert not all(best)  # some best pair was not the leftmost


# --- carry


@given(
    groups=st.integers(1, 3),
    beams=st.integers(1, 3),
    width=st.integers(1, 4),
    items=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_carry_drops_the_column_behind_the_merge(groups: int, beams: int, width: int, items: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    columns = torch.arange(groups * beams * items).view(groups, beams, items)
    beam = torch.randint(beams, (groups, width), generator=generator)
    at = torch.randint(items - 1, (groups, width, 1), generator=generator)
    expected = [
        [
            [value for column, value in enumerate(columns[g, beam[g, w]].tolist()) if column != int(at[g, w]) + 1]
            for w in range(width)
        ]
        for g in range(groups)
    ]
    assert carry(columns, beam, at).tolist() == expected


@given(rows=st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=3))
def test_first_of_equal_is_the_first_column_with_that_key(rows: list[list[int]]) -> None:
    assert first_of_equal(torch.tensor(rows)).tolist() == [[row.index(key) for key in row] for row in rows]


# --- composed once


def compositions_of_the_naive_one(case: Case) -> int:
    """How many nodes the naive implementation composes."""
    tree, composed = case.tree("naive"), []
    with torch.no_grad(), tree.cell.register_forward_hook(lambda *call: composed.append(len(call[2]))):
        tree.recurse(case.leaves(case.states()), case.outer(), draws=case.draws())
    return sum(composed)


@given(case=cases(longest=20))
def test_every_pair_is_composed_once(case: Case) -> None:
    store = searched(case).store
    left, right = (side[store.leaves : store.rows].tolist() for side in (store.left, store.right))
    pairs = set(zip(left, right, strict=True))
    # Under partial folding the level above may compose a pair again that no beam below was left with.
    assert case.partial or len(pairs) == len(left)
    assert len(left) == compositions_of_the_naive_one(case)


def test_identical_beams_share_every_node() -> None:
    """Groups of two items leave one beam, which stands four times at the next level."""
    case = Case((12,), 4, arity=2, split_from=7, alignment="none", training=False)
    assert [level.size for level in case.outer().levels([12], training=False)] == [[2] * 6, [6]]
    store = searched(case).store
    assert store.rows - store.leaves == compositions_of_the_naive_one(case)
    one_beam = replace(case, beam_size=1)
    assert searched(one_beam).store.rows - 12 == 11


def test_fixed_shapes_compose_every_beams_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((9,), 3, arity=None)
    assert searched(case).store.rows < 9 + 8 * 3
    monkeypatch.setattr(devices, "on_host", lambda _: False)
    assert searched(case).store.rows == 9 + 8 * 3


class Waits(TorchDispatchMode):
    """Notes the operations whose result the host must wait for: numbers read, and shapes that hang on data."""

    WAITING = ("local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "equal", "repeat_interleave")

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation.overloadpacket.__name__
        masks = [index for index in arguments[1] if index is not None] if name in ("index", "index_put_") else []
        if name.lstrip("_").startswith(self.WAITING) or any(mask.dtype == torch.bool for mask in masks):
            self.found.add(name)
        return operation(*arguments, **(options or {}))


@pytest.mark.parametrize("merge_equal", [False, True], ids=["plain", "merging"])
@pytest.mark.parametrize("compact", [False, True], ids=["fixed shapes", "compact"])
def test_with_fixed_shapes_the_steps_never_wait_for_the_host(
    compact: bool, merge_equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case((9, 4, 2), 3, arity=None, dropout=0.5, merge_equal=merge_equal)
    engine = case.tree("torch").fast(case.outer())  # draws as in real training
    packed = case.leaves(case.states().detach()).packed()
    monkeypatch.setattr(devices, "on_host", lambda _: compact)
    waits, run = Waits(), Search.run

    def watched(search: Search) -> SearchResult:
        with waits:
            return run(search)

    monkeypatch.setattr(Search, "run", watched)
    with torch.no_grad():
        engine.search(packed, list(case.lengths), record=True)
    assert waits.found == ({"nonzero"} if compact else set())


@pytest.mark.parametrize("arity", [None, 4], ids=["flat", "grouped"])
def test_on_an_accelerator_a_training_step_never_waits_for_the_host(
    arity: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case((23, 9, 4, 1), 3, arity=arity, dropout=0.5)
    tree, states, waits = case.tree("torch"), case.states(), Waits()
    monkeypatch.setattr(devices, "on_host", lambda _: False)
    with waits:
        root = tree.recurse(case.leaves(states), case.outer(), draws=None).root
        root.square().sum().backward()
    assert states.grad is not None
    assert not waits.found


def test_on_an_accelerator_activations_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((9, 4), dropout=0.0)
    engine, leaves = case.tree("torch").fast(case.outer(), case.draws()), case.leaves(case.states())
    assert activations(engine(leaves)[1]) > 0
    monkeypatch.setattr(devices, "on_host", lambda _: False)
    root, forest = engine(leaves)
    assert root.requires_grad
    assert activations(forest) == 0


# --- what is kept


def activations(forest: Forest) -> int:
    """How many numbers are kept for the backward pass."""
    cell = forest.store.cell
    assert isinstance(cell, FusedGatedCell)
    return cell.hidden.numel() + cell.gates.numel() + (0 if cell.random_bits is None else cell.random_bits.numel())


@given(case=cases(longest=20))
def test_a_search_without_gradients_keeps_no_history(case: Case) -> None:
    forest = searched(case)
    assert forest.tapes == []
    assert activations(forest) == 0


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "nothing needs a gradient"])
def test_only_a_forward_pass_that_needs_gradients_is_recorded(how: str) -> None:
    case = Case((9, 4))
    tree, states = case.tree("torch"), case.states()
    engine = tree.fast(case.outer(), case.draws())
    root, forest = engine(case.leaves(states))
    assert root.requires_grad
    assert len(forest.tapes) == 2
    assert activations(forest) > 0
    if how == "nothing needs a gradient":
        tree.requires_grad_(False)
        states = states.detach()
    context = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}.get(how, torch.enable_grad)
    with context():
        unrecorded, forest = engine(case.leaves(states))
    assert torch.equal(unrecorded, root)
    assert not unrecorded.requires_grad
    assert forest.tapes == []
    assert activations(forest) == 0


@given(case=cases(longest=20))
def test_beams_come_best_first_and_absent_ones_last(case: Case) -> None:
    forest = searched(case)
    scores = forest.beams.scores
    assert torch.equal(scores, scores.sort(dim=-1, descending=True).values)
    assert bool(scores[:, 0].isfinite().all())
    torch.testing.assert_close(forest.weights().sum(-1), torch.ones(len(scores), dtype=torch.float64))
    for row, length in enumerate(case.lengths):
        if length < 3:
            assert scores[row].isfinite().sum() == (scores[row] == 0).sum() == 1
