"""S4D: the convolution against its recurrence, and the length-aware bidirectional layer."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nestree
from nestree.layers import s4d
from nestree.layers.s4d import (
    DIRECT,
    LONGEST_STEP,
    S4D,
    SHORT,
    SHORTEST_STEP,
    BidirectionalS4D,
    ssm_parameters,
)
from nestree.native import library
from support.reference import gelu, padded, randomize, state_space

compiled = pytest.mark.skipif(library.load() is None, reason="the library was not compiled here")


def perturbed(channels: int, seed: int) -> S4D:
    """A float64 S4D that has moved away from its initial values, B = 1 among them."""
    generator = torch.Generator().manual_seed(seed)
    ssm = S4D(channels).double()
    with torch.no_grad():
        for parameter in ssm.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.3)
    return ssm


def recurrence(ssm: S4D, inputs: Tensor) -> Tensor:
    outputs = [[state_space(ssm, h, channel.tolist()) for h, channel in enumerate(row)] for row in inputs]
    return torch.tensor(outputs, dtype=torch.float64)


@settings(max_examples=15)
@given(channels=st.integers(1, 3), length=st.integers(1, 40) | st.integers(SHORT, SHORT + 9), seed=st.integers(0, 99))
def test_convolution_equals_recurrence_in_float64(channels: int, length: int, seed: int) -> None:
    ssm = perturbed(channels, seed)
    inputs = torch.randn(2, channels, length, dtype=torch.float64)
    torch.testing.assert_close(ssm(inputs), recurrence(ssm, inputs), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("length", [1, 63, 257, 1000])
def test_convolution_equals_recurrence_in_float32(length: int) -> None:
    ssm = S4D(2)
    inputs = torch.randn(1, 2, length)
    expected = recurrence(ssm, inputs)
    error = (ssm(inputs) - expected).abs().max() / expected.abs().max()
    assert error.item() < 1e-4


@given(length=st.integers(1, 70), seed=st.integers(0, 99))
def test_kernel_blocks_join_without_a_seam(length: int, seed: int) -> None:
    ssm = perturbed(2, seed)
    log_pole, weight = ssm.poles()
    powers = torch.exp(log_pole.unsqueeze(-1) * torch.arange(length))
    all_at_once = 2 * (weight.unsqueeze(-1) * powers).sum(1).real
    torch.testing.assert_close(ssm.kernel(length), all_at_once, atol=1e-11, rtol=1e-11)


def test_long_inputs_stay_finite() -> None:
    ssm = S4D(4)
    outputs = ssm(torch.randn(1, 4, 5003))
    outputs.square().mean().backward()
    assert bool(outputs.isfinite().all())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in ssm.parameters())


@pytest.mark.parametrize("length", [5, SHORT + 2], ids=["short", "long"])
def test_s4d_gradients_are_right(length: int) -> None:
    ssm = perturbed(2, 5)
    inputs = torch.randn(1, 2, length, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda inputs, *_: ssm(inputs), (inputs, *ssm.parameters()), fast_mode=True)


def test_s4d_starts_by_its_laws() -> None:
    ssm = S4D(400)
    torch.testing.assert_close(ssm.log_decay, torch.full((400, 32), math.log(0.5)))
    law = [64 / math.pi * (64 / (2 * n + 1) - 1) for n in range(32)]
    torch.testing.assert_close(ssm.frequency, torch.tensor(law).expand(400, 32))
    assert torch.equal(torch.view_as_complex(ssm.b.detach()), torch.ones(400, 32, dtype=torch.complex64))
    real, imaginary = ssm.c.detach().unbind(-1)
    for part in (real, imaginary):
        assert part.mean().item() == pytest.approx(0, abs=0.03)
        assert part.var().item() == pytest.approx(0.5, abs=0.03)
    assert (real * imaginary).mean().item() == pytest.approx(0, abs=0.03)
    assert ssm.skip.var().item() == pytest.approx(1, abs=0.25)
    # log dt is uniform: the largest distance to that distribution's function is small
    share = (ssm.log_step.detach().sort().values - math.log(SHORTEST_STEP)) / math.log(LONGEST_STEP / SHORTEST_STEP)
    assert 0 <= share[0] <= share[-1] <= 1
    assert (share - (torch.arange(400) + 0.5) / 400).abs().max().item() < 1.95 / math.sqrt(400)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_is_computed_in_float32_inside(dtype: torch.dtype) -> None:
    layer = randomize(BidirectionalS4D(3), 2).eval()
    states, lengths = padded([9, 4], 3, dtype=torch.float32), torch.tensor([9, 4])
    expected = layer(states, lengths)[0]
    halved = layer.to(dtype)(states.to(dtype), lengths)
    assert halved.dtype == dtype
    torch.testing.assert_close(halved[0].float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("length", [SHORT, SHORT + 1], ids=["short", "long"])
def test_precision_is_kept_under_autocast(length: int) -> None:
    ssm = S4D(3)
    inputs = torch.randn(2, 3, length)
    expected = ssm(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(ssm(inputs), expected)


# --- the compiled library's convolution


@compiled
@settings(max_examples=25)
@given(
    channels=st.integers(1, 40),
    length=st.integers(1, 60) | st.just(DIRECT),
    sequences=st.integers(1, 3),
    threads=st.sampled_from([1, 2]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_direct_sums_agree_with_pytorch(
    channels: int, length: int, sequences: int, threads: int, dtype: torch.dtype, seed: int
) -> None:
    """Outputs and all gradients, for numbers of channels that fill the processor's registers, and others."""
    ssm = perturbed(2 * channels, seed).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(sequences, channels, length, generator=generator, dtype=dtype)
    above = torch.randn(sequences, 2 * channels, length, generator=generator, dtype=dtype)
    found, before = [], torch.get_num_threads()
    for direct in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not direct:
                patch.setattr(s4d, "convolves_directly", lambda signal: False)
            torch.set_num_threads(threads)
            own = signal.clone().requires_grad_()
            assert s4d.convolves_directly(own.mT) is direct
            output = ssm.both_ways(own)
            gradients = torch.autograd.grad(output, [own, *ssm.parameters()], above)
            torch.set_num_threads(before)
        found.append([output.detach(), *gradients])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= (1e-11 if dtype == torch.float64 else 1e-4) * (1 + other.norm())


@compiled
def test_direct_sums_have_second_derivatives() -> None:
    ssm = perturbed(4, 0)
    signal = torch.randn(2, 2, 5, dtype=torch.float64, requires_grad=True)
    assert s4d.convolves_directly(signal.mT)
    parameters = [signal, *ssm.parameters()]
    assert torch.autograd.gradgradcheck(lambda *_: ssm.both_ways(signal), parameters)


@compiled
def test_what_the_library_does_not_convolve() -> None:
    assert s4d.convolves_directly(torch.zeros(1, DIRECT, 2))
    assert not s4d.convolves_directly(torch.zeros(1, DIRECT + 1, 2))
    assert not s4d.convolves_directly(torch.zeros(0, 3, 2))
    assert not s4d.convolves_directly(torch.zeros(1, 3, 2, device="meta"))


# --- the bidirectional layer


def mixed(layer: BidirectionalS4D, states: Tensor, lengths: Tensor) -> Tensor:
    """What reaches the layer's last product: (B, L, 2 D), forwards then backwards."""
    seen: list[Tensor] = []
    with layer.mix.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])):
        layer(states, lengths)
    return seen[0]


def test_halves_see_the_past_and_the_future_within_the_sequence() -> None:
    layer, lengths = BidirectionalS4D(2).double().eval(), [5, 3, 1]
    states = torch.randn(3, 7, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda states: mixed(layer, states, torch.tensor(lengths)), states)
    forwards, backwards = (half.abs().sum((2, 5)) > 1e-9 for half in jacobian.split(2, dim=2))  # (row, at, row, seen)
    for row, length in enumerate(lengths):
        for other in range(3):
            for at in range(length):
                past = [other == row and seen <= at for seen in range(7)]
                future = [other == row and at <= seen < length for seen in range(7)]
                assert forwards[row, at, other].tolist() == past
                assert backwards[row, at, other].tolist() == future


@pytest.mark.parametrize("lengths", [[6, 1, 4], [SHORT + 3, 5]], ids=["short", "long"])
def test_halves_equal_the_recurrence_over_the_sequence_and_its_reversal(lengths: list[int]) -> None:
    layer = BidirectionalS4D(2).double().eval()
    states = padded(lengths, 2, extra=2)
    both = mixed(layer, states, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        sequence = states[row, :length]
        turned = torch.cat([sequence, sequence.flip(0)], dim=-1).T
        forwards, backwards = gelu(recurrence(layer.ssm, turned.unsqueeze(0))[0].T).chunk(2, dim=-1)
        expected = torch.cat([forwards, backwards.flip(0)], dim=-1)
        torch.testing.assert_close(both[row, :length], expected, atol=1e-10, rtol=1e-10)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_gradients_reach_both_halves_and_every_parameter(lengths: list[int]) -> None:
    layer = BidirectionalS4D(3, dropout=0.0).double()
    real = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)
    outputs = layer(padded(lengths, 3), torch.tensor(lengths))[real]
    (outputs * torch.randn_like(outputs)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert bool((parameter.grad.flatten(1) if parameter.ndim > 1 else parameter.grad).ne(0).all()), name


@settings(max_examples=10)
@given(lengths=st.lists(st.integers(1, 6), min_size=2, max_size=3), extra=st.sampled_from([0, 1, 4, SHORT]))
def test_padding_has_no_effect(lengths: list[int], extra: int) -> None:
    layer = BidirectionalS4D(3).double().eval()
    together = layer(padded(lengths, 3, extra=extra), torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = layer(padded(lengths, 3)[row : row + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-10, rtol=1e-10)


def test_dropout_masks_are_tied_over_time() -> None:
    layer = BidirectionalS4D(300, dropout=0.2)
    states, lengths = torch.randn(2, 12, 300) / 100, torch.tensor([12, 12])  # small: GELU gives no zero of its own
    dropped = mixed(layer, states, lengths) == 0
    assert torch.equal(dropped.all(1), dropped.any(1))
    assert dropped[:, 0].double().mean().item() == pytest.approx(1 - 0.8**2, abs=0.05)
    assert not torch.equal(dropped[0, 0], dropped[1, 0])
    assert not bool((mixed(layer.eval(), states, lengths) == 0).all(1).any())


def test_ssm_parameters_finds_exactly_them() -> None:
    for name in nestree.ENCODERS:
        encoder = nestree.build(name, dim=4)
        expected = [parameter for key, parameter in encoder.named_parameters() if ".ssm." in f".{key}"]
        assert list(map(id, ssm_parameters(encoder))) == list(map(id, expected))
        layers = 1 if name.startswith("rir") else len(encoder.layers) if name == "s4d" else 0
        assert len(expected) == 6 * layers


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: S4D(0), "channels"),
        (lambda: BidirectionalS4D(0), "dim"),
        (lambda: BidirectionalS4D(2, dropout=1.0), "dropout"),
    ],
    ids=["channels", "dim", "dropout"],
)
def test_bad_arguments_are_named(build, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        build()
