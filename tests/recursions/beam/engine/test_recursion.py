"""The outer recursion over node numbers: levels become nested groups, beams meet as they are aligned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nestree.recursions.beam.engine.recursion import Forest
from nestree.recursions.draws import Draws, Sites
from support.engines import Case, assert_same_gradients, cases, outcome


class Counted(Draws):
    """Draws that note which groups ask for an alignment."""

    def __init__(self) -> None:
        super().__init__(torch.Generator().manual_seed(0))
        self.asked: list[tuple[int, int, int]] = []

    def alignment(self, sites: Sites, slots: int) -> torch.Tensor:
        self.asked += [(sites.level, *site) for site in zip(sites.sequence.tolist(), sites.group.tolist(), strict=True)]
        return super().alignment(sites, slots)


def found(case: Case, draws: Draws | None = None, *, record: bool = True, engine: str = "fast") -> Forest:
    recursion = case.tree(engine).fast(case.outer(), draws or case.draws())
    packed = case.leaves(case.states().detach()).packed()
    with torch.no_grad():
        return recursion.search(packed, list(case.lengths), record=record)


def leaves_under(forest: Forest, node: int) -> list[int]:
    """The rows of the leaves under a node, from left to right."""
    if node < forest.store.leaves:
        return [node]
    left, right = int(forest.store.left[node]), int(forest.store.right[node])
    return leaves_under(forest, left) + leaves_under(forest, right)


@given(case=cases(longest=30))
def test_every_beam_spans_its_sequence(case: Case) -> None:
    forest = found(case)
    start = 0
    for row, length in enumerate(case.lengths):
        for node, score in zip(forest.beams.nodes[row].tolist(), forest.beams.scores[row].tolist(), strict=True):
            if score > -torch.inf:
                assert leaves_under(forest, node) == list(range(start, start + length))
        start += length


@given(case=cases(longest=30))
def test_every_group_is_a_subtree(case: Case) -> None:
    tree = case.tree("fast")
    trees = tree.recurse(case.leaves(case.states()), case.outer(), trees=True, draws=case.draws()).trees
    assert trees is not None
    spans: list[tuple[int, int]] = []  # of the table below, as (first, end) within their sequences
    for length in case.lengths:
        spans += [(position, position + 1) for position in range(length)]
    for level in case.outer().levels(list(case.lengths), training=case.training):
        spans = [
            (spans[first][0], spans[first + size - 1][1]) for first, size in zip(level.first, level.size, strict=True)
        ]
        for (first, end), sequence in zip(spans, level.sequence, strict=True):
            for parsed in trees[sequence]:
                assert end - first == 1 or (first, end) in parsed.tree.spans()


@given(case=cases(longest=30))
def test_the_store_has_room_for_the_worst_case(case: Case) -> None:
    store = found(case, engine="torch").store
    assert store.rows <= len(store.states)
    assert not store.states[: store.rows].isnan().any()
    native = found(case).store
    assert native.rows <= len(native.states)


def test_a_tape_holds_every_level() -> None:
    case = Case((40, 3), 3, arity=3)
    forest = found(case)
    levels = case.outer().levels([40, 3], training=True)
    assert [len(tape.slots) for tape in forest.tapes] == [len(level) for level in levels]
    assert [tape.items.shape for tape in forest.tapes] == [(len(level), level.largest) for level in levels]
    assert [tape.owner.tolist() for tape in forest.tapes] == [
        [sequence for sequence, last in zip(level.sequence, level.last, strict=True) if last] for level in levels
    ]
    assert found(case, record=False).tapes == []


def test_only_what_beams_differ_in_is_handed_up() -> None:
    """With beam width 1 and no noise that is nothing, and the roots are those of the groups on their own."""
    case = Case((8,), 1, arity=4, split_from=5, training=False)
    whole = found(case).beams.scores[0, 0]
    leaves, tree = case.states().detach(), case.tree("fast")
    roots = []
    with torch.no_grad():
        for start in (0, 4):
            part = Case((4,), 1, arity=None, training=False)
            engine = tree.fast(part.outer())
            forest = engine.search(leaves[0, start : start + 4], [4], record=False)
            assert forest.beams.scores[0, 0] < 0
            roots.append(forest.root()[0])
    assert whole == 0  # two items have one pair, which adds nothing
    expected = tree.eval().cell(roots[0], roots[1])
    torch.testing.assert_close(found(case).root()[0], expected)


def test_every_group_draws_its_alignment_once() -> None:
    draws = Counted()
    found(Case((9, 4), 2, arity=3), draws)
    assert {(0, 0, 0), (0, 0, 1), (0, 0, 2)} <= set(draws.asked)
    assert len(set(draws.asked)) == len(draws.asked)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_arity_that_no_sequence_reaches_is_none_at_all(beam_size: int) -> None:
    lengths = (11, 2, 7)
    flat, nested = (outcome(Case(lengths, beam_size, arity=arity), "fast") for arity in (None, 30))
    assert torch.equal(flat.root, nested.root)
    assert_same_gradients(flat.gradients, nested.gradients, tolerance=1e-14)


@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_draws_from_a_generator_are_as_good(seed: int) -> None:
    """Not by place, but reproducible, and the outputs and gradients finite."""
    case = Case((14, 3, 1), 3, seed=seed)
    roots = []
    for _ in range(2):
        tree, states = case.tree("fast"), case.states()
        draws = Draws(torch.Generator().manual_seed(seed))
        root = tree.recurse(case.leaves(states), case.outer(), draws=draws).root
        root.sum().backward()
        assert states.grad is not None
        assert bool(states.grad.isfinite().all())
        roots.append(root)
    assert torch.equal(*roots)
