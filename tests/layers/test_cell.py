"""The gated recursive cell against its equations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nestree.layers import GatedRecursiveCell
from support.reference import compose, randomize

DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)], ids=["float64", "float32"]
)


@DTYPES
@given(
    dim=st.integers(1, 9), rows=st.lists(st.integers(1, 3), max_size=2), masked=st.booleans(), seed=st.integers(0, 99)
)
def test_cell_equals_its_equations(
    dtype: torch.dtype, tolerance: float, dim: int, rows: list[int], masked: bool, seed: int
) -> None:
    cell = randomize(GatedRecursiveCell(dim).to(dtype).eval(), seed)
    left, right = torch.randn(2, *rows, dim, dtype=dtype)
    keep = torch.rand(*rows, 4 * dim, dtype=dtype) if masked else torch.ones(*rows, 4 * dim, dtype=dtype)
    parents = cell(left, right, keep) if masked else cell(left, right)
    assert parents.shape == left.shape
    rows_of = (tensor.reshape(-1, tensor.shape[-1]) for tensor in (left, right, keep))
    expected = torch.stack([compose(cell, *row) for row in zip(*rows_of, strict=True)])
    torch.testing.assert_close(parents.reshape(-1, dim), expected, atol=tolerance, rtol=tolerance)


def test_cell_gradients_are_right() -> None:
    cell = randomize(GatedRecursiveCell(3).double().eval(), 1)
    children = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda children, *_: cell(children[0], children[1]), (children, *cell.parameters()), fast_mode=True
    )


def test_the_children_are_told_apart() -> None:
    cell = GatedRecursiveCell(4)
    left, right = torch.randn(2, 4)
    assert not torch.allclose(cell.eval()(left, right), cell(right, left))


def test_cell_drops_hidden_features_in_training_only() -> None:
    cell = GatedRecursiveCell(8, dropout=0.5)
    children = torch.randn(2, 5, 8)
    assert not torch.equal(cell(*children), cell(*children))
    cell.eval()
    assert torch.equal(cell(*children), cell(*children))


def test_a_given_mask_replaces_the_cells_own_dropout() -> None:
    cell = GatedRecursiveCell(4, dropout=0.5)
    left, right = torch.randn(2, 5, 4)
    everything = torch.ones(5, cell.hidden_dim)
    assert torch.equal(cell(left, right, everything), cell.eval()(left, right))


@pytest.mark.parametrize(
    ("arguments", "named"), [({"dim": 0}, "dim"), ({"dim": 4, "dropout": 1.0}, "dropout")], ids=["dim", "dropout"]
)
def test_bad_arguments_are_named(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        GatedRecursiveCell(**arguments)
