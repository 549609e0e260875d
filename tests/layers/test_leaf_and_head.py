"""The leaf transform and the classification head against their equations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nestree.layers import ClassificationHead, LeafTransform
from support.reference import gelu, leaf_transform, randomize

DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)], ids=["float64", "float32"]
)


@DTYPES
@given(dim=st.integers(1, 9), rows=st.lists(st.integers(1, 3), max_size=2), seed=st.integers(0, 99))
def test_leaf_transform_equals_its_equation(
    dtype: torch.dtype, tolerance: float, dim: int, rows: list[int], seed: int
) -> None:
    leaf = randomize(LeafTransform(dim).to(dtype), seed)
    states = torch.randn(*rows, dim, dtype=dtype)
    expected = torch.stack([leaf_transform(leaf, state) for state in states.reshape(-1, dim)])
    torch.testing.assert_close(leaf(states).reshape(-1, dim), expected, atol=tolerance, rtol=tolerance)


@DTYPES
@given(
    dim=st.integers(1, 6),
    classes=st.integers(1, 5),
    hidden=st.none() | st.integers(1, 6),
    batch=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_head_equals_its_equation(
    dtype: torch.dtype, tolerance: float, dim: int, classes: int, hidden: int | None, batch: int, seed: int
) -> None:
    head = randomize(ClassificationHead(dim, classes, hidden=hidden, dropout=0.3).to(dtype).eval(), seed)
    root = torch.randn(batch, dim, dtype=dtype)
    linear = [(layer.weight, layer.bias) for layer in head.layers if isinstance(layer, nn.Linear)]
    assert len(linear) == (1 if hidden is None else 2)
    for row, logits in zip(root, head(root), strict=True):
        for weight, bias in linear[:-1]:
            row = gelu(weight @ row + bias)
        weight, bias = linear[-1]
        torch.testing.assert_close(logits, weight @ row + bias, atol=tolerance, rtol=tolerance)


def test_gradients_are_right() -> None:
    leaf, head = (randomize(part.double().eval(), 1) for part in (LeafTransform(3), ClassificationHead(3, 2, hidden=4)))
    states = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    parameters = (*leaf.parameters(), *head.parameters())
    assert torch.autograd.gradcheck(lambda states, *_: head(leaf(states)), (states, *parameters), fast_mode=True)


def test_head_drops_before_each_of_its_layers_in_training() -> None:
    head = ClassificationHead(200, 3, hidden=200, dropout=0.25)
    inputs: list[torch.Tensor] = []
    for layer in head.layers:
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    head(torch.ones(20, 200))
    for seen in inputs:
        assert (seen == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert inputs[0].unique().tolist() == pytest.approx([0, 1 / 0.75])


def test_a_plain_linear_head_drops_nothing() -> None:
    head = ClassificationHead(4, 3, dropout=0.5)
    root = torch.randn(2, 4)
    assert torch.equal(head(root), head(root))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dim": 0, "classes": 2}, "dim"),
        ({"dim": 2, "classes": 0}, "classes"),
        ({"dim": 2, "classes": 2, "hidden": 0}, "hidden"),
        ({"dim": 2, "classes": 2, "dropout": 1.0}, "dropout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arguments_are_named(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        ClassificationHead(**arguments)
    with pytest.raises(ValueError, match=r"^dim must"):
        LeafTransform(0)
