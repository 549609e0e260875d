"""How a ragged batch is cut into buckets, and put together again."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree import buckets
from nestree.buckets import Buckets, pack, pad, plan
from support.reference import padded

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=7)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket costs nothing but its padding, and lengths are separated however similar."""
    monkeypatch.setattr(buckets, "POSITIONS", 0)
    monkeypatch.setattr(buckets, "CLASS", 1.0001)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([20] * 3 + [20_000] + [20] * 2, [[3], [0, 1, 2, 4, 5]]),
        ([5000] * 40, [list(range(40))]),
        ([100, 1, 30, 2] * 10, [list(range(40))]),  # too small a batch for its padding to matter
        ([1] * 100_000, [list(range(100_000))]),
        ([2000] * 3 + [200] * 60 + [20] * 900, [[0, 1, 2], list(range(3, 63)), list(range(63, 963))]),
    ],
    ids=["one long", "equal", "small", "single tokens", "three sizes"],
)
def test_batches_are_cut_where_it_saves_something(lengths: list[int], expected: list[list[int]]) -> None:
    assert plan(lengths, 4) == expected


@given(lengths=LENGTHS, rows=st.integers(0, 9), positions=st.integers(0, 60))
def test_no_other_cut_is_cheaper(lengths: list[int], rows: int, positions: int) -> None:
    def cost(sizes: list[list[int]]) -> int:
        return sum(max(own) * (len(own) + rows) + positions for own in sizes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "POSITIONS", positions)
        patch.setattr(buckets, "CLASS", 1.0001)
        found = plan(lengths, rows)
    assert sorted(sequence for own in found for sequence in own) == list(range(len(lengths)))
    assert all(own == sorted(own) for own in found)
    ordered = sorted(lengths, reverse=True)
    inner = range(1, len(ordered))
    cuts = (cut for count in range(len(ordered)) for cut in combinations(inner, count))
    least = min(cost([ordered[a:b] for a, b in pairwise((0, *cut, len(ordered)))]) for cut in cuts)
    assert cost([[lengths[sequence] for sequence in own] for own in found]) == least


@given(lengths=LENGTHS, split=st.booleans())
def test_what_is_cut_is_put_together_again(lengths: list[int], split: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if split:
            patch.setattr(buckets, "POSITIONS", 0)
        cut = Buckets(lengths, rows=0)
    assert len(cut.sequences) == 1 or split
    packed = torch.randn(sum(lengths), 3)
    parts = list(cut.padded(packed))
    assert torch.equal(cut.packed(parts), packed)
    sums = cut.joined([part.sum(1) for part in parts])
    expected = torch.stack([sequence.sum(0) for sequence in packed.split(lengths)])
    torch.testing.assert_close(sums, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("free")
def test_gradients_of_what_is_cut_are_right() -> None:
    cut = Buckets([5, 1, 4, 1, 3], rows=0)
    assert cut.sequences == [[0], [2], [4], [1, 3]]

    def weighted(packed: Tensor) -> Tensor:
        return cut.packed([part * (number + 1) for number, part in enumerate(cut.padded(packed))])

    packed = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(weighted, (packed,))


@given(lengths=LENGTHS, extra=st.integers(0, 2))
def test_padding_is_zero_and_is_never_read(lengths: list[int], extra: int) -> None:
    states = padded(lengths, 2, extra=extra)
    packed = pack(states, lengths)
    assert torch.equal(packed, torch.cat([row[:length] for row, length in zip(states, lengths, strict=True)]))
    assert torch.equal(pad(packed, lengths, max(lengths) + extra), states.nan_to_num(0.0))


def test_a_batch_without_padding_is_not_copied() -> None:
    states = torch.randn(4, 7, 2)
    packed = pack(states, [7] * 4)
    (part,) = Buckets([7] * 4).padded(packed)
    assert packed.data_ptr() == part.data_ptr() == states.data_ptr()
