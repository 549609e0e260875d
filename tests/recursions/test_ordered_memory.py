"""Ordered Memory against a loop over single vectors, its depth and the trees that it reports."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell
from nestree.recursions import OrderedMemory, Outer, recompute
from nestree.recursions.base import Leaves
from nestree.recursions.lengths import Lengths
from nestree.recursions.ordered_memory import merges_of_slots
from nestree.trees import Tree
from support.reference import assert_same_gradients, compose, gelu, layer_norm, padded, randomize, rir

DIM, SLOTS = 3, 4
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def memory(seed: int = 0, *, slots: int = SLOTS, dtype: torch.dtype = torch.float64) -> OrderedMemory:
    return randomize(OrderedMemory(GatedRecursiveCell(DIM), slots=slots), seed).to(dtype).eval()


def leaves(lengths: list[int], dtype: torch.dtype = torch.float64) -> Leaves:
    return Leaves(padded(lengths, DIM, dtype=dtype).nan_to_num(0), Lengths.of(lengths))


def loop(om: OrderedMemory, items: list[Tensor]) -> Tensor:
    """One sequence, slot by slot, from the equations."""
    n = om.slots
    kept = candidates = [torch.zeros_like(items[0])] * n
    p: list[Tensor] | None = None
    for token in items:
        x = layer_norm(om.project.weight @ token + om.project.bias, om.cell.norm)
        if p is None:
            p, c, r = [x.new_zeros(())] * n, [x.new_zeros(())] * n, [x.new_ones(())] * n
        else:
            q = layer_norm(om.query.weight @ x + om.query.bias, om.query_norm)
            weights = []
            for i in range(n):
                k = layer_norm(om.key.weight @ candidates[i] + om.key.bias, om.key_norm)
                beta = om.score.weight[0] @ gelu(q + k) / math.sqrt(len(x))
                m = sum(p[: i + 2]) if i < n - 1 else x.new_ones(())
                weights.append(torch.exp(beta) * (m if m >= 1e-5 else 0.0))
            p = [weight / sum(weights) for weight in weights]
            c = [sum(p[: i + 1]) for i in range(n)]
            r = [sum(p[i:]) for i in range(n)]
        kept = [M * (1 - share) + new * share for M, new, share in zip(kept, candidates, r, strict=True)]
        h, candidates = x, []
        for i in range(n):
            h = (1 - c[i]) * x + c[i] * compose(om.cell, h, kept[i])
            candidates.append(h)
    return candidates[-1]


def assert_equal_to_loop(om: OrderedMemory, lengths: list[int], arity: int | None) -> None:
    batch = leaves(lengths)
    batch.states.requires_grad_()
    root = om.recurse(batch, Outer(arity)).root
    rows = [list(row[:length]) for row, length in zip(batch.states, lengths, strict=True)]
    expected = torch.stack([loop(om, row) if arity is None else rir(row, arity, lambda i: loop(om, i)) for row in rows])
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn_like(root)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(om, one, other)


@settings(max_examples=8)
@given(lengths=LENGTHS, arity=st.none() | st.integers(2, 5), slots=st.integers(1, 5))
def test_roots_and_gradients_equal_the_loop(lengths: list[int], arity: int | None, slots: int) -> None:
    assert_equal_to_loop(memory(sum(lengths), slots=slots), lengths, arity)


def peaked(seed: int = 6) -> OrderedMemory:
    """Attends so sharply that slots go out of reach again and again."""
    om = memory(seed)
    with torch.no_grad():
        om.score.weight.mul_(60)
    return om


def test_slots_out_of_reach_are_left_out_and_change_nothing() -> None:
    om, firsts = peaked(), []
    step = om._step
    om._step = lambda *arguments: firsts.append(arguments[-1]) or step(*arguments)
    om.recurse(leaves([9]), Outer())
    assert any(after > before for before, after in pairwise(firsts))
    assert_equal_to_loop(peaked(), [9, 4, 1, 7], None)


def test_activations_computed_again_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    om = memory().train()
    results = []
    for kept in (recompute.ACTIVATION_BUDGET, 2_000):
        monkeypatch.setattr(recompute, "ACTIVATION_BUDGET", kept)
        torch.manual_seed(4)
        root = om.recurse(leaves([9, 3, 1]), Outer()).root
        results.append([root, *torch.autograd.grad(root.square().sum(), list(om.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_float32_is_near_float64() -> None:
    lengths = [9, 2, 5]
    exact, near = (
        memory(dtype=dtype).recurse(leaves(lengths, dtype), Outer()).root for dtype in (torch.float64, torch.float32)
    )
    torch.testing.assert_close(near.double(), exact, atol=1e-4, rtol=1e-4)


@settings(max_examples=8)
@given(lengths=LENGTHS)
def test_an_arity_that_holds_all_is_the_flat_form(lengths: list[int]) -> None:
    om, lengths = memory(), [length + 1 for length in lengths]  # the outer tree leaves a single item alone
    flat, nested = (om.recurse(leaves(lengths), outer, trees=True) for outer in (Outer(), Outer(max(lengths))))
    assert torch.equal(flat.root, nested.root)
    assert flat.trees == nested.trees


@pytest.mark.parametrize(("arity", "levels"), [(None, [12]), (4, [4, 3])], ids=["whole", "groups of 4"])
def test_depth_is_at_most_items_times_slots(arity: int | None, levels: list[int]) -> None:
    om, cells = memory(), []
    mix = om.cell.mix
    om.cell.mix = lambda *arguments: cells.append(1) or mix(*arguments)
    om.recurse(leaves([12]), Outer(arity))
    # one slot more is in reach with every item
    assert len(cells) == sum(min(item, SLOTS) for size in levels for item in range(size))


def test_training_reduces_the_loss() -> None:
    torch.manual_seed(0)
    om = OrderedMemory(GatedRecursiveCell(8), slots=3)
    batch = Leaves(torch.randn(6, 7, 8), Lengths.of([7, 5, 7, 3, 4, 6]))
    goal = torch.randn(6, 8)
    optimizer = torch.optim.Adam(om.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = (om.recurse(batch, Outer()).root - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(("option", "value"), [("slots", 0), ("slots", 2.0), ("memory_dropout", 1)])
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be "):
        OrderedMemory(GatedRecursiveCell(DIM), **{option: value})


# --- trees


def hard_cells(slots: list[int], depth: int) -> str:
    """The brackets that the equations compose if every p is 1 at one slot."""
    kept: list[str | None] = [None] * depth
    candidates: list[str | None] = [None] * depth
    for item, y in enumerate(slots):
        x = str(item)
        if item:
            kept = [candidates[i] if i <= y else kept[i] for i in range(depth)]  # r is 1 up to y
        h, written = x, []
        for i in range(depth):
            if item and i >= y:  # c is 1 from y on
                assert kept[i] is not None
                h = f"({kept[i]} {h})"
            written.append(h)
        candidates = written
    assert candidates[-1] is not None
    return candidates[-1]


@st.composite
def reachable(draw: st.DrawFn, depth: int = 8) -> list[int]:
    """Slots that items may attend to: at most one above the last, never beyond the lowest, which comes first."""
    slots = [depth]
    for _ in range(draw(st.integers(0, 8))):
        slots.append(draw(st.integers(max(slots[-1] - 1, 0), depth - 1)))
    return slots


@given(slots=reachable())
def test_hard_attention_gives_the_tree_of_its_cells(slots: list[int]) -> None:
    tokens = [str(item) for item in range(len(slots))]
    assert Tree(len(slots), merges_of_slots(slots)).brackets(tokens) == hard_cells(slots, depth=8)


@given(slots=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_any_attention_gives_a_tree(slots: list[int]) -> None:
    assert Tree(len(slots), merges_of_slots(slots)).leaves == len(slots)


def test_trees_come_from_the_likeliest_slots() -> None:
    om, lengths = peaked(), [9, 1, 6]
    slots: list[list[int]] = [[SLOTS] for _ in lengths]
    for row, length in enumerate(lengths):
        attend = om._attend

        def spy(query: Tensor, near: Tensor, reach: Tensor, row: int = row, attend: object = attend) -> Tensor:
            p = attend(query, near, reach)
            slots[row].append(int(p[0].argmax()) + SLOTS - p.shape[1])
            return p

        om._attend = spy
        om.recurse(Leaves(leaves(lengths).states[row : row + 1], Lengths.of([length])), Outer())
        om._attend = attend
    assert len({slot for row in slots for slot in row}) > 2
    found = om.recurse(leaves(lengths), Outer(), trees=True).trees
    assert found is not None
    assert [parsed.tree.merges for (parsed,) in found] == [merges_of_slots(row) for row in slots]
