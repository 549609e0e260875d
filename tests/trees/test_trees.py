"""Trees: flat merges against a recursive definition."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree import Tree
from nestree.trees import tree_from_nodes

Nested = int | tuple["Nested", "Nested"]


def nested_trees(max_leaves: int = 14) -> st.SearchStrategy[Nested]:
    """Binary trees over the leaves 0 .. n - 1, as nested pairs."""

    def grow(first: int, end: int, rng: random.Random) -> Nested:
        if end - first == 1:
            return first
        middle = rng.randint(first + 1, end - 1)
        return grow(first, middle, rng), grow(middle, end, rng)

    return st.builds(lambda n, rng: grow(0, n, rng), st.integers(1, max_leaves), st.randoms(use_true_random=False))


def leaf_count(nested: Nested) -> int:
    return 1 if isinstance(nested, int) else leaf_count(nested[0]) + leaf_count(nested[1])


def flatten(nested: Nested) -> Tree:
    """Number the merges in the order in which a recursion leaves them."""
    merges: list[tuple[int, int]] = []
    leaves = leaf_count(nested)

    def number(node: Nested) -> int:
        if isinstance(node, int):
            return node
        merges.append((number(node[0]), number(node[1])))
        return leaves + len(merges) - 1

    number(nested)
    return Tree(leaves, tuple(merges))


def recursive_spans(nested: Nested) -> list[tuple[int, int]]:
    """(first, end) of every inner node, children before parents."""
    if isinstance(nested, int):
        return []
    leaves = [recursive_leaves(child) for child in nested]
    return [*recursive_spans(nested[0]), *recursive_spans(nested[1]), (leaves[0][0], leaves[1][-1] + 1)]


def recursive_leaves(nested: Nested) -> list[int]:
    return [nested] if isinstance(nested, int) else [*recursive_leaves(nested[0]), *recursive_leaves(nested[1])]


def recursive_height(nested: Nested) -> int:
    return 0 if isinstance(nested, int) else 1 + max(recursive_height(child) for child in nested)


def recursive_brackets(nested: Nested) -> str:
    return f"t{nested}" if isinstance(nested, int) else f"({' '.join(recursive_brackets(child) for child in nested)})"


@given(nested_trees())
def test_flat_trees_agree_with_recursive_ones(nested: Nested) -> None:
    tree = flatten(nested)
    assert tree.leaves == leaf_count(nested)
    assert tree.spans() == recursive_spans(nested)
    assert tree.height == recursive_height(nested)
    assert tree.brackets([f"t{leaf}" for leaf in range(tree.leaves)]) == recursive_brackets(nested)


@given(nested_trees(), st.integers(0, 999))
def test_a_tree_is_numbered_afresh_whatever_its_nodes_are_called(nested: Nested, seed: int) -> None:
    tree = flatten(nested)
    names = random.Random(seed).sample(range(10_000), 2 * tree.leaves - 1)
    leaves, inner = names[: tree.leaves], names[tree.leaves :]
    children = {
        inner[number]: (names[left], names[right]) for number, (left, right) in enumerate(tree.merges)
    }  # leaves and merges are numbered on from each other, as names are
    assert tree_from_nodes(leaves, children, names[-1]) == tree


@pytest.mark.parametrize("left", [True, False], ids=["left-branching", "right-branching"])
def test_a_tree_may_be_thousands_deep(left: bool) -> None:
    leaves, merges, top = 5000, [], 0 if left else 4999
    for number in range(leaves - 1):
        merges.append((top, number + 1) if left else (leaves - 2 - number, top))
        top = leaves + number
    tree = Tree(leaves, tuple(merges))
    assert tree.height == leaves - 1
    assert len(tree.brackets(["x"] * leaves)) == 2 * leaves - 1 + 2 * (leaves - 1)
    children = {leaves + number: merge for number, merge in enumerate(tree.merges)}
    assert tree_from_nodes(range(leaves), children, top) == tree


@pytest.mark.parametrize(
    ("leaves", "merges"),
    [
        (0, ()),
        (2, ()),
        (1, ((0, 0),)),
        (3, ((0, 1), (0, 2))),
        (3, ((0, 1), (3, 5))),
        (3, ((3, 1), (0, 2))),
        (3, ((1, 0), (3, 2))),
        (4, ((0, 2), (1, 3), (4, 5))),
        (3, ((0, 1), (2, 3))),
        (3, ((-1, 0), (1, 2))),
    ],
    ids=[
        "no leaf",
        "a merge is missing",
        "a merge too many",
        "a node is used twice",
        "no such node",
        "a node inside itself",
        "children the wrong way round",
        "children that are no neighbours",
        "subtrees the wrong way round",
        "a negative number",
    ],
)
def test_merges_that_make_no_tree_are_rejected(leaves: int, merges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match=r"merge"):
        Tree(leaves, merges)


def test_brackets_need_one_token_a_leaf() -> None:
    assert Tree(1, ()).brackets(["a"]) == "a"
    assert Tree(3, ((1, 2), (0, 3))).brackets(["a", "b", "c"]) == "(a (b c))"
    with pytest.raises(ValueError, match="tokens must be 3"):
        Tree(3, ((1, 2), (0, 3))).brackets(["a", "b"])
