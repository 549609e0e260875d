"""Encoders by name, their options and encoders put together by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import nestree
from nestree.layers import BidirectionalS4D, GatedRecursiveCell, LeafTransform, PairScorer
from nestree.recursions import (
    BalancedTree,
    BeamSearch,
    BeamTree,
    Chain,
    ContinuousRecursion,
    OrderedMemory,
    Outer,
    SingleRootRecursion,
)
from support.reference import padded

RIR_NAMES = [name for name in nestree.ENCODERS if name.startswith("rir")]
BEAM_NAMES = [name for name, options in nestree.ENCODERS.items() if "engine" in options.__dataclass_fields__]
SLICE_NAMES = [name for name, options in nestree.ENCODERS.items() if "scorer_width" in options.__dataclass_fields__]


def test_six_lines_of_use() -> None:
    encoder = nestree.build("rir-ebt-grc", dim=16, arity=5, beam_size=3)
    states = torch.randn(2, 12, 16)
    lengths = torch.tensor([12, 7])
    root = encoder(states, lengths).root
    assert root.shape == (2, 16)


def test_the_names_are_those_that_are_promised() -> None:
    assert {"rir-ebt-grc", "rir-grc", "ebt-grc", "bbt-grc", "grc"} <= set(nestree.ENCODERS)
    assert {"om", "crvnn", "rir-om", "rir-crvnn"} <= set(nestree.ENCODERS)


@pytest.mark.parametrize("name", nestree.ENCODERS)
def test_defaults_build(name: str) -> None:
    encoder = nestree.build(name)
    assert encoder.dim == 128
    assert encoder(torch.zeros(1, 2, 128), torch.tensor([2])).root.shape == (1, 128)


@pytest.mark.parametrize("name", nestree.ENCODERS)
def test_options_are_frozen_and_described(name: str) -> None:
    options = nestree.ENCODERS[name]()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.dim = 3
    assert nestree.ENCODERS[name].__doc__


def test_published_sizes_are_the_defaults() -> None:
    rir, flat = nestree.ENCODERS["rir-ebt-grc"](), nestree.ENCODERS["ebt-grc"]()
    assert (rir.arity, rir.beam_size, rir.scorer_width, rir.s4d) == (30, 7, 64, True)
    assert (rir.alignment, rir.temperature, rir.inference, rir.sample_at_evaluation) == (
        "sampled",
        1.0,
        "grouped",
        False,
    )
    assert (flat.beam_size, flat.scorer_width, flat.noise) == (5, 64, True)
    for prefix in ("", "rir-"):
        memory, continuous = nestree.ENCODERS[f"{prefix}om"](), nestree.ENCODERS[f"{prefix}crvnn"]()
        assert (memory.slots, memory.dropout, memory.memory_dropout) == (21, 0.1, 0.1)
        assert (continuous.window, continuous.threshold) == (5, 0.1)


def test_a_scorer_never_reads_more_than_there_is() -> None:
    assert nestree.build("ebt-grc", dim=8).inner.scorer.width == 8
    assert nestree.build("ebt-grc", dim=80).inner.scorer.width == 64
    assert nestree.build("ebt-grc", dim=80, scorer_width=None).inner.scorer.width == 80


def every(names: list[str], option: str, *values: object) -> list:
    return [pytest.param(name, option, value, id=f"{name} {option}={value!r}") for name in names for value in values]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *every(list(nestree.ENCODERS), "dim", 0, -1, 2.0, "8", True),
        *every(list(nestree.ENCODERS), "dropout", 1, 1.0, -0.1, float("nan"), "0.1", None, True),
        *every(RIR_NAMES, "arity", 1, 0, 2.5),
        *every(RIR_NAMES, "split_from", 1),
        *every(RIR_NAMES, "training_split_from", 1),
        *every(RIR_NAMES, "training_arities", (1, 5), (6, 5), (2.5, 5), (True, 5), (5,)),
        *every(RIR_NAMES, "training_flat", -0.1, 1.1, "1", True),
        *every(RIR_NAMES, "s4d_dropout", 1),
        *every(RIR_NAMES, "inference", "tree"),
        *every([*BEAM_NAMES, "bt-grc-onesoft"], "beam_size", 0, 1.5, None),
        *every(SLICE_NAMES, "scorer_width", 0),
        *every(BEAM_NAMES, "engine", "fastest"),
        *every(["rir-ebt-grc"], "alignment", "sample"),
        *every(["rir-ebt-grc"], "partial", 0.6, -0.1, "0.5", True, float("nan")),
        *every(["om", "rir-om"], "slots", 0, 2.5),
        *every(["om", "rir-om"], "memory_dropout", 1, -0.1),
        *every(["crvnn", "rir-crvnn"], "window", 1, 5.0),
        *every(["crvnn", "rir-crvnn"], "threshold", 1.0, -0.1),
        *every(["rir-ebt-grc", "gt-grc", "egt-grc"], "temperature", 0, -1.0, float("inf"), "1"),
    ],
)
def test_values_that_an_option_cannot_take_are_named(name: str, option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be ") as raised:
        nestree.build(name, **{option: value})
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(f"not {value!r}")


def test_only_one_option_says_where_training_cuts() -> None:
    with pytest.raises(ValueError, match="training_split_from must be left out with training_arities, not 9"):
        nestree.build("rir-grc", training_arities=(3, 5), training_split_from=9)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("rir-ebt-grc", "beamsize", "no option 'beamsize'; did you mean beam_size?"),
        ("rir-grc", "arty", "no option 'arty'; did you mean arity?"),
        ("grc", "colour", "no option 'colour'; there are dim, dropout, cell"),
    ],
)
def test_unknown_options_bring_a_suggestion(name: str, option: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"encoder {name}: there is") as raised:
        nestree.build(name, **{option: 3})
    assert str(raised.value).endswith(message)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(ValueError, match="no encoder 'xyz'; there are rir-ebt-grc, "):
        nestree.build("xyz")


# --- by hand


@pytest.mark.parametrize(
    "inner", [Chain, BalancedTree, OrderedMemory, ContinuousRecursion], ids=lambda kind: kind.__name__
)
def test_any_recursion_goes_inside(inner: type[SingleRootRecursion]) -> None:
    encoder = nestree.RIR(inner(GatedRecursiveCell(4)), LeafTransform(4), Outer(3), context=BidirectionalS4D(4))
    states = padded([8, 1], 4, dtype=torch.float32)
    assert encoder.eval()(states, torch.tensor([8, 1])).root.isfinite().all()


def test_a_name_is_a_composition_of_parts() -> None:
    tree = BeamTree(GatedRecursiveCell(4), PairScorer(4), BeamSearch(beam_size=2))
    by_hand = nestree.RIR(tree, LeafTransform(4), Outer(3), context=BidirectionalS4D(4)).eval()
    by_name = nestree.build("rir-ebt-grc", dim=4, arity=3, beam_size=2).eval()
    by_name.load_state_dict(by_hand.state_dict())
    states, lengths = padded([8, 1], 4, dtype=torch.float32), torch.tensor([8, 1])
    assert torch.equal(by_hand(states, lengths).root, by_name(states, lengths).root)


def test_parts_of_different_widths_are_named() -> None:
    chain = Chain(GatedRecursiveCell(4))
    with pytest.raises(ValueError, match=r"^leaf must be for states of the recursion's width 4, not 5"):
        nestree.RvNN(chain, LeafTransform(5))
    with pytest.raises(ValueError, match=r"^leaf must be .* width 4, not 5"):
        nestree.RIR(chain, LeafTransform(5), Outer(3))
    with pytest.raises(ValueError, match=r"^context must be .* width 4, not 5"):
        nestree.RIR(chain, LeafTransform(4), Outer(3), context=BidirectionalS4D(5))
    with pytest.raises(ValueError, match=r"^outer must have an arity"):
        nestree.RIR(chain, LeafTransform(4), Outer())
    with pytest.raises(ValueError, match=r"^inference must be one of"):
        nestree.RIR(chain, LeafTransform(4), Outer(3), inference="tree")
