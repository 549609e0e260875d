"""The replay: each of its three parts against autograd."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell, PairScorer
from nestree.recursions.beam.engine.cells import FusedGatedCell
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.pair_scoring import FusedPairScoring
from nestree.recursions.beam.engine.replay import (
    ROWS_PER_CHUNK,
    cell_gradient,
    reachable_by_height,
    score_gradient,
)
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import dropout_mask
from support.reference import randomize

LEAVES = 4


def grown_store(merges: list[tuple[int, int]], *, dropout: float = 0.0, dim: int = 3) -> NodeStore:
    """A store over four random leaves; each merge picks two rows among those that are there, by remainder."""
    cell = randomize(GatedRecursiveCell(dim, dropout=dropout), 1).double()
    with torch.no_grad():
        leaves = torch.randn(LEAVES, dim, dtype=torch.float64)
        store = NodeStore(leaves, LEAVES + len(merges), cell, record=True)
        for left, right in merges:
            random_bits = torch.randint(-(2**15), 2**15, (1, cell.hidden_dim), dtype=torch.int16) if dropout else None
            store.append(torch.tensor([left % store.rows]), torch.tensor([right % store.rows]), random_bits)
    return store


def by_modules(store: NodeStore, leaves: Tensor) -> list[Tensor]:
    """All states of a store, with autograd."""
    states = list(leaves)
    assert isinstance(store.cell, FusedGatedCell)
    cell = store.cell.module.eval()
    for row in range(store.leaves, store.rows):
        keep = None
        if store.cell.random_bits is not None:
            keep = dropout_mask(store.cell.random_bits[row], cell.dropout, leaves.dtype) / (1 - cell.dropout)
        left, right = states[store.left[row]], states[store.right[row]]
        states.append(cell(left, right, keep))
    return states


def assert_close(found: list[Tensor], expected: tuple[Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-10)


MERGES = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=8)


# --- cell


@given(merges=MERGES, dropout=st.sampled_from([0.0, 0.5]), data=st.data())
def test_cell_gradient_is_that_of_autograd(merges: list[tuple[int, int]], dropout: float, data: st.DataObject) -> None:
    store = grown_store(merges, dropout=dropout)
    rows = st.integers(0, store.rows - 1)
    roots = torch.tensor(data.draw(st.lists(rows, min_size=1, max_size=4)))
    above = torch.randn(len(roots), 3, dtype=torch.float64)
    leaves = store.states[:LEAVES].clone().requires_grad_()
    total = (torch.stack(by_modules(store, leaves))[roots] * above).sum()
    wanted = [leaves, *store.cell.module.parameters()]
    expected = torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True)
    state_gradient = torch.zeros(store.rows, 3, dtype=torch.float64).index_add_(0, roots, above)
    with torch.no_grad():
        of_cell = cell_gradient(store, roots, state_gradient)
    assert_close([state_gradient[:LEAVES], *of_cell], expected)


def test_many_rows_of_one_height_are_pulled_back_in_parts() -> None:
    cell = randomize(GatedRecursiveCell(2), 1).double()
    count = 2 * ROWS_PER_CHUNK + 3
    with torch.no_grad():
        leaves = torch.randn(count + 1, 2, dtype=torch.float64)
        store = NodeStore(leaves, 2 * count + 1, cell, record=True)
        store.append(torch.arange(count), torch.arange(count) + 1, None)
    roots = torch.arange(count + 1, 2 * count + 1)
    above = torch.randn(count, 2, dtype=torch.float64)
    inputs = leaves.clone().requires_grad_()
    total = (cell.eval()(inputs[:-1], inputs[1:]) * above).sum()
    expected = torch.autograd.grad(total, [inputs, *cell.parameters()])
    state_gradient = torch.cat([torch.zeros(count + 1, 2, dtype=torch.float64), above])
    with torch.no_grad():
        of_cell = cell_gradient(store, roots, state_gradient)
    assert_close([state_gradient[: count + 1], *of_cell], expected)


@given(merges=MERGES, data=st.data())
def test_reachable_rows_come_highest_first(merges: list[tuple[int, int]], data: st.DataObject) -> None:
    store = grown_store(merges)
    roots = data.draw(st.lists(st.integers(0, store.rows - 1), min_size=1, max_size=4))
    reachable, waiting = set(), list(roots)
    while waiting:
        row = waiting.pop()
        if row >= LEAVES:
            reachable.add(row)
            waiting += [int(store.left[row]), int(store.right[row])]
    found = [rows.tolist() for rows in reachable_by_height(store, torch.tensor(roots))]
    assert sorted(row for rows in found for row in rows) == sorted(reachable)
    heights = [{int(store.height[row]) for row in rows} for rows in found if rows]
    assert all(len(height) == 1 for height in heights)
    assert [height.pop() for height in heights] == sorted({int(store.height[row]) for row in reachable}, reverse=True)


def test_nothing_is_reachable_from_leaves() -> None:
    store = grown_store([(0, 1), (1, 2)])
    assert [row for rows in reachable_by_height(store, torch.tensor([0, 3])) for row in rows] == []


# --- scorer


@given(merges=MERGES, data=st.data())
def test_scorer_gradient_is_that_of_autograd(merges: list[tuple[int, int]], data: st.DataObject) -> None:
    store = grown_store(merges)
    scorer = randomize(PairScorer(3, width=2), 2).double()
    rows = st.integers(0, store.rows - 1)
    pairs = data.draw(st.lists(st.tuples(rows, rows), min_size=1, max_size=6))
    left, right = torch.tensor(pairs).unbind(1)
    above = torch.randn(len(pairs), dtype=torch.float64)
    states = store.states[: store.rows].clone().requires_grad_()
    total = (scorer(states[left], states[right]) * above).sum()
    expected = torch.autograd.grad(total, [states, *scorer.parameters()])
    before = torch.randn(store.rows, 3, dtype=torch.float64)
    state_gradient = before.clone()
    with torch.no_grad():
        of_scorer = FusedPairScoring(store, scorer).pull_back(left, right, above, state_gradient)
    assert_close([state_gradient - before, *of_scorer], expected)


# --- scores


def replayed(history: History, start: Tensor, logits: Tensor) -> Tensor:
    """A level's final scores as a function of its first ones and of its pairs' logits, by the definition."""
    scores = start
    for choice in history.choices:
        groups = len(choice.beam)
        of_pairs = logits[choice.pairs.long()].masked_fill(choice.logits == -torch.inf, -torch.inf)
        log_probability = of_pairs.log_softmax(-1).flatten(1)
        place = choice.beam * choice.logits.shape[-1] + choice.position
        chosen = scores[:groups].gather(1, choice.beam) + log_probability.gather(1, place)
        scores = torch.cat([chosen, scores[groups:, : chosen.shape[1]]])
    return scores


def random_history(taking_part: list[int], seed: int, *, beams: int = 3) -> tuple[History, Tensor]:
    """A history in whose steps so many groups take part, and the logits of its pairs, some of which are shared."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(12, generator=generator, dtype=torch.float64)
    history = History(pairs=len(logits))
    for step, groups in enumerate(taking_part):
        pairs = 1 + len(taking_part) - step
        number = torch.randint(len(logits), (groups, beams, pairs), generator=generator)
        real = 1 + torch.randint(pairs, (groups, 1), generator=generator)  # shorter groups lack the last pairs
        of_pairs = logits[number].masked_fill(torch.arange(pairs) >= real.unsqueeze(-1), -torch.inf)
        position = torch.randint(2**31, (groups, beams), generator=generator) % real
        beam = torch.randint(beams, (groups, beams), generator=generator)
        history.choices.append(Choice(of_pairs, number.int(), of_pairs.logsumexp(-1), beam, position))
    return history, logits


@given(taking_part=st.lists(st.integers(1, 3), max_size=4), seed=st.integers(0, 999))
def test_score_gradient_is_that_of_the_definition(taking_part: list[int], seed: int) -> None:
    history, logits = random_history(sorted(taking_part, reverse=True), seed)
    start, above = torch.randn(2, 4, 3, dtype=torch.float64)
    wanted = [start.requires_grad_(), logits.requires_grad_()]
    total = (replayed(history, start, logits) * above).sum()
    expected = torch.autograd.grad(total, wanted, materialize_grads=True, allow_unused=True)
    with torch.no_grad():
        assert_close(list(score_gradient(history, above)), expected)


def test_absent_beams_pass_no_gradient_on() -> None:
    """An absent beam may have no pair at all: its logits are all -inf, and so would be their log-sum-exp."""
    logits = torch.tensor([[[0.5, -0.2], [-torch.inf, -torch.inf]]], dtype=torch.float64)
    log_norm = logits.logsumexp(-1).clamp_(min=torch.finfo(torch.float64).min)
    choice = Choice(
        logits,
        torch.tensor([[[0, 1], [2, 3]]], dtype=torch.int32),
        log_norm,
        torch.tensor([[0, 1]]),
        torch.tensor([[1, 0]]),
    )
    start, pairs = score_gradient(History([choice], pairs=4), torch.tensor([[2.0, 0.0]], dtype=torch.float64))
    share = logits[0, 0].softmax(-1)
    assert start.tolist() == [[2.0, 0.0]]
    torch.testing.assert_close(pairs[:2], 2 * (torch.tensor([0.0, 1.0], dtype=torch.float64) - share))
    assert pairs[2:].tolist() == [0.0, 0.0]


def test_the_gradient_that_was_given_is_left_alone() -> None:
    above = torch.ones(1, 2, dtype=torch.float64)
    score_gradient(History(), above)[0].zero_()
    assert above.tolist() == [[1.0, 1.0]]
