"""The continuous recursive network against a loop over single vectors, its halting, depth and trees."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nestree
from nestree.layers import GatedRecursiveCell, LeafTransform
from nestree.recursions import ContinuousRecursion, Outer, recompute
from nestree.recursions.base import Leaves
from nestree.recursions.continuous import Departures, merge_probabilities, merges_in_order, neighbours
from nestree.recursions.lengths import Lengths
from nestree.trees import Tree
from support.reference import assert_same_gradients, compose, gelu, leaf_transform, padded, randomize, rir

DIM = 3
LENGTHS = st.lists(st.integers(1, 8), min_size=1, max_size=4)


def network(
    seed: int = 0, *, window: int = 5, threshold: float = 0.1, leaf: bool = False, dtype: torch.dtype = torch.float64
) -> ContinuousRecursion:
    made = ContinuousRecursion(
        GatedRecursiveCell(DIM), window=window, threshold=threshold, leaf=LeafTransform(DIM) if leaf else None
    )
    return randomize(made, seed).to(dtype).eval()


def leaves(lengths: list[int], dtype: torch.dtype = torch.float64) -> Leaves:
    return Leaves(padded(lengths, DIM, dtype=dtype).nan_to_num(0), Lengths.of(lengths))


def walk(existence: list[Tensor], places: range) -> dict[int, Tensor]:
    """Outwards over ``places``: each item's existence until the sum is 1, the last only with what is left."""
    shares, total = {}, torch.zeros_like(existence[0])
    for place in places:
        if total + existence[place] > 1:
            shares[place] = 1 - total
            break
        shares[place] = existence[place]
        total = total + existence[place]
    return shares


def mix(shares: dict[int, Tensor], values: list[Tensor]) -> Tensor:
    return sum((share * values[place] for place, share in shares.items()), torch.zeros_like(values[0]))


def loop(net: ContinuousRecursion, items: list[Tensor], record: list[list[float]] | None = None) -> Tensor:
    """One sequence, item by item, from the equations."""
    states = [net.start, *items, net.end]
    if net.leaf is not None:
        states = [leaf_transform(net.leaf, state) for state in states]
    n, size = len(items), len(items) + 2
    existence = [torch.ones((), dtype=items[0].dtype)] * size
    rounds = 0
    while rounds < n and sum(bool(e > net.threshold) for e in existence[1:-1]) > 1:
        left = [walk(existence, range(i - 1, -1, -1)) for i in range(size)]
        right = [walk(existence, range(i + 1, size)) for i in range(size)]
        lefts, rights = [states], [states]
        for _ in range(net.window // 2):
            lefts.insert(0, [mix(shares, lefts[0]) for shares in left])
            rights.append([mix(shares, rights[-1]) for shares in right])
        a = []
        for i in range(size):
            window = torch.cat([row[i] for row in (*lefts, *rights[1:])])
            s = net.score.weight[0] @ gelu(net.read.weight @ window + net.read.bias) + net.score.bias[0]
            a.append(torch.exp(s) if 1 <= i < n else torch.zeros_like(s))
        c = [a[i] / (a[i] + 1 + mix(left[i], a) + mix(right[i], a)) for i in range(size)]
        merged = [compose(net.cell, lefts[-2][i], states[i]) for i in range(size)]
        lc = [mix(left[i], c) for i in range(size)]
        states = [lc[i] * merged[i] + (1 - lc[i]) * states[i] for i in range(size)]
        existence = [e * (1 - chance) for e, chance in zip(existence, c, strict=True)]
        rounds += 1
        if record is not None:
            record.append([e.item() for e in existence[1:-1]])
    return states[n]


def assert_equal_to_loop(net: ContinuousRecursion, lengths: list[int], arity: int | None) -> None:
    batch = leaves(lengths)
    batch.states.requires_grad_()
    root = net.recurse(batch, Outer(arity)).root
    rows = [list(row[:length]) for row, length in zip(batch.states, lengths, strict=True)]
    expected = torch.stack(
        [loop(net, row) if arity is None else rir(row, arity, lambda i: loop(net, i)) for row in rows]
    )
    torch.testing.assert_close(root, expected, atol=1e-10, rtol=1e-10)
    direction = torch.randn_like(root)
    one, other = (root * direction).sum(), (expected * direction).sum()
    gradients = [torch.autograd.grad(value, batch.states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*gradients, atol=1e-9, rtol=1e-9)
    assert_same_gradients(net, one, other)


@settings(max_examples=8)
@given(
    lengths=LENGTHS,
    arity=st.none() | st.integers(2, 5),
    window=st.sampled_from([3, 5, 7]),
    threshold=st.sampled_from([0.0, 0.1, 0.6]),
    leaf=st.booleans(),
)
def test_roots_and_gradients_equal_the_loop(
    lengths: list[int], arity: int | None, window: int, threshold: float, leaf: bool
) -> None:
    assert_equal_to_loop(network(sum(lengths), window=window, threshold=threshold, leaf=leaf), lengths, arity)


def rounds_of(net: ContinuousRecursion, lengths: list[int]) -> list[int]:
    """How many groups take part in each round."""
    rows = []
    step = net._round
    net._round = lambda states, *rest: rows.append(len(states)) or step(states, *rest)
    net.recurse(leaves(lengths), Outer())
    net._round = step
    return rows


def test_groups_stop_each_for_itself() -> None:
    net, lengths = network(3, threshold=0.5), [8, 2, 5, 8]
    alone = [len(rounds_of(net, [length])) for length in (8, 2, 5)]
    assert len(set(alone)) > 1
    states = leaves(lengths).states
    own = [len(rounds_of_states(net, states[row : row + 1, :length])) for row, length in enumerate(lengths)]
    together = rounds_of(net, lengths)
    assert together == [sum(rounds > number for rounds in own) for number in range(max(own))]


def rounds_of_states(net: ContinuousRecursion, states: Tensor) -> list[list[float]]:
    record: list[list[float]] = []
    loop(net, list(states[0]), record)
    return record


@given(length=st.integers(1, 12), threshold=st.sampled_from([0.0, 0.1, 0.9]))
def test_there_are_at_most_as_many_rounds_as_items(length: int, threshold: float) -> None:
    rounds = rounds_of(network(1, threshold=threshold), [length])
    assert len(rounds) <= length
    if threshold == 0:  # nothing ever goes quite away
        assert len(rounds) == (length if length > 1 else 0)


@settings(max_examples=10)
@given(length=st.integers(2, 60))
def test_depth_inside_the_outer_tree(length: int) -> None:
    """About k log_k n rounds, here with none that stops early."""
    net, arity = network(threshold=0.0), 4
    rows = 0
    step = net._round

    def count(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal rows
        rows += 1
        return step(*arguments)

    net._round = count
    net.recurse(leaves([length]), Outer(arity))
    levels = max(math.ceil(math.log(length, arity) - 1e-9), 1)
    assert rows <= (levels - 1) * arity + arity + arity // 2 - 1


@settings(max_examples=8)
@given(lengths=LENGTHS)
def test_an_arity_that_holds_all_is_the_flat_form(lengths: list[int]) -> None:
    net, lengths = network(), [length + 1 for length in lengths]  # the outer tree leaves a single item alone
    flat, nested = (net.recurse(leaves(lengths), outer, trees=True) for outer in (Outer(), Outer(max(lengths))))
    assert torch.equal(flat.root, nested.root)
    assert flat.trees is not None
    assert nested.trees is not None
    for (one,), (other,) in zip(flat.trees, nested.trees, strict=True):  # merges may be listed in another order
        assert set(one.tree.spans()) == set(other.tree.spans())


def test_the_encoders_agree_where_nothing_is_cut() -> None:
    flat = nestree.build("crvnn", dim=DIM).double().eval()
    nested = nestree.build("rir-crvnn", dim=DIM, arity=9, s4d=False).double().eval()
    nested.leaf.load_state_dict(flat.inner.leaf.state_dict())
    own = {key: value for key, value in flat.inner.state_dict().items() if not key.startswith("leaf.")}
    # alone, the vectors around a sequence pass the leaf transform
    own |= {name: flat.inner.leaf(own[name]).detach() for name in ("start", "end")}
    nested.inner.load_state_dict(own)
    states, lengths = padded([9, 2, 5], DIM), torch.tensor([9, 2, 5])
    torch.testing.assert_close(nested(states, lengths).root, flat(states, lengths).root, atol=1e-10, rtol=1e-10)


def test_activations_computed_again_give_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    net, results = network().train(), []
    for kept in (recompute.ACTIVATION_BUDGET, 20_000):
        monkeypatch.setattr(recompute, "ACTIVATION_BUDGET", kept)
        torch.manual_seed(4)
        root = net.recurse(leaves([8, 3, 1]), Outer()).root
        results.append([root, *torch.autograd.grad(root.square().sum(), list(net.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_float32_is_near_float64() -> None:
    roots = [
        network(2, dtype=dtype).recurse(leaves([8, 2, 5], dtype), Outer()).root
        for dtype in (torch.float64, torch.float32)
    ]
    torch.testing.assert_close(roots[1].double(), roots[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e3, -1e3], ids=["huge scores", "tiny scores"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_extreme_scores_stay_finite(scale: float, dtype: torch.dtype) -> None:
    net = network(dtype=dtype)
    with torch.no_grad():
        net.score.weight.mul_(scale)
    root = net.recurse(leaves([7, 4], dtype), Outer()).root
    gradients = torch.autograd.grad(root.sum(), list(net.parameters()))
    assert all(bool(found.isfinite().all()) for found in (root, *gradients))


def test_training_reduces_the_loss() -> None:
    torch.manual_seed(0)
    net = ContinuousRecursion(GatedRecursiveCell(8))
    batch = Leaves(torch.randn(6, 7, 8), Lengths.of([7, 5, 7, 3, 4, 6]))
    goal = torch.randn(6, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = (net.recurse(batch, Outer()).root - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("option", "value"), [("window", 1), ("window", 4), ("window", 5.0), ("threshold", 1.0), ("threshold", -0.1)]
)
def test_bad_options_are_named(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be "):
        ContinuousRecursion(GatedRecursiveCell(DIM), **{option: value})
    with pytest.raises(ValueError, match=f"^{option} must be "):
        nestree.build("rir-crvnn", **{option: value})


def test_a_leaf_transform_of_another_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"^leaf must be for states of the cell's width 3, not 4"):
        ContinuousRecursion(GatedRecursiveCell(DIM), leaf=LeafTransform(4))


# --- neighbours and merge probabilities


@given(existence=st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_neighbours_are_the_nearest_items_that_add_up_to_one(existence: list[float]) -> None:
    values = torch.tensor([existence], dtype=torch.float64)
    left, right = neighbours(values)
    size = len(existence)
    for i in range(size):
        for found, places in ((left, range(i - 1, -1, -1)), (right, range(i + 1, size))):
            expected = torch.zeros(size, dtype=torch.float64)
            for place, share in walk(list(values[0]), places).items():
                expected[place] = share
            torch.testing.assert_close(found[0, i], expected, atol=1e-12, rtol=0)


def test_competing_merges_share_one() -> None:
    left, right = neighbours(torch.ones(1, 4))
    chance = merge_probabilities(torch.tensor([[-torch.inf, 50.0, 50.0, -torch.inf]]), left, right)
    torch.testing.assert_close(chance, torch.tensor([[0.0, 0.5, 0.5, 0.0]]))


# --- trees


def departures_of(rounds: list[list[float]]) -> list[int]:
    """The order in which items go whose existence after each round is given."""
    items = len(rounds[0])
    departures = Departures.of(torch.tensor([items]), items)
    for number, existence in enumerate(rounds):
        departures.note(number, torch.tensor([0]), torch.tensor([existence], dtype=torch.float32))
    return departures.orders([items])[0]


@pytest.mark.parametrize(
    ("rounds", "brackets"),
    [
        ([[0, 1, 0, 1], [0, 0, 0, 1]], "((a b) (c d))"),
        ([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], "((a (b c)) d)"),
        ([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]], "(a (b (c d)))"),
        ([[0.9, 0.4, 0.8, 1], [0.7, 0.1, 0.5, 1], [0.3, 0.0, 0.1, 1]], "(a ((b c) d))"),
        ([[0.9, 0.6, 0.8, 1]], "(a ((b c) d))"),
        ([[0.4, 0.2, 0.3, 1]], "(a ((b c) d))"),
        ([[1, 1, 1, 1]], "(((a b) c) d)"),
    ],
    ids=[
        "two at once",
        "the middle first",
        "right-branching",
        "one half is the mark",
        "never one half: the least first",
        "several in a round: the least first",
        "nothing goes: from the left",
    ],
)
def test_trees_of_constructed_probabilities(rounds: list[list[float]], brackets: str) -> None:
    assert Tree(4, merges_in_order(departures_of(rounds))).brackets(["a", "b", "c", "d"]) == brackets


@st.composite
def hard_rounds(draw: st.DrawFn) -> tuple[list[set[int]], int]:
    """Sets of items that merge for certain, round by round, never two neighbours at once; and how many items."""
    items = draw(st.integers(2, 9))
    there, rounds = list(range(items)), []
    while len(there) > 1:
        first = draw(st.integers(0, len(there) - 2))
        going = {there[first]}
        for at in range(first + 2, len(there) - 1):
            if there[at - 1] not in going and draw(st.booleans()):
                going.add(there[at])
        rounds.append(going)
        there = [item for item in there if item not in going]
    return rounds, items


@given(case=hard_rounds())
def test_hard_merges_give_the_tree_of_their_cells(case: tuple[list[set[int]], int]) -> None:
    """The cell's place in a real round is taken by pairs of items, and c by 0 and 1."""
    rounds, items = case
    existence = [1.0] * (items + 2)
    states = ["START", *map(str, range(items)), "END"]
    record = []
    for going in rounds:
        left, _ = neighbours(torch.tensor([existence]))
        nearest = left[0].argmax(-1).tolist()
        c = [float(place - 1 in going) for place in range(items + 2)]
        states = [
            f"({states[nearest[j]]} {states[j]})" if left[0, j].sum() and c[nearest[j]] else states[j]
            for j in range(items + 2)
        ]
        existence = [e * (1 - chance) for e, chance in zip(existence, c, strict=True)]
        record.append(existence[1:-1])
    tree = Tree(items, merges_in_order(departures_of(record)))
    assert tree.brackets([str(item) for item in range(items)]) == states[items]


def test_trees_come_from_the_rounds_of_each_sequence() -> None:
    net, lengths = network(5), [8, 1, 5, 2]
    found = net.recurse(leaves(lengths), Outer(), trees=True).trees
    assert found is not None
    for (parsed,), row, length in zip(found, leaves(lengths).states, lengths, strict=True):
        record: list[list[float]] = []
        loop(net, list(row[:length]), record)
        assert parsed.tree.merges == merges_in_order(departures_of(record) if record else [])
