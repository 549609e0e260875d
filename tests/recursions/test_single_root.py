"""Chain and balanced tree, alone and inside the outer tree, against loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree import recursions
from nestree.layers import GatedRecursiveCell
from nestree.recursions import BalancedTree, Chain, Outer, SingleRootRecursion
from nestree.recursions.base import Leaves
from nestree.recursions.lengths import Lengths
from support.reference import assert_same_gradients, balanced, chain, group, padded, randomize, rir

LENGTHS = st.lists(st.integers(1, 17), min_size=1, max_size=4)
DIM = 3

Loop = Callable[..., Tensor]
KINDS: dict[str, tuple[type[SingleRootRecursion], Loop]] = {
    "chain": (Chain, chain),
    "balanced": (BalancedTree, balanced),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def recursion(kind: str, seed: int = 0) -> SingleRootRecursion:
    cell = GatedRecursiveCell(DIM).double()
    return randomize(KINDS[kind][0](cell), seed).eval()


def leaves(lengths: list[int]) -> Leaves:
    return Leaves(padded(lengths, DIM).nan_to_num(0), Lengths.of(lengths))


def assert_equal_to_loop(kind: str, lengths: list[int], outer: Outer, loop: Loop) -> None:
    """Compare roots and the gradients of weights and leaves."""
    tree, batch = recursion(kind, seed=sum(lengths)), leaves(lengths)
    batch.states.requires_grad_()
    root = tree.recurse(batch, outer).root
    rows = zip(batch.states, lengths, strict=True)
    expected = torch.stack(
        [loop(list(row[:length]), lambda items: KINDS[kind][1](tree.cell, items)) for row, length in rows]
    )
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn_like(root)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(tree, one, other)


@EVERY_KIND
@given(lengths=LENGTHS)
def test_whole_sequences_equal_the_loop(kind: str, lengths: list[int]) -> None:
    assert_equal_to_loop(kind, lengths, Outer(), lambda items, fold: fold(items))


@EVERY_KIND
@given(lengths=LENGTHS, arity=st.integers(2, 6))
def test_recursion_in_recursion_equals_the_loop(kind: str, lengths: list[int], arity: int) -> None:
    assert_equal_to_loop(kind, lengths, Outer(arity), lambda items, fold: rir(items, arity, fold))


@pytest.mark.parametrize(
    ("lengths", "arity"),
    [([7], 3), ([5, 1, 2], 4), ([9, 4], 4), ([6], 4), ([1, 1], 3), ([2], 2), ([3], 2), ([16, 1], 2)],
    ids=[
        "a group of one item",
        "one and two tokens beside a longer sequence",
        "a last group shorter than k",
        "two groups, the last of two items",
        "nothing to fold",
        "one pair",
        "arity 2 cuts from three",
        "many levels beside none",
    ],
)
@EVERY_KIND
def test_edge_cases_equal_the_loop(kind: str, lengths: list[int], arity: int) -> None:
    assert_equal_to_loop(kind, lengths, Outer(arity), lambda items, fold: rir(items, arity, fold))


def test_a_single_token_is_composed_by_a_chain_alone_but_not_by_the_outer_tree() -> None:
    tree, batch = recursion("chain"), leaves([1])
    assert torch.equal(tree.recurse(batch, Outer(3)).root, batch.states[:, 0])
    assert not torch.equal(tree.recurse(batch, Outer()).root, batch.states[:, 0])


def test_chain_cost_is_one_cell_an_item() -> None:
    """A sequence leaves the batch where it ends."""
    tree, rows = recursion("chain"), []
    tree.cell.register_forward_hook(lambda _, arguments, __: rows.append(len(arguments[0])))
    tree.recurse(leaves([2, 5, 1]), Outer())
    assert rows == [3, 2, 1, 1, 1]


# --- the trees they report


def spans_of_loop(length: int, arity: int | None, kind: str) -> set[tuple[int, int]]:
    """What every merge spans, by folding spans instead of states."""

    def fold(items: list[tuple[int, int]]) -> tuple[int, int]:
        while len(items) > 1:
            step = 2 if kind == "chain" else len(items)
            pairs = [(items[at][0], items[at + 1][1]) for at in range(0, step - 1, 2)]
            merges.update(pairs)
            items = pairs + items[2 * len(pairs) :]
        return items[0]

    merges: set[tuple[int, int]] = set()
    items = [(leaf, leaf + 1) for leaf in range(length)]
    while len(items) > 1:
        items = [fold(part) for part in (group(items, arity) if arity else [items])]
    return merges


@EVERY_KIND
@given(lengths=LENGTHS, arity=st.none() | st.integers(2, 6))
def test_trees_show_what_was_merged(kind: str, lengths: list[int], arity: int | None) -> None:
    found = recursion(kind).recurse(leaves(lengths), Outer(arity), trees=True).trees
    assert found is not None
    for (parsed,), length in zip(found, lengths, strict=True):
        assert parsed.probability == 1
        assert parsed.tree.leaves == length
        assert set(parsed.tree.spans()) == spans_of_loop(length, arity, kind)


@given(length=st.integers(2, 2000), arity=st.integers(2, 12))
def test_depth_of_the_recursions(length: int, arity: int) -> None:
    def height(kind: str, outer: Outer) -> int:
        empty = Leaves(torch.zeros(1, length, DIM, dtype=torch.float64), Lengths.of([length]))
        tree = recursion(kind)
        tree.fold = lambda items, *_: items[:, 0]  # the shape of the tree, without its arithmetic
        ((parsed,),) = tree.recurse(empty, outer, trees=True).trees
        return parsed.tree.height

    assert height("chain", Outer()) == length - 1
    assert height("balanced", Outer()) == math.ceil(math.log2(length))
    levels = math.ceil(math.log(length) / math.log(arity) - 1e-9)
    last = arity + arity // 2 - 1
    assert height("chain", Outer(arity)) <= (max(levels, 1) - 1) * (arity - 1) + last - 1


@pytest.mark.parametrize(("old", "new"), [("Balanced", "BalancedTree"), ("Continuous", "ContinuousRecursion")])
def test_names_of_version_0_1_warn(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"recursions.{old} is now {new}"):
        found = getattr(recursions, old)
    assert found is getattr(recursions, new)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        recursions.Nothing  # noqa: B018
