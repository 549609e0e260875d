"""The node store: states as the modules would give them, each row once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import GatedRecursiveCell, PairScorer
from nestree.recursions.beam.engine.cells import FusedGatedCell
from nestree.recursions.beam.engine.pair_scoring import FusedPairScoring
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import dropout_mask
from support.reference import randomize

DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["float64", "float32"]
)


def store_of(leaves: int, *, dim: int = 4, dropout: float = 0.5, record: bool = True, dtype=torch.float64) -> NodeStore:
    cell = randomize(GatedRecursiveCell(dim, dropout=dropout), 1).to(dtype).requires_grad_(False)
    return NodeStore(torch.randn(leaves, dim, dtype=dtype), leaves + 64, cell, record=record)


def scoring_of(store: NodeStore, width: int) -> FusedPairScoring:
    dim, dtype = store.states.shape[1], store.states.dtype
    return FusedPairScoring(store, randomize(PairScorer(dim, width=width), 2).to(dtype).requires_grad_(False))


def bits_of(count: int, store: NodeStore) -> Tensor:
    return torch.randint(-(2**15), 2**15, (count, 4 * store.states.shape[1]), dtype=torch.int16)


def pairs(count: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    left, right = torch.randint(rows, (2, count), generator=torch.Generator().manual_seed(seed))
    return left, right


@DTYPES
@given(
    appended=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    dropout=st.sampled_from([None, 0.0, 0.1, 0.5]),
    record=st.booleans(),
    seed=st.integers(0, 99),
)
def test_rows_are_what_the_cell_gives(
    dtype: torch.dtype,
    tolerance: float,
    appended: list[int],
    dropout: float | None,
    record: bool,
    seed: int,
) -> None:
    store = store_of(5, dropout=dropout or 0.0, record=record, dtype=dtype)
    states = [*store.states[:5]]
    heights = [0] * 5
    for step, count in enumerate(appended):
        left, right = pairs(count, store.rows, seed + step)
        random_bits, keep = None, None
        if dropout is not None:
            random_bits = bits_of(count, store)
            keep = dropout_mask(random_bits, dropout, dtype) / (1 - dropout)
        parents = store.cell.module.eval()(
            torch.stack([states[i] for i in left]), torch.stack([states[i] for i in right]), keep
        )
        states.extend(parents.detach())
        heights.extend(1 + max(heights[one], heights[other]) for one, other in zip(left, right, strict=True))
        store.append(left, right, random_bits)
    assert store.rows == len(states)
    torch.testing.assert_close(store.states[: store.rows], torch.stack(states), atol=tolerance, rtol=tolerance)
    assert store.height[: store.rows].tolist() == heights


@DTYPES
def test_logits_are_the_scorers(dtype: torch.dtype, tolerance: float) -> None:
    for width in (1, 3, 4):
        store = store_of(6, dtype=dtype)
        store.append(*pairs(5, 6, 0), None)
        scoring = scoring_of(store, width)
        left, right = (index.view(4, 5) for index in pairs(20, store.rows, 1))
        expected = scoring.scorer(store.states[left], store.states[right])
        torch.testing.assert_close(scoring.logits(left, right), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@given(
    dim=st.sampled_from([16, 64]),  # whole pairs of AVX-512's registers: GELU rounds what is left over in another way
    copies=st.integers(1, 40),
    shape=st.sampled_from([(7, 1), (3, 5), (1, 1, 4)]),
    seed=st.integers(0, 99),
)
def test_equal_pairs_have_equal_logits_wherever_they_stand(
    dtype: torch.dtype, dim: int, copies: int, shape: tuple[int, ...], seed: int
) -> None:
    store = store_of(9, dim=dim, dtype=dtype)
    store.append(*pairs(6, 9, seed), None)
    scoring = scoring_of(store, dim)
    left, right = pairs(7, store.rows, seed)
    alone = torch.cat([scoring.logits(left[[number]], right[[number]]) for number in range(7)])
    which = torch.randint(7, (copies, *shape), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(scoring.logits(left[which], right[which]), alone[which])


def test_a_store_that_records_nothing_holds_no_activations() -> None:
    store = store_of(4, record=False)
    store.append(torch.tensor([0]), torch.tensor([1]), bits_of(1, store))
    assert isinstance(store.cell, FusedGatedCell)
    assert store.cell.hidden.numel() == store.cell.gates.numel() == 0
    assert store.cell.random_bits is None


def test_a_full_store_refuses_another_row() -> None:
    store = store_of(2)
    with pytest.raises(RuntimeError):
        store.append(*pairs(65, 2, 0), None)
