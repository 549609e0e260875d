"""S4D, Transformer, LSTM and bag of words against loops over single positions, with every gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nestree
from nestree.buckets import Buckets
from nestree.encoders.lstm import LSTM
from nestree.encoders.s4d import S4DLayer, S4DStack, normalized
from nestree.encoders.transformer import Transformer, sinusoids
from nestree.layers.s4d import S4D, SHORT
from support.reference import assert_same_gradients, gelu, layer_norm, padded, randomize

DIM = 4
LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=3)
Sequences = list[list[Tensor]]


def states_of(lengths: list[int]) -> tuple[Tensor, Sequences]:
    """A padded batch, and the same as vectors."""
    states = padded(lengths, DIM).requires_grad_()
    return states, [list(states[row, :length]) for row, length in enumerate(lengths)]


# --- the equations once more


def run_through(ssm: S4D, channel: int, signal: list[Tensor]) -> list[Tensor]:
    """One channel's state-space model by its recurrence: ``s = z s + u``, ``y = 2 Re(weight . s) + D u``."""
    a = torch.complex(-ssm.log_decay[channel].exp(), ssm.frequency[channel])
    step = ssm.log_step[channel].exp()
    pole = (1 + step * a / 2) / (1 - step * a / 2)
    b, c = (torch.complex(*part[channel].unbind(-1)) for part in (ssm.b, ssm.c))
    weight = c * b * step / (1 - step * a / 2)
    state, outputs = torch.zeros_like(pole), []
    for value in signal:
        state = pole * state + value
        outputs.append(2 * (weight * state).sum().real + ssm.skip[channel] * value)
    return outputs


def normalize(norm: nn.BatchNorm1d, sequences: Sequences, *, training: bool) -> Sequences:
    together = torch.stack([vector for sequence in sequences for vector in sequence])
    mean, variance = norm.running_mean, norm.running_var
    if training and len(together) > 1:
        mean = together.mean(0)
        variance = ((together - mean) ** 2).mean(0)
    return [[(x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias for x in row] for row in sequences]


def s4d_layer(layer: S4DLayer, sequences: Sequences, *, training: bool) -> Sequences:
    inputs = normalize(layer.norm, sequences, training=training) if layer.prenorm else sequences
    results = []
    for sequence, before in zip(inputs, sequences, strict=True):
        channels = []
        for d in range(DIM):
            signal = [vector[d] for vector in sequence]
            ahead = run_through(layer.ssm, d, signal)
            back = run_through(layer.ssm, DIM + d, signal[::-1])[::-1]
            channels.append([gelu(one + other) for one, other in zip(ahead, back, strict=True)])
        seen = [torch.stack(position) for position in zip(*channels, strict=True)]
        mixed = [layer.mix.weight @ y + layer.mix.bias for y in seen]
        results.append([x + m[:DIM] / (1 + torch.exp(-m[DIM:])) for x, m in zip(before, mixed, strict=True)])
    return results if layer.prenorm else normalize(layer.norm, results, training=training)


def s4d_stack(encoder: S4DStack, sequences: Sequences) -> Tensor:
    for layer in encoder.layers:
        assert isinstance(layer, S4DLayer)
        sequences = s4d_layer(layer, sequences, training=encoder.training)
    return torch.stack([sum(sequence) / len(sequence) for sequence in sequences])


def attend(attention: nn.Module, items: list[Tensor], heads: int) -> list[Tensor]:
    parameters = dict(attention.named_parameters())
    projected = [parameters["in_proj_weight"] @ x + parameters["in_proj_bias"] for x in items]
    width = DIM // heads
    outputs = []
    for asking in projected:
        found = []
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            query = asking[:DIM][own]
            scores = [(query @ other[DIM : 2 * DIM][own] / math.sqrt(width)).exp() for other in projected]
            found.append(
                sum(s * other[2 * DIM :][own] for s, other in zip(scores, projected, strict=True)) / sum(scores)
            )
        outputs.append(parameters["out_proj.weight"] @ torch.cat(found) + parameters["out_proj.bias"])
    return outputs


def transformer(encoder: Transformer, sequences: Sequences, heads: int) -> Tensor:
    roots = []
    for sequence in sequences:
        items = [x + position(t) for t, x in enumerate(sequence)]
        for layer in encoder.layers:
            attended = attend(layer.self_attn, [layer_norm(x, layer.norm1) for x in items], heads)
            items = [x + y for x, y in zip(items, attended, strict=True)]
            inner = [gelu(layer.linear1.weight @ layer_norm(x, layer.norm2) + layer.linear1.bias) for x in items]
            items = [x + layer.linear2.weight @ h + layer.linear2.bias for x, h in zip(items, inner, strict=True)]
        roots.append(sum(layer_norm(x, encoder.norm) for x in items) / len(items))
    return torch.stack(roots)


def position(t: int) -> Tensor:
    angles = [t / 10_000 ** (2 * (feature // 2) / DIM) for feature in range(DIM)]
    waves = [math.cos(angle) if feature % 2 else math.sin(angle) for feature, angle in enumerate(angles)]
    return torch.tensor(waves, dtype=torch.float64)


# --- compared


def assert_same(encoder: nn.Module, states: Tensor, root: Tensor, expected: Tensor, tolerance: float) -> None:
    """Roots, and the gradients of a weighting of them."""
    torch.testing.assert_close(root, expected, atol=tolerance, rtol=tolerance)
    weights = torch.arange(1.0, root.numel() + 1, dtype=root.dtype).view_as(root).cos()
    one, other = ((found * weights).sum() for found in (root, expected))
    of_states = [torch.autograd.grad(value, states, retain_graph=True)[0] for value in (one, other)]
    torch.testing.assert_close(*of_states, atol=tolerance, rtol=tolerance)
    assert_same_gradients(encoder, one, other, tolerance=tolerance)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("prenorm", [True, False], ids=["prenorm", "postnorm"])
@settings(max_examples=5)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_s4d_is_its_recurrence(prenorm: bool, training: bool, lengths: list[int], seed: int) -> None:
    encoder = randomize(S4DStack(DIM, layers=2, prenorm=prenorm).double(), seed).train(training)
    with torch.no_grad():
        for layer in encoder.layers:
            layer.norm.running_mean.copy_(torch.linspace(-1, 1, DIM))
            layer.norm.running_var.copy_(torch.linspace(0.5, 2, DIM))
    states, sequences = states_of(lengths)
    expected = s4d_stack(encoder, sequences)
    root = encoder(states, torch.tensor(lengths)).root
    # Where a batch has hardly any variance, a layer magnifies rounding by up to 1 / sqrt(1e-5).
    assert_same(encoder, states, root, expected, 1e-7)


def test_s4d_is_its_recurrence_where_it_convolves_by_fft() -> None:
    encoder = S4DStack(DIM, layers=1).double().train()
    states, sequences = states_of([SHORT + 3])
    expected = s4d_stack(encoder, sequences)
    torch.testing.assert_close(encoder(states, torch.tensor([SHORT + 3])).root, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("heads", [1, 2, 4])
@settings(max_examples=5)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_transformer_is_its_equations(heads: int, training: bool, lengths: list[int], seed: int) -> None:
    encoder = Transformer(DIM, layers=2, heads=heads, feedforward=5, dropout=0.0).double()
    randomize(encoder, seed).train(training)
    states, sequences = states_of(lengths)
    expected = transformer(encoder, sequences, heads)
    root = encoder(states, torch.tensor(lengths)).root
    assert_same(encoder, states, root, expected, 1e-9)


def lstm(weights: dict[str, Tensor], suffix: str, sequence: list[Tensor]) -> list[Tensor]:
    """One direction of one layer: a state per step."""
    hidden = weights[f"weight_hh{suffix}"].shape[1]
    state = cell = torch.zeros(hidden, dtype=torch.float64)
    states = []
    for x in sequence:
        gates = weights[f"weight_ih{suffix}"] @ x + weights[f"bias_ih{suffix}"]
        gates = gates + weights[f"weight_hh{suffix}"] @ state + weights[f"bias_hh{suffix}"]
        keep, forget, new, out = gates.view(4, hidden)
        cell = forget.sigmoid() * cell + keep.sigmoid() * new.tanh()
        state = out.sigmoid() * cell.tanh()
        states.append(state)
    return states


def bilstm(encoder: LSTM, sequences: Sequences) -> Tensor:
    weights, roots = dict(encoder.lstm.named_parameters()), []
    for items in sequences:
        for layer in range(encoder.lstm.num_layers):
            ahead = lstm(weights, f"_l{layer}", items)
            back = lstm(weights, f"_l{layer}_reverse", items[::-1])[::-1] if encoder.lstm.bidirectional else None
            last = [ahead[-1]] if back is None else [ahead[-1], back[0]]
            items = ahead if back is None else [torch.cat(both) for both in zip(ahead, back, strict=True)]
        seen = encoder.projection(torch.stack(items))
        pooled = {"max": seen.amax(0), "mean": seen.sum(0) / len(seen), "last": encoder.projection(torch.cat(last))}
        roots.append(pooled[encoder.pool])
    return torch.stack(roots)


@pytest.mark.parametrize("pool", ["max", "mean", "last"])
@pytest.mark.parametrize("options", [{}, {"layers": 2, "hidden": 3}, {"bidirectional": False}], ids=str)
@settings(max_examples=5)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_lstm_is_its_equations(pool: str, options: dict, lengths: list[int], seed: int) -> None:
    encoder = randomize(LSTM(DIM, pool=pool, dropout=0.0, **options).double(), seed)
    states, sequences = states_of(lengths)
    assert_same(encoder, states, encoder(states, torch.tensor(lengths)).root, bilstm(encoder, sequences), 1e-9)


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
@settings(max_examples=5)
@given(lengths=LENGTHS)
def test_a_bag_of_words_is_one_sum_or_maximum(pool: str, lengths: list[int]) -> None:
    states, sequences = states_of(lengths)
    found = nestree.build("bow", dim=DIM, pool=pool).eval()(states, torch.tensor(lengths)).root
    whole = {"mean": lambda s: sum(s) / len(s), "sum": sum, "max": lambda s: torch.stack(s).amax(0)}[pool]
    torch.testing.assert_close(found, torch.stack([whole(sequence) for sequence in sequences]))


def test_an_lstm_of_an_odd_width_is_projected() -> None:
    assert nestree.build("bilstm", dim=5)(torch.zeros(1, 2, 5), [2]).root.shape == (1, 5)


@pytest.mark.parametrize("name", ["s4d", "transformer"])
@pytest.mark.parametrize("length", [40, 200])
def test_float32_is_close_to_float64(name: str, length: int) -> None:
    encoder, states, lengths = nestree.build(name, dim=16).eval(), padded([length, 7], 16), torch.tensor([length, 7])
    single = encoder(states.float(), lengths).root
    torch.testing.assert_close(single.double(), encoder.double()(states, lengths).root, atol=2e-4, rtol=2e-4)


# --- batch statistics


@pytest.mark.parametrize("prenorm", [True, False], ids=["before", "behind"])
def test_statistics_are_those_of_real_positions(prenorm: bool) -> None:
    encoder = S4DStack(DIM, layers=1, prenorm=prenorm).double()
    norm = encoder.layers[0].norm
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    states, _ = states_of([5, 2])
    tokens = encoder(states + 4, torch.tensor([5, 2]), tokens=True).tokens
    (rows,) = seen
    assert rows.shape == (7, DIM)
    torch.testing.assert_close(norm.running_mean, 0.1 * rows.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * rows.var(0))
    if prenorm:
        assert torch.equal(rows, torch.cat([states[0, :5], states[1, :2]]).detach() + 4)
    else:
        real = torch.cat([tokens[0, :5], tokens[1, :2]])
        torch.testing.assert_close(real.mean(0), torch.zeros(DIM, dtype=torch.float64), atol=1e-10, rtol=0)


def test_a_single_position_is_normalized_by_running_statistics() -> None:
    norm, states = nn.BatchNorm1d(3), torch.randn(1, 3)
    in_training = normalized(norm, states)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert torch.equal(normalized(norm.eval(), states), in_training)


def test_the_two_directions_skips_begin_as_one_standard_normal() -> None:
    forwards, backwards = S4DLayer(4000, dropout=0.0, prenorm=False).ssm.skip.detach().chunk(2)
    assert (forwards + backwards).var().item() == pytest.approx(1, abs=0.1)


def test_s4d_dropout_is_tied_over_time() -> None:
    layer = S4DLayer(200, dropout=0.3, prenorm=True).double()
    layer.mix = nn.Identity()  # type: ignore[assignment]
    layer.mix.forward = lambda seen: torch.cat([seen, torch.full_like(seen, 50.0)], -1)  # a gate that is open
    states = torch.randn(18, 200, dtype=torch.float64)
    dropped = (layer(states, Buckets([9, 9])) == states).unflatten(0, (2, 9))
    assert torch.equal(dropped.all(1), dropped.any(1))
    assert dropped[:, 0].double().mean().item() == pytest.approx(0.3, abs=0.1)


# --- what a Transformer must not do


@pytest.mark.parametrize("length", [1, 2, 9, 5000])
def test_positions_are_computed_for_any_length(length: int) -> None:
    found = sinusoids(length, DIM, torch.zeros(1, dtype=torch.float64))
    assert found.shape == (length, DIM)
    torch.testing.assert_close(found[-1], position(length - 1), atol=1e-9, rtol=1e-9)


def test_an_odd_width_has_positions_too() -> None:
    assert sinusoids(4, 5, torch.zeros(1)).shape == (4, 5)


def test_layers_do_not_begin_as_copies_of_one() -> None:
    first, second = nestree.build("transformer", dim=8, layers=2).layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_all_attention_weights_are_never_held_at_once(
    mode: Callable, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's fused kernels for evaluation, and dropped attention weights, would take memory of L x L."""
    used = []
    attention = nn.functional.scaled_dot_product_attention

    def watched(*arguments: Tensor, **options: object) -> Tensor:
        used.append(options.get("dropout_p", arguments[4] if len(arguments) > 4 else 0.0))
        return attention(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", watched)
    encoder = nestree.build("transformer", dim=8, layers=3, dropout=0.2).train(training)
    with mode():
        encoder(padded([6, 3], 8, dtype=torch.float32), torch.tensor([6, 3]))
    assert used == [0.0] * 3


# --- options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"dim": 128, "heads": 5}, "heads must divide dim, which is 128, not 5"),
        ("transformer", {"dim": 6}, "heads must divide dim, which is 6, not 4"),
        ("transformer", {"heads": 0}, "heads must be an integer of at least 1, not 0"),
        ("transformer", {"layers": 0}, "layers must be an integer of at least 1, not 0"),
        ("transformer", {"feedforward": 1.5}, "feedforward must be an integer of at least 1, not 1.5"),
        ("bilstm", {"layers": 0}, "layers must be an integer of at least 1, not 0"),
        ("bilstm", {"hidden": 0}, "hidden must be an integer of at least 1, not 0"),
        ("bilstm", {"pool": "sum"}, "pool must be one of max, mean, last, not 'sum'"),
        ("bow", {"pool": "last"}, "pool must be one of mean, sum, max, not 'last'"),
        ("bow", {"layers": -1}, "layers must be an integer of at least 0, not -1"),
        ("s4d", {"layers": 0}, "layers must be an integer of at least 1, not 0"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_options_are_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        nestree.build(name, **options)
