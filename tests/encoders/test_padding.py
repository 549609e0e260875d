"""Padding is not computed: buckets and packed states give what each sequence gives alone, gradients too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import nestree
from nestree import buckets
from nestree.layers import BidirectionalS4D, s4d
from nestree.models import Classifier
from nestree.recursions import KeyedDraws, base
from nestree.recursions.beam import one_soft
from support.reference import padded, randomize

DIM = 6
MIXED = [2, 41, 3, 1, 17, 2, 40, 3, 18, 1, 2, 16, 3, 2]
EVERY = pytest.mark.parametrize("name", nestree.ENCODERS)
TREELESS = ("s4d", "transformer", "bilstm", "bow")
WITH_TOKENS = {
    "transformer": {},
    "s4d": {},
    "bilstm": {},
    "rir-ebt-grc": {"token_rounds": 1},
    "ebt-grc": {"token_rounds": 1},
}
SMALL = {"dim": DIM, "arity": 4, "beam_size": 2, "scorer_width": 3, "layers": 2, "heads": 2}


def build(name: str, **options: object) -> nestree.Encoder:
    """A small encoder in float64, in training, without dropout from the global generator."""
    chosen = SMALL | {"dropout": 0.0, "s4d_dropout": 0.0, "memory_dropout": 0.0} | options
    known = nestree.ENCODERS[name].__dataclass_fields__
    torch.manual_seed(1)
    return nestree.build(name, **{key: value for key, value in chosen.items() if key in known}).double()


@pytest.fixture
def _splitting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the smallest batches too."""
    monkeypatch.setattr(buckets, "POSITIONS", 0)
    for module in (base, one_soft):
        monkeypatch.setattr(module, "STEP", 0)


splitting = pytest.mark.usefixtures("_splitting")


def gradients(encoder: nestree.Encoder, root: Tensor, *inputs: Tensor) -> list[Tensor]:
    weight = torch.arange(1.0, root.numel() + 1, dtype=root.dtype).sin().view(root.shape)
    wanted = [*inputs, *encoder.parameters()]
    found = torch.autograd.grad((root * weight).sum(), wanted, allow_unused=True)
    return [torch.zeros_like(of) if own is None else own for of, own in zip(wanted, found, strict=True)]


def packed_of(lengths: list[int]) -> tuple[Tensor, list[int]]:
    states = buckets.pack(padded(lengths, DIM), lengths).requires_grad_()
    return states, [0, *torch.tensor(lengths).cumsum(0).tolist()]


@EVERY
@splitting
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_mixed_batch_is_what_one_bucket_gives(name: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch statistics too."""
    assert len(buckets.plan(MIXED, 4)) > 1
    encoder, results = build(name).train(training), []
    for positions in (0, 10**9):
        monkeypatch.setattr(buckets, "POSITIONS", positions)
        states = padded(MIXED, DIM).requires_grad_()
        root = encoder(states, torch.tensor(MIXED), draws=KeyedDraws(1)).root
        results.append([root, *gradients(encoder, root, states)])
    assert len(buckets.plan(MIXED, 4)) == 1
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@EVERY
@splitting
def test_a_mixed_batch_is_what_each_sequence_gives_alone(name: str) -> None:
    encoder = build(name).eval()
    randomize(encoder, 3)
    states = padded(MIXED, DIM).requires_grad_()
    root = encoder(states, torch.tensor(MIXED)).root
    alone = torch.cat([encoder(states[row : row + 1, :length]).root for row, length in enumerate(MIXED)])
    torch.testing.assert_close(root, alone, atol=1e-9, rtol=1e-9)
    for one, other in zip(gradients(encoder, root, states), gradients(encoder, alone, states), strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("name", [name for name in nestree.ENCODERS if name not in TREELESS])
@splitting
def test_trees_of_a_mixed_batch_are_those_of_each_sequence_alone(name: str) -> None:
    encoder = build(name).eval()
    randomize(encoder, 3)
    states = padded(MIXED, DIM)
    together = encoder(states, torch.tensor(MIXED), trees=True).trees
    for row, length in enumerate(MIXED):
        (alone,) = encoder(states[row : row + 1, :length], trees=True).trees
        assert [parsed.tree for parsed in together[row]] == [parsed.tree for parsed in alone]


@EVERY
@splitting
@pytest.mark.parametrize("lengths", [MIXED, [5], [4, 4]], ids=["mixed", "one", "equal"])
def test_cu_seqlens_give_what_padding_gives(name: str, lengths: list[int]) -> None:
    encoder = build(name)
    states = padded(lengths, DIM).requires_grad_()
    root = encoder(states, torch.tensor(lengths), draws=KeyedDraws(1)).root
    packed, ends = packed_of(lengths)
    found = encoder(packed, cu_seqlens=torch.tensor(ends, dtype=torch.int32), draws=KeyedDraws(1)).root
    torch.testing.assert_close(found, root, atol=1e-12, rtol=1e-12)
    of_packed, *of_parameters = gradients(encoder, found, packed)
    of_states, *expected = gradients(encoder, root, states)
    torch.testing.assert_close(of_packed, buckets.pack(of_states, lengths), atol=1e-12, rtol=1e-12)
    for one, other in zip(of_parameters, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", WITH_TOKENS)
@splitting
def test_tokens_are_returned_as_the_states_were_given(name: str) -> None:
    encoder = build(name, **WITH_TOKENS[name]).eval()
    states, lengths = padded(MIXED, DIM, extra=2), torch.tensor(MIXED)
    tokens = encoder(states, lengths, tokens=True).tokens
    assert tokens.shape == states.shape
    assert bool((tokens[states.isnan()] == 0).all())
    packed, ends = packed_of(MIXED)
    of_packed = nestree.Contextualizer(encoder)(packed, cu_seqlens=ends)
    torch.testing.assert_close(of_packed, buckets.pack(tokens, MIXED), atol=1e-12, rtol=1e-12)
    in_time = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
    torch.testing.assert_close(encoder(in_time, tokens=True).tokens, tokens[:, :-2], atol=1e-12, rtol=1e-12)


class Largest(TorchDispatchMode):
    """Notes the most numbers that a tensor has which an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.numel())
        return found


@pytest.mark.parametrize("name", ["s4d", "grc", "bbt-grc", "rir-grc"])
@splitting
@pytest.mark.parametrize("given", ["cu_seqlens", "tokens"])
def test_nothing_has_the_size_of_the_padded_batch(name: str, given: str) -> None:
    lengths = [300] + [2] * 200
    encoder = build(name)
    with Largest() as largest:
        if given == "tokens":
            model = Classifier(encoder, vocabulary_size=9, classes=2).double()
            logits = model(torch.ones(201, 300, dtype=torch.int8), torch.tensor(lengths))
            logits.sum().backward()
        else:
            packed, ends = packed_of(lengths)
            packed = packed.detach().requires_grad_()
            largest.numbers = 0
            encoder(packed, cu_seqlens=ends).root.sum().backward()
    assert 0 < largest.numbers < 201 * 300 * DIM / 2


def test_a_classifier_reads_a_mixed_batch_as_each_sequence_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    model = Classifier(build("rir-grc"), vocabulary_size=9, classes=3).double().eval()
    tokens = torch.randint(1, 9, (len(MIXED), max(MIXED)))
    shapes: list[int] = []
    model.embedding.register_forward_hook(lambda _, __, output: shapes.append(output.ndim))
    whole = model(tokens, torch.tensor(MIXED))
    monkeypatch.setattr(buckets, "POSITIONS", 0)
    cut = model(tokens, torch.tensor(MIXED))
    assert shapes == [3, 2]
    alone = torch.cat([model(tokens[row : row + 1, :n], torch.tensor([n])) for row, n in enumerate(MIXED)])
    torch.testing.assert_close(cut, alone, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(cut, whole, atol=1e-10, rtol=1e-10)
    cut_gradients, whole_gradients = (
        torch.autograd.grad(logits.sin().sum(), list(model.parameters())) for logits in (cut, whole)
    )
    for one, other in zip(cut_gradients, whole_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@splitting
def test_bad_lengths_and_tokens_of_a_mixed_batch_are_named() -> None:
    model = Classifier(build("rir-grc"), vocabulary_size=9, classes=3).double()
    tokens = torch.ones(2, 40, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^lengths\[1\] must be from 1 to 40"):
        model(tokens, torch.tensor([1, 41]))
    tokens[1, 3] = 9
    with pytest.raises(ValueError, match=r"^tokens\[1, 3\] must be from 0 to 8"):
        model(tokens, torch.tensor([1, 40]))


@pytest.mark.parametrize("make", [lambda: BidirectionalS4D(DIM), lambda: build("s4d")], ids=["layer", "stack"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_long_inputs_are_convolved_and_mixed_piece_by_piece(
    make: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make().to(dtype).eval()
    states, lengths = padded([9, 300, 150], DIM).nan_to_num(0.0).to(dtype), torch.tensor([9, 300, 150])

    def run() -> Tensor:
        found = module(states, lengths)
        return found if isinstance(found, Tensor) else found.root

    expected = run()
    monkeypatch.setattr(s4d, "MOST", 3 * 300 * 4)
    monkeypatch.setattr(s4d, "PIECE", 64)
    with torch.no_grad():
        found = run()
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert torch.equal(run(), expected)  # gradients need it whole


def test_dropout_of_a_single_bucket_is_drawn_as_for_a_padded_batch() -> None:
    layer = BidirectionalS4D(DIM, dropout=0.4)
    states, lengths = padded([9, 4, 7], DIM, dtype=torch.float32).nan_to_num(0.0), [9, 4, 7]
    torch.manual_seed(5)
    expected = layer(states, torch.tensor(lengths))
    torch.manual_seed(5)
    assert torch.equal(layer(buckets.pack(states, lengths), lengths), buckets.pack(expected, lengths))


def bad_arguments() -> Iterator[tuple[str, Tensor, dict[str, Any], str]]:
    states = torch.zeros(5, DIM, dtype=torch.float64)
    broken = states.clone()
    broken[3, 1] = torch.nan
    yield "no beginning", states, {"cu_seqlens": [1, 5]}, "cu_seqlens must begin with 0 and end with 5"
    yield "short", states, {"cu_seqlens": [0, 4]}, "cu_seqlens must begin with 0 and end with 5"
    yield "empty sequence", states, {"cu_seqlens": [0, 2, 2, 5]}, r"cu_seqlens\[2\] is 2, which must be above 2"
    yield "backwards", states, {"cu_seqlens": [0, 4, 3, 5]}, r"cu_seqlens\[2\] is 3, which must be above 4"
    yield "no sequence", states, {"cu_seqlens": [0]}, "cu_seqlens must have the shape"
    yield "a matrix", states, {"cu_seqlens": torch.tensor([[0, 5]])}, "cu_seqlens must have the shape"
    yield "floats", states, {"cu_seqlens": torch.tensor([0.0, 5.0])}, "cu_seqlens must be integers"
    yield "lengths too", states, {"cu_seqlens": [0, 5], "lengths": [5]}, "cu_seqlens must be left out"
    yield "a mask too", states, {"cu_seqlens": [0, 5], "mask": torch.ones(1, 5)}, "cu_seqlens must be left out"
    yield "padded", states[None], {"cu_seqlens": [0, 5]}, r"states must have the shape \(tokens, 6\)"
    yield "wide", states[:, :4], {"cu_seqlens": [0, 5]}, r"states must have the shape \(tokens, 6\)"
    yield "integers", states.long(), {"cu_seqlens": [0, 5]}, "states must be floating-point"
    yield "other dtype", states.float(), {"cu_seqlens": [0, 5]}, "states must be torch.float64"
    yield "NaN", broken, {"cu_seqlens": [0, 2, 5]}, r"states\[3\] has a NaN"


@pytest.mark.parametrize("name", ["rir-grc", "transformer"])
@pytest.mark.parametrize(
    ("states", "options", "message"),
    [case[1:] for case in bad_arguments()],
    ids=[case[0] for case in bad_arguments()],
)
def test_bad_cu_seqlens_are_named(name: str, states: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        build(name)(states, **options)


def test_nested_states_that_do_not_fit_are_named() -> None:
    encoder = build("rir-grc")
    for sequences, message in (
        ([torch.zeros(3, DIM), torch.zeros(0, DIM)], "none without tokens"),
        ([torch.zeros(3, DIM + 1)], r"states must have the shape \(tokens, 6\)"),
        ([torch.zeros(3, DIM, dtype=torch.int64)], "states must be floating-point"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder(torch.nested.nested_tensor(sequences, layout=torch.jagged))
