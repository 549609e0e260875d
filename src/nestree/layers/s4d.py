"""Diagonal state-space layers (S4D), and RIR's bidirectional context layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ctypes import byref
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.buckets import Buckets
from nestree.checks import check_at_least, check_probability, real_positions
from nestree.native import library
from nestree.native.library import Convolution, address

STATE_SIZE = 64
"""N; stored as N / 2 conjugate pairs."""

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1
"""Range of the initial step sizes dt, log-uniform."""


MOST = 2**23
"""Maximal size of a signal that is convolved at once without gradients, numbers."""

PIECE = 2**16
"""Maximal number of positions that are mixed at once without gradients."""

SHORT = 128
"""Largest number of time steps for which a matrix product is faster than an FFT."""

DIRECT = 512
"""Largest number of time steps that the compiled library convolves, by direct sums."""


class S4D(nn.Module):
    """One diagonal state-space model per channel, applied as a convolution.

    ``A = -exp(a_re) + i a_im``, ``z = (1 + dt A / 2) / (1 - dt A / 2)`` (bilinear), kernel
    ``K_t = 2 Re(sum_n C_n B_n dt / (1 - dt A_n / 2) z_n^t)`` and ``y = K * u + D u``.

    Source: Gu et al. 2022 (arXiv 2206.11893), sections 3 and 4, with the "inverse" initialization (S4D-Inv).
    Cost: the convolution O(H L log L); the kernel O(H N L) operations and O(H (L + N sqrt(L))) memory.
    Half-precision inputs are computed in float32, which FFTs and complex powers need.

    Args:
        channels: H, number of models of state size 64.

    Raises:
        ValueError: ``channels`` is below 1.
    """

    def __init__(self, channels: int, *, skip_scale: float = 1.0) -> None:
        super().__init__()
        self.channels = check_at_least("channels", channels, 1)
        pairs = STATE_SIZE // 2
        self.skip_scale = skip_scale
        self.log_step = nn.Parameter(torch.empty(channels))
        self.log_decay = nn.Parameter(torch.empty(channels, pairs))
        self.frequency = nn.Parameter(torch.empty(channels, pairs))
        # Complex numbers are stored as (re, im): optimizers and files get real parameters.
        self.b = nn.Parameter(torch.empty(channels, pairs, 2))
        self.c = nn.Parameter(torch.empty(channels, pairs, 2))
        self.skip = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Begin anew."""
        channels, pairs = self.frequency.shape
        order = torch.arange(pairs)
        span = math.log(LONGEST_STEP) - math.log(SHORTEST_STEP)
        self.log_step.copy_(torch.rand(channels) * span + math.log(SHORTEST_STEP))
        self.log_decay.fill_(math.log(0.5))
        self.frequency.copy_((STATE_SIZE / math.pi * (STATE_SIZE / (2 * order + 1) - 1)).expand(channels, -1))
        self.b.copy_(torch.tensor([1.0, 0.0]).expand_as(self.b))
        self.c.copy_(torch.randn(channels, pairs, 2) * math.sqrt(0.5))
        self.skip.copy_(torch.randn(channels) * self.skip_scale)

    def poles(self) -> tuple[Tensor, Tensor]:
        """Return log z and the weights ``C B dt / (1 - dt A / 2)`` of the poles z, both complex (H, N / 2)."""
        dtype = torch.float64 if self.c.dtype == torch.float64 else torch.float32
        a = torch.complex(-self.log_decay.to(dtype).exp(), self.frequency.to(dtype))
        step = self.log_step.to(dtype).exp().unsqueeze(-1)
        half = step * a / 2
        weight = torch.view_as_complex(self.c.to(dtype)) * torch.view_as_complex(self.b.to(dtype)) * step / (1 - half)
        # log((1 + half) / (1 - half)) by real functions, which are vectorized.
        re, im = half.real, half.imag
        decay = torch.log1p(4 * re / ((1 - re) ** 2 + im**2)) / 2
        return torch.complex(decay, torch.atan2(im, 1 + re) + torch.atan2(im, 1 - re)), weight

    def kernel(self, length: int) -> Float[Tensor, "h l"]:
        """Return K_0 .. K_(length - 1), in float32, or in float64 for a float64 layer.

        See [`kernel_of`][].
        """
        return kernel_of(*self.poles(), length)

    def forward(self, inputs: Float[Tensor, "b h l"]) -> Float[Tensor, "b h l"]:
        """Convolve channel by channel; position t sees positions 0..t."""
        with torch.autocast(inputs.device.type, enabled=False):  # half precision is too coarse for long kernels
            kernel = self.kernel(inputs.shape[-1])
            signal = inputs.to(kernel.dtype)
            outputs = convolution(signal, kernel)
        return (outputs + self.skip.to(kernel.dtype).unsqueeze(-1) * signal).to(inputs.dtype)

    def both_ways(self, inputs: Float[Tensor, "b d l"]) -> Float[Tensor, "b h l"]:
        """Run the first half of the channels (H = 2 D) forwards over ``inputs``, and the second half backwards.

        The result has its channels first in memory, or last where [`convolves_directly`][]. Inputs whose channels are
        there are not copied. Without gradients, few channels of long inputs are computed at a time: a spectrum takes
        many times the memory of its signal.
        """
        size, channels = inputs.shape[-1], inputs.shape[1]
        if convolves_directly(inputs.mT):
            with torch.autocast(inputs.device.type, enabled=False):
                return self._directly(inputs.mT).mT
        inputs = inputs.transpose(0, 1).contiguous().transpose(0, 1)
        at_once = channels if torch.is_grad_enabled() else max(1, MOST // (len(inputs) * size))
        with torch.autocast(inputs.device.type, enabled=False):
            if at_once >= channels:
                return torch.cat([way.transpose(0, 1) for way in self._both_ways(inputs)]).transpose(0, 1)
            both = inputs.new_empty(2 * channels, len(inputs), size).transpose(0, 1)
            for start in range(0, channels, at_once):
                own = slice(start, min(start + at_once, channels))
                for offset, way in zip((0, channels), self._both_ways(inputs[:, own], own), strict=True):
                    both[:, own.start + offset : own.stop + offset] = way
        return both

    def _directly(self, signal: Float[Tensor, "b l d"]) -> Float[Tensor, "b l h"]:
        kernel = self.kernel(signal.shape[1])
        # A channel's skip connection is part of the first number of its kernel.
        kernel = torch.cat([kernel[:, :1] + self.skip.to(kernel.dtype).unsqueeze(-1), kernel[:, 1:]], dim=1)
        convolved = _DirectConvolution.apply(signal.to(kernel.dtype).contiguous(), kernel.T.contiguous())
        return convolved.to(signal.dtype)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]

    def _both_ways(self, inputs: Tensor, own: slice = slice(None)) -> list[Tensor]:
        """Return some channels of the first half, and those of the second, of the result."""
        poles, weight = (part.unflatten(0, (2, -1))[:, own].flatten(0, 1) for part in self.poles())
        forwards, backwards = kernel_of(poles, weight, inputs.shape[-1]).chunk(2)
        signal = inputs.to(forwards.dtype)
        outputs = [convolution(signal, forwards), convolution(signal, backwards, backwards=True)]
        skips = [skip[own].unsqueeze(-1) for skip in self.skip.to(signal.dtype).chunk(2)]
        return [torch.addcmul(y, skip, signal).to(inputs.dtype) for y, skip in zip(outputs, skips, strict=True)]


def kernel_of(
    log_pole: Complex[Tensor, "h poles"], weight: Complex[Tensor, "h poles"], length: int
) -> Float[Tensor, "h l"]:
    """Return K_0 .. K_(length - 1) of each channel, given what [`S4D.poles`][] returns.

    The powers are split as ``z^(i T + j) = z^(i T) z^j`` with T about sqrt(L), so the sum over n becomes one small
    matrix product per channel. All L N powers at once would take gigabytes at 100,000 tokens.
    """
    stride = math.ceil(math.sqrt(length))
    fine = torch.arange(stride, device=weight.device, dtype=weight.real.dtype)
    coarse = torch.arange(0, length, stride, device=weight.device, dtype=weight.real.dtype)
    rows = weight.unsqueeze(1) * _exponential(log_pole.unsqueeze(1), coarse[:, None])  # (H, I, N/2)
    columns = _exponential(log_pole.unsqueeze(2), fine)  # (H, N/2, J)
    real_rows = torch.cat([rows.real, -rows.imag], dim=2)
    real_columns = torch.cat([columns.real, columns.imag], dim=1)
    return 2 * torch.bmm(real_rows, real_columns).flatten(1)[:, :length]


def _exponential(log_pole: Tensor, exponent: Tensor) -> Tensor:
    """Return ``exp(log_pole * exponent)`` by real functions, which are vectorized."""
    size, angle = (log_pole.real * exponent).exp(), log_pole.imag * exponent
    return torch.complex(size * angle.cos(), size * angle.sin())


class _SpectralConvolution(torch.autograd.Function):
    """A convolution with real FFTs in its backward pass; PyTorch's backward of a real FFT is a slower complex one."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, kernel: Tensor, backwards: bool) -> Tensor:
        size = fft_size(2 * signal.shape[-1])  # room for a convolution that does not wrap around
        ctx.size, ctx.backwards = size, backwards
        signal_spectrum, kernel_spectrum = torch.fft.rfft(signal, n=size), torch.fft.rfft(kernel, n=size)
        if backwards:  # reversing a kernel in time conjugates its spectrum
            kernel_spectrum = kernel_spectrum.conj()
        ctx.save_for_backward(signal_spectrum, kernel_spectrum, signal, kernel)
        return torch.fft.irfft(signal_spectrum * kernel_spectrum, n=size)[..., : signal.shape[-1]]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        signal_spectrum, kernel_spectrum, signal, kernel = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(signal, kernel, gradient, ctx.backwards)
        spectrum = torch.fft.rfft(gradient, n=ctx.size)
        length = gradient.shape[-1]
        signal_gradient = torch.fft.irfft(spectrum * kernel_spectrum.conj(), n=ctx.size)[..., :length]
        of_kernel = (spectrum * signal_spectrum.conj()).sum(0)
        kernel_gradient = torch.fft.irfft(of_kernel.conj() if ctx.backwards else of_kernel, n=ctx.size)[..., :length]
        return signal_gradient, kernel_gradient, None


class _ToeplitzConvolution(torch.autograd.Function):
    """A convolution as a product with each channel's Toeplitz matrix ``T[s, t] = K_(t - s)``."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, kernel: Tensor, backwards: bool) -> Tensor:
        length = signal.shape[-1]
        matrix = functional.pad(kernel, (length - 1, 0)).unfold(1, length, 1).flip(1)
        ctx.backwards = backwards
        ctx.save_for_backward(signal, matrix, kernel)
        return torch.bmm(signal.transpose(0, 1), matrix.mT if backwards else matrix).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        signal, matrix, kernel = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable_gradients(signal, kernel, gradient, ctx.backwards)
        signal, gradient, length = signal.transpose(0, 1), gradient.transpose(0, 1), gradient.shape[-1]
        of_signal = torch.bmm(gradient, matrix if ctx.backwards else matrix.mT).transpose(0, 1)
        of_matrix = torch.bmm(gradient.mT, signal) if ctx.backwards else torch.bmm(signal.mT, gradient)
        # The kernel's gradient is the sum along each diagonal. Pad rows to 2 L and view them as rows of 2 L - 1: each
        # row is shifted by one, so diagonals become columns.
        skewed = functional.pad(of_matrix.flip(1), (0, length)).flatten(1)[:, : length * (2 * length - 1)]
        return of_signal, skewed.unflatten(1, (length, -1)).sum(1)[:, length - 1 :], None


class _DirectConvolution(torch.autograd.Function):
    """The convolutions of both directions, as direct sums in the compiled library."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, kernel: Tensor) -> Tensor:
        """Convolve ``signal`` (B, L, D) with ``kernel`` (L, 2 D)."""
        ctx.save_for_backward(signal, kernel)
        result = signal.new_empty(*signal.shape[:2], kernel.shape[1])
        _call(signal, kernel, address(result))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        signal, kernel = ctx.saved_tensors
        if torch.is_grad_enabled():
            ways = zip(kernel.mT.chunk(2), gradient.mT.chunk(2, dim=1), (False, True), strict=True)
            found = [_differentiable_gradients(signal.mT, own, above, back)[:2] for own, above, back in ways]
            (of_signal, of_forwards), (more, of_backwards) = found
            return (of_signal + more).mT, torch.cat([of_forwards, of_backwards]).mT
        gradient = gradient.contiguous()
        of_signal, of_kernel = torch.empty_like(signal), torch.empty_like(kernel)
        _call(signal, kernel, None, *map(address, (gradient, of_signal, of_kernel)))
        return of_signal, of_kernel


def _call(signal: Tensor, kernel: Tensor, *rest: int | None) -> None:
    functions = library.load()
    assert functions is not None
    parts = min(torch.get_num_threads(), -(-signal.shape[2] // 16))  # no thread without a vector of channels
    call = Convolution(len(signal), *signal.shape[1:], parts, address(signal), address(kernel), *rest)
    functions[signal.dtype].convolve(byref(call))


def _transformed() -> bool:
    """Return whether torch.func or forward-mode derivatives are active."""
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


def convolves_directly(signal: Float[Tensor, "b l d"]) -> bool:
    """Return whether the compiled library convolves this signal."""
    if type(signal) is not Tensor or signal.device.type != "cpu" or signal.shape[1] > DIRECT:
        return False
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    if traced or _transformed():
        return False
    return signal.numel() > 0 and library.load() is not None


def convolution(
    signal: Float[Tensor, "b h l"], kernel: Float[Tensor, "h l"], *, backwards: bool = False
) -> Float[Tensor, "b h l"]:
    """Return ``y_t = sum_(s <= t) K_(t - s) u_s``, channel by channel; or ``sum_(s >= t) K_(s - t) u_s`` backwards.

    Computed by FFT, or, up to [`SHORT`][] steps, as a product with each channel's Toeplitz matrix, which is faster.
    """
    if _transformed():
        return plain_convolution(signal, kernel, backwards=backwards)
    length = signal.shape[-1]
    if length > SHORT:
        return _SpectralConvolution.apply(signal, kernel, backwards)  # pyright: ignore[reportReturnType]
    return _ToeplitzConvolution.apply(signal, kernel, backwards)  # pyright: ignore[reportReturnType]


def plain_convolution(signal: Tensor, kernel: Tensor, *, backwards: bool = False) -> Tensor:
    """Return what [`convolution`][] does, by operations that PyTorch can differentiate in any way."""
    length = signal.shape[-1]
    size = fft_size(2 * length)
    kernel_spectrum = torch.fft.rfft(kernel, n=size)
    spectrum = torch.fft.rfft(signal, n=size) * (kernel_spectrum.conj() if backwards else kernel_spectrum)
    return torch.fft.irfft(spectrum, n=size)[..., :length]


def _differentiable_gradients(
    signal: Tensor, kernel: Tensor, gradient: Tensor, backwards: bool
) -> tuple[Tensor, Tensor, None]:
    """Return the gradients of a convolution's arguments as functions of all three tensors."""
    with torch.enable_grad():
        # Views: they have a graph of their own below the arguments', even where an argument needs no gradient.
        sources = [
            tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
            for tensor in (signal, kernel)
        ]
        output = plain_convolution(*sources, backwards=backwards)
        of_signal, of_kernel = torch.autograd.grad(output, sources, gradient, create_graph=True)
    return of_signal, of_kernel, None


def fft_size(least: int) -> int:
    """Return the smallest size of at least ``least`` with a fast FFT: a power of two times 1, 3, 5, 9 or 15."""
    return min(odd << max(0, math.ceil(math.log2(least / odd))) for odd in (1, 3, 5, 9, 15))


class _ZeroLinear(nn.Linear):
    """A linear layer that begins at zero."""

    def reset_parameters(self) -> None:
        super().reset_parameters()  # for what it draws: what comes after it begins as it does without
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class BidirectionalS4D(nn.Module):
    """RIR's context layer: gives each state information about the whole sequence, before the sequence is cut.

    An S4D of 2 D channels runs over the sequence, half of its channels forwards and half backwards, followed by
    dropout, GELU and dropout (masks tied over time). The output is ``x + GLU(W y)``. Padding is set to zero, so running
    backwards over it is the same as reversing each sequence at its length.

    Source: Ray Chowdhury and Caragea 2023 (arXiv 2311.04449), section 4; here, gradients reach both halves.

    Args:
        dim: width D of a state.
        dropout: share of channels dropped during training.
        zero_init: initialise W and its bias with zeros.

    Raises:
        ValueError: ``dim`` is below 1 or ``dropout`` not in [0, 1).
    """

    def __init__(self, dim: int, *, dropout: float = 0.1, zero_init: bool = False) -> None:
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)
        self.ssm = S4D(2 * dim)
        # Dropout1d drops whole channels: the mask is the same at every time step.
        self.dropout = nn.Dropout1d(check_probability("dropout", dropout))
        self.mix = (_ZeroLinear if zero_init else nn.Linear)(2 * dim, 2 * dim)

    def forward(
        self, states: Float[Tensor, "b l d"] | Float[Tensor, "t d"], lengths: Tensor | Sequence[int]
    ) -> Float[Tensor, "b l d"] | Float[Tensor, "t d"]:
        """Return states of the same shape.

        Args:
            states: (B, L, D), or (T, D), concatenated sequences, which run in buckets of similar length.
            lengths: (B,) of the sequences.
        """
        if states.ndim == 2:
            buckets = Buckets(lengths if isinstance(lengths, Sequence) else lengths.tolist())
            return buckets.packed([self._run(part) for part in buckets.padded(states)])
        lengths = lengths if isinstance(lengths, Tensor) else torch.tensor(lengths, device=states.device)
        real = real_positions(lengths, states.shape[1])
        return self._run(states.masked_fill(~real.unsqueeze(-1), 0))

    def _run(self, states: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        both = self.ssm.both_ways(states.mT)
        return in_pieces(self._mix, both, states, whole=self.training)

    def _mix(self, both: Float[Tensor, "b h l"], states: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        seen = drop_channels(functional.gelu(drop_channels(both.mT, self.dropout)), self.dropout)
        return states + functional.glu(self.mix(seen), dim=-1)


def drop_channels(states: Float[Tensor, "b l d"], dropout: nn.Dropout1d) -> Float[Tensor, "b l d"]:
    """Drop whole channels of each sequence. Unlike the module alone, this is fast in any order of memory."""
    if not dropout.training or dropout.p == 0:
        return states
    return states * dropout(states.new_ones(states.shape[2], states.shape[0], 1)).permute(1, 2, 0)


def in_pieces(
    mix: Callable[[Tensor, Tensor], Tensor],
    both: Float[Tensor, "b h l"],
    states: Float[Tensor, "b l d"],
    *,
    whole: bool,
) -> Float[Tensor, "b l d"]:
    """Return ``mix(both, states)``; piece by piece of a long sequence, unless ``whole`` or gradients need it all."""
    length = states.shape[1]
    if whole or torch.is_grad_enabled() or length <= PIECE:
        return mix(both, states)
    mixed: Tensor | None = None
    for start in range(0, length, PIECE):
        end = start + PIECE
        piece = mix(both[..., start:end], states[:, start:end])
        if mixed is None:
            mixed = piece.new_empty(states.shape)
        mixed[:, start:end] = piece
    assert mixed is not None
    return mixed


def ssm_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of every S4D in ``module``; their learning rate is capped, without weight decay."""
    return [parameter for part in module.modules() if isinstance(part, S4D) for parameter in part.parameters()]
