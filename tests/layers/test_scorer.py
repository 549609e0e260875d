"""The pair scorer against its equation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nestree.layers import PairScorer, ParentScorer
from support.reference import randomize, score


@st.composite
def dims_and_widths(draw: st.DrawFn) -> tuple[int, int | None]:
    dim = draw(st.integers(1, 9))
    return dim, draw(st.none() | st.integers(1, dim))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
@given(sizes=dims_and_widths(), rows=st.lists(st.integers(1, 3), max_size=2), seed=st.integers(0, 99))
def test_scorer_equals_its_equation(
    dtype: torch.dtype, tolerance: float, sizes: tuple[int, int | None], rows: list[int], seed: int
) -> None:
    dim, width = sizes
    scorer = randomize(PairScorer(dim, width=width).to(dtype), seed)
    left, right = torch.randn(2, *rows, dim, dtype=dtype)
    logits = scorer(left, right)
    assert logits.shape == tuple(rows)
    pairs = zip(left.reshape(-1, dim), right.reshape(-1, dim), strict=True)
    expected = torch.stack([score(scorer, *pair, width or dim) for pair in pairs])
    torch.testing.assert_close(logits.flatten(), expected, atol=tolerance, rtol=tolerance)


@given(sizes=dims_and_widths())
def test_features_beyond_the_width_have_no_effect(sizes: tuple[int, int | None]) -> None:
    dim, width = sizes
    scorer = PairScorer(dim, width=width)
    children = torch.randn(2, 3, dim, requires_grad=True)
    (gradient,) = torch.autograd.grad(scorer(*children).sum(), children)
    read = width or dim
    assert bool((gradient[..., :read] != 0).all())
    assert bool((gradient[..., read:] == 0).all())
    garbage = children.detach().clone()
    garbage[..., read:] = torch.nan
    assert torch.equal(scorer(*garbage), scorer(*children))


def test_scorer_gradients_are_right() -> None:
    scorer = randomize(PairScorer(4, width=3).double(), 1)
    children = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda children, *_: scorer(children[0], children[1]), (children, *scorer.parameters()), fast_mode=True
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"dim": 0}, "dim"), ({"dim": 4, "width": 0}, "width"), ({"dim": 4, "width": 5}, "width")],
    ids=["dim", "no width", "width above dim"],
)
def test_bad_arguments_are_named(arguments: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        PairScorer(**arguments)


def test_a_parent_is_scored_by_one_weight_a_feature() -> None:
    scorer, parents = ParentScorer(5), torch.randn(2, 3, 5)
    assert [tuple(parameter.shape) for parameter in scorer.parameters()] == [(1, 5)]
    torch.testing.assert_close(scorer(parents), (parents * scorer.score.weight[0]).sum(-1))
    with pytest.raises(ValueError, match="dim must be"):
        ParentScorer(0)
