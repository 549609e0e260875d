"""The causal convolution under S4D, by both of its ways: sums, gradients, sizes of transforms."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree.layers import s4d
from nestree.layers.s4d import convolution, fft_size

WAYS = pytest.mark.parametrize("short", [0, 10**9], ids=["transform", "product"])


def direct(signal: Tensor, kernel: Tensor, *, backwards: bool = False) -> Tensor:
    """``y_t = sum_(s <= t) K_(t - s) u_s`` as it is written, or the same over the signal turned round."""
    if backwards:
        return direct(signal.flip(-1), kernel).flip(-1)
    length = signal.shape[-1]
    outputs = [
        sum(kernel[:, t - s] * signal[..., s] for s in range(t + 1)) for t in range(length)
    ]  # each (batch, channels)
    return torch.stack(outputs, dim=-1)


@WAYS
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    length=st.integers(1, 40),
    backwards=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolution_is_the_direct_sum(
    short: int, batch: int, channels: int, length: int, backwards: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(batch, channels, length, generator=generator, dtype=torch.float64)
    kernel = torch.randn(channels, length, generator=generator, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s4d, "SHORT", short)
        found = convolution(signal, kernel, backwards=backwards)
    torch.testing.assert_close(found, direct(signal, kernel, backwards=backwards), atol=1e-12, rtol=1e-12)


@WAYS
@pytest.mark.parametrize("length", [1, 2, 7, 16])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_convolution_gradients_are_right(
    short: int, length: int, backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s4d, "SHORT", short)
    signal = torch.randn(2, 3, length, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, length, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(partial(convolution, backwards=backwards), (signal, kernel))


def test_both_ways_meet_where_one_takes_over() -> None:
    for length in (s4d.SHORT, s4d.SHORT + 1):
        signal, kernel = torch.randn(2, 2, length, dtype=torch.float64), torch.randn(2, length, dtype=torch.float64)
        torch.testing.assert_close(convolution(signal, kernel), direct(signal, kernel))


@WAYS
def test_the_future_is_not_seen(short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s4d, "SHORT", short)
    signal, kernel = torch.randn(1, 2, 30, dtype=torch.float64), torch.randn(2, 30, dtype=torch.float64)
    changed = signal.clone()
    changed[..., 20:] = 1e3
    torch.testing.assert_close(
        convolution(signal, kernel)[..., :20], convolution(changed, kernel)[..., :20], atol=1e-9, rtol=0
    )


@given(least=st.integers(1, 300_000))
def test_transforms_are_just_long_enough(least: int) -> None:
    size = fft_size(least)
    odd = size
    while odd % 2 == 0:
        odd //= 2
    assert odd in (1, 3, 5, 9, 15)
    candidates = [factor << shift for factor in (1, 3, 5, 9, 15) for shift in range(20)]
    assert size == min(candidate for candidate in candidates if candidate >= least)
