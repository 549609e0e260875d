"""What every encoder of the registry keeps to, whichever it is."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

import nestree
from nestree.layers.s4d import S4D
from nestree.recursions import KeyedDraws, Outer
from nestree.recursions.beam.options import ENGINES
from support.reference import padded, randomize

DIM = 6
EVERY_ENCODER = pytest.mark.parametrize("name", nestree.ENCODERS)
TREELESS = ("s4d", "transformer", "bilstm", "bow")
"""Encoders that find no trees."""
BATCH_NORMALIZED = ("s4d",)
"""Encoders whose training depends on the whole batch."""
BEAM_TREES = pytest.mark.parametrize(
    "name", [name for name, options in nestree.ENCODERS.items() if "engine" in options.__dataclass_fields__]
)
DRAWN = re.compile(r"\b(e?bt|e?gt)-")
"""Encoders whose dropout masks come from their draws."""
LENGTHS = st.lists(st.integers(1, 10), min_size=2, max_size=3)


def build(name: str, **options: object) -> nestree.Encoder:
    """A small encoder in float64, at evaluation; one with an arity cuts sequences from four tokens."""
    small = {"dim": DIM, "arity": 3, "beam_size": 2, "scorer_width": 3, "layers": 2, "heads": 2} | options
    known = nestree.ENCODERS[name].__dataclass_fields__
    torch.manual_seed(1)
    return nestree.build(name, **{key: value for key, value in small.items() if key in known}).double().eval()


def shapes(encoding: nestree.Encoding) -> list[list[nestree.Tree]] | None:
    """The trees that were found, if the encoder finds any."""
    return encoding.trees and [[parsed.tree for parsed in found] for found in encoding.trees]


def assert_rows_alone_equal(encoder: nestree.Encoder, lengths: list[int], extra: int, *, keyed: bool) -> None:
    def encode(states: Tensor, lengths: list[int], names: list[int]) -> Tensor:
        draws = KeyedDraws(5, identities=torch.tensor(names)) if keyed else None
        return encoder(states, torch.tensor(lengths), draws=draws).root

    states = padded(lengths, DIM, extra=extra)
    together = encode(states, lengths, list(range(len(lengths))))
    assert together.shape == (len(lengths), DIM)
    for row, length in enumerate(lengths):
        alone = encode(states[row : row + 1, :length], [length], [row])
        torch.testing.assert_close(together[row], alone[0], atol=1e-10, rtol=1e-10)


@EVERY_ENCODER
@settings(max_examples=8)
@given(lengths=LENGTHS, extra=st.integers(0, 3))
def test_padding_and_neighbours_change_nothing_at_evaluation(name: str, lengths: list[int], extra: int) -> None:
    assert_rows_alone_equal(build(name), lengths, extra, keyed=False)


@pytest.mark.parametrize("name", [name for name in nestree.ENCODERS if name not in BATCH_NORMALIZED])
@settings(max_examples=5)
@given(lengths=LENGTHS, extra=st.integers(0, 3))
def test_padding_and_neighbours_change_nothing_in_training(name: str, lengths: list[int], extra: int) -> None:
    """With the same draws; dropout outside a beam tree comes from the global generator, and is left out."""
    dropout = 0.3 if DRAWN.search(name) else 0.0
    encoder = build(name, dropout=dropout, s4d_dropout=0.0, memory_dropout=0.0, training_split_from=3).train()
    assert_rows_alone_equal(encoder, lengths, extra, keyed=True)


@EVERY_ENCODER
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_nan_in_the_padding_reaches_neither_outputs_nor_gradients(name: str, training: bool) -> None:
    encoder, lengths = build(name, dropout=0.2).train(training), torch.tensor([7, 1, 4])
    results = []
    for filling in (torch.nan, torch.inf, 0.0):
        torch.manual_seed(3)
        states = padded([7, 1, 4], DIM, extra=2)
        states[states.isnan()] = filling
        states.requires_grad_()
        root = encoder(states, lengths, draws=KeyedDraws(1)).root
        gradients = torch.autograd.grad((root * torch.arange(DIM)).sum(), [states, *encoder.parameters()])
        assert bool((gradients[0][states.detach().isnan() | states.detach().isinf()] == 0).all())
        results.append([root, *gradients])
    for result in results[:-1]:
        assert all(torch.equal(one, other) for one, other in zip(result, results[-1], strict=True))


@EVERY_ENCODER
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_every_parameter_gets_a_gradient(name: str, training: bool) -> None:
    encoder = build(name, dropout=0.1).train(training)
    lengths = [9, 4, 3, 1]  # cut and not cut; three tokens are the fewest that a scorer decides on
    root = encoder(padded(lengths, DIM), torch.tensor(lengths), draws=KeyedDraws(1)).root
    (root * torch.randn_like(root)).sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        inside = isinstance(encoder.get_submodule(key.rpartition(".")[0]), S4D)
        rows = parameter.grad.reshape(len(parameter) if inside else 1, -1)
        assert bool(rows.ne(0).any(-1).all()), key  # every channel of an S4D, and so both directions


@EVERY_ENCODER
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_short_sequences_are_encoded(name: str, training: bool) -> None:
    encoder = build(name).train(training)
    for lengths in ([1], [2], [1, 1], [2, 1], [3, 1, 2]):
        assert bool(encoder(padded(lengths, DIM), torch.tensor(lengths)).root.isfinite().all())


@EVERY_ENCODER
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_any_floating_dtype_will_do(name: str, dtype: torch.dtype) -> None:
    encoder, lengths = build(name), torch.tensor([8, 1, 5])
    states = padded([8, 1, 5], DIM)
    expected = encoder(states, lengths, trees=True)
    encoder.to(dtype)
    encoding = encoder(states.to(dtype), lengths, trees=True)
    assert encoding.root.dtype == dtype
    if shapes(expected) == shapes(encoding):
        tolerance = 1e-4 if dtype == torch.float32 else 0.2
        torch.testing.assert_close(encoding.root.double(), expected.root, atol=tolerance, rtol=tolerance)
    encoder.train()(states.to(dtype), lengths).root.sum().backward()
    assert all(bool(p.grad.isfinite().all()) and p.grad.dtype == dtype for p in encoder.parameters())


@EVERY_ENCODER
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint16], ids=str)
def test_lengths_may_be_any_integers(name: str, dtype: torch.dtype) -> None:
    encoder, states = build(name), padded([5, 2], DIM)
    roots = [encoder(states, torch.tensor([5, 2], dtype=lengths)).root for lengths in (dtype, torch.int64)]
    assert torch.equal(*roots)


@EVERY_ENCODER
def test_evaluation_is_deterministic_whatever_the_random_state(name: str) -> None:
    encoder, states, lengths = build(name, dropout=0.5), padded([10, 4], DIM), torch.tensor([10, 4])
    first = encoder(states, lengths).root
    torch.manual_seed(77)
    before = torch.get_rng_state()
    assert torch.equal(encoder(states, lengths).root, first)
    assert torch.equal(torch.get_rng_state(), before)  # nothing is even drawn


@EVERY_ENCODER
def test_saved_and_loaded_weights_give_the_same_output(name: str, tmp_path: Path) -> None:
    encoder, states, lengths = randomize(build(name), 4), padded([9, 3, 1], DIM), torch.tensor([9, 3, 1])
    save_file(encoder.state_dict(), tmp_path / "weights.safetensors")
    other = build(name)
    assert not torch.equal(other(states, lengths).root, encoder(states, lengths).root)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(states, lengths).root, encoder(states, lengths).root)


@EVERY_ENCODER
def test_a_deep_copy_is_independent(name: str) -> None:
    encoder, states, lengths = build(name), padded([6, 2], DIM), torch.tensor([6, 2])
    first = encoder(states, lengths).root
    twin = copy.deepcopy(encoder)
    assert torch.equal(twin(states, lengths).root, first)
    randomize(twin, 1)
    assert torch.equal(encoder(states, lengths).root, first)
    assert not torch.equal(twin(states, lengths).root, first)


@EVERY_ENCODER
@settings(max_examples=5)
@given(lengths=LENGTHS)
def test_trees_are_asked_for_and_whole(name: str, lengths: list[int]) -> None:
    encoder, states = build(name), padded(lengths, DIM)
    plain = encoder(states, torch.tensor(lengths))
    assert plain.trees is None
    encoding = encoder(states, torch.tensor(lengths), trees=True)
    assert torch.equal(encoding.root, plain.root)
    if name in TREELESS:
        assert encoding.trees is None
        return
    assert encoding.trees is not None
    for found, length in zip(encoding.trees, lengths, strict=True):
        probabilities = [parsed.probability for parsed in found]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert probabilities == sorted(probabilities, reverse=True)
        assert len({frozenset(parsed.tree.spans()) for parsed in found}) == len(found)
        for parsed in found:
            assert parsed.tree.leaves == length
            assert len(parsed.tree.merges) == length - 1
            assert length == 1 or parsed.tree.spans()[-1] == (0, length)


# --- what RIR adds

RIR_NAMES = [name for name in nestree.ENCODERS if name.startswith("rir")]
RIR = pytest.mark.parametrize("name", RIR_NAMES)


def rows_that_differ(one: Tensor, other: Tensor) -> list[bool]:
    return ((one - other).abs() > 1e-9).any(-1).tolist()


@RIR
def test_flat_inference_differs_from_grouped_only_where_a_sequence_is_cut(name: str) -> None:
    lengths = list(range(1, 10))

    def roots(inference: str, *, training: bool) -> Tensor:
        encoder = build(name, inference=inference, dropout=0.0, s4d_dropout=0.0, memory_dropout=0.0).train(training)
        return encoder(padded(lengths, DIM), torch.tensor(lengths), draws=KeyedDraws(1)).root

    differ = rows_that_differ(*(roots(inference, training=False) for inference in ("grouped", "flat")))
    assert not any(differ[:3])  # arity 3 cuts from four
    assert any(differ[3:])  # not always: a search may find the same trees either way
    assert torch.equal(*(roots(inference, training=True) for inference in ("grouped", "flat")))


@RIR
def test_training_may_cut_shorter_sequences(name: str) -> None:
    lengths = list(range(1, 12))
    options = {"arity": 6, "dropout": 0.0, "s4d_dropout": 0.0, "memory_dropout": 0.0}
    options |= {"noise": False, "alignment": "none"}

    def roots(*, training: bool, **split: int) -> Tensor:
        encoder = build(name, **options, **split).train(training)
        return encoder(padded(lengths, DIM), torch.tensor(lengths)).root

    trained = roots(training=True, training_split_from=7)
    assert not any(rows_that_differ(trained, roots(training=False, split_from=7)))
    differ = rows_that_differ(trained, roots(training=False, training_split_from=7))
    assert {7} <= {length for length, other in zip(lengths, differ, strict=True) if other} <= {7, 8}  # 6 cuts from nine


@RIR
def test_training_may_draw_how_it_cuts(name: str) -> None:
    lengths = list(range(1, 14))
    states, counts = padded(lengths, DIM), torch.tensor(lengths)
    options = {"dropout": 0.0, "s4d_dropout": 0.0, "memory_dropout": 0.0, "noise": False, "alignment": "none"}

    def roots(*, training: bool, seed: int = 0, **cut: object) -> Tensor:
        return build(name, **options, **cut).train(training)(states, counts, draws=KeyedDraws(seed)).root

    one_arity = roots(training=True, arity=9, training_arities=(4, 4))
    torch.testing.assert_close(one_arity, roots(training=True, arity=4))
    flat = roots(training=True, arity=3, training_flat=1.0)
    torch.testing.assert_close(flat, roots(training=True, arity=14))
    assert torch.equal(
        roots(training=False, arity=3, training_flat=1.0, training_arities=(5, 6)), roots(training=False, arity=3)
    )
    drawn = [roots(training=True, seed=seed, training_arities=(2, 4), training_flat=0.3) for seed in range(20)]
    found = {
        cut
        for cut, wanted in {arity: roots(training=True, arity=arity) for arity in (2, 3, 4, 14)}.items()
        for root in drawn
        if torch.allclose(root, wanted, atol=1e-10)
    }
    assert found == {2, 3, 4, 14}


@RIR
def test_without_s4d_a_state_that_stands_alone_is_transformed_and_nothing_more(name: str) -> None:
    encoder = build(name, s4d=False)
    states = padded([1, 5], DIM)
    assert encoder.context is None
    root = encoder(states, torch.tensor([1, 5])).root
    torch.testing.assert_close(root[0], encoder.leaf(states[0, 0]))


@BEAM_TREES
def test_engines_are_one_function(name: str) -> None:
    lengths, states = torch.tensor([9, 1, 4]), padded([9, 1, 4], DIM)
    roots = [
        build(name, engine=engine, beam_size=3, s4d_dropout=0.0).train()(states, lengths, draws=KeyedDraws(2)).root
        for engine in ENGINES
    ]
    for root in roots[1:]:
        torch.testing.assert_close(root, roots[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_engines_cut_alike_where_training_draws_how(seed: int) -> None:
    lengths, states = torch.tensor([13, 1, 6]), padded([13, 1, 6], DIM)
    options = {"beam_size": 3, "s4d_dropout": 0.0, "training_arities": (2, 5), "training_flat": 0.3}
    *roots, naive = (
        build("rir-ebt-grc", engine=engine, **options).train()(states, lengths, draws=KeyedDraws(seed)).root
        for engine in ENGINES
    )
    for root in roots:
        torch.testing.assert_close(root, naive, atol=1e-10, rtol=1e-10)


def test_under_partial_folding_no_group_is_a_part_of_the_tree() -> None:
    lengths = [1, 5, 30, 47]
    states, counts = padded(lengths, DIM), torch.tensor(lengths)
    encoding = build("rir-ebt-grc", arity=6, partial=0.5)(states, counts, trees=True)
    for length, found in zip(lengths, encoding.trees, strict=True):
        assert sum(parsed.probability for parsed in found) == pytest.approx(1)
        assert {parsed.tree.leaves for parsed in found} == {length}
        assert {parsed.groups for parsed in found} == {(((0, length),),) if length > 1 else ()}
    flat, whole = (build("rir-ebt-grc", arity=48, partial=partial)(states, counts).root for partial in (0.0, 0.5))
    assert torch.equal(flat, whole)


@pytest.mark.parametrize("name", sorted(set(RIR_NAMES) - {"rir-ebt-grc"}))
def test_partial_folding_wants_a_recursion_that_searches(name: str) -> None:
    encoder = build(name)
    encoder.outer = Outer(4, partial=0.5)
    with pytest.raises(ValueError, match=r"^partial must be 0 where \w+ folds a group, not 0\.5$"):
        encoder(padded([9], DIM), torch.tensor([9]))


# --- what the user gets wrong


@EVERY_ENCODER
@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("states", "lengths", "message"),
    [
        (torch.zeros(2, 5, DIM + 1), torch.tensor([5, 2]), r"states must have the shape \(batch, length, 6\)"),
        (torch.zeros(5, DIM), torch.tensor([5, 2]), r"states must have the shape \(batch, length, 6\)"),
        (torch.zeros(2, 5, DIM, dtype=torch.int64), torch.tensor([5, 2]), "states must be floating-point"),
        (torch.zeros(0, 5, DIM), torch.zeros(0, dtype=torch.int64), "states must have at least one sequence"),
        (torch.zeros(2, 5, DIM), torch.tensor([5, 2, 1]), r"lengths must have the shape \(2,\)"),
        (torch.zeros(2, 5, DIM), torch.tensor(5), r"lengths must have the shape \(2,\)"),
        (torch.zeros(2, 5, DIM), torch.tensor([5.0, 2.0]), "lengths must be integers"),
        (torch.zeros(2, 5, DIM), torch.tensor([True, True]), "lengths must be integers"),
        (torch.zeros(2, 5, DIM), torch.tensor([5, 0]), r"lengths\[1\] must be from 1 to 5, .* not 0"),
        (torch.zeros(2, 5, DIM), torch.tensor([6, 1]), r"lengths\[0\] must be from 1 to 5, .* not 6"),
        (torch.zeros(2, 5, DIM), torch.tensor([-1, 1]), r"lengths\[0\] must be from 1 to 5, .* not -1"),
        (padded([5, 2], DIM), torch.tensor([5, 3]), r"states\[1, 2\] has a NaN at a real position"),
    ],
    ids=[
        "width",
        "dimensions",
        "integer states",
        "empty batch",
        "too many lengths",
        "one length",
        "float lengths",
        "boolean lengths",
        "length 0",
        "length beyond the states",
        "negative length",
        "NaN",
    ],
)
def test_batches_that_do_not_fit_are_named(name: str, states: Tensor, lengths: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name)(states, lengths)
