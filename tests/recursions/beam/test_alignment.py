"""Beam alignment: which beams a group hands on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree.recursions import Draws, KeyedDraws, Outer
from nestree.recursions.beam.alignment import align
from nestree.recursions.draws import Sites
from nestree.recursions.outer import ALIGNMENTS
from support.reference import systematic


def aligned(
    scores: list[float] | Tensor,
    slots: int,
    alignment: str,
    *,
    groups: int = 1,
    present: int | None = None,
    temperature: float = 1.0,
    draws: Draws | None = None,
) -> Tensor:
    """Align ``groups`` copies of one group's scores."""
    scores = torch.as_tensor(scores, dtype=torch.float64).expand(groups, -1)
    outer = Outer(3, alignment=alignment, temperature=temperature)
    sites = Sites(torch.zeros(groups, dtype=torch.int64), torch.arange(groups), 0)
    present_beams = torch.full((groups,), present or scores.shape[1])
    return align(scores, present_beams, slots, outer, sites=sites, draws=draws)


def seeded() -> Draws:
    return Draws(torch.Generator().manual_seed(7))


GROUPS = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
"""Present beams, slots and a seed."""


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@given(group=GROUPS, absent=st.integers(0, 3), garbage=st.sampled_from([math.nan, math.inf, -math.inf, 1e30]))
def test_slot_0_is_the_best_and_absent_beams_never_travel(
    alignment: str, training: bool, group: tuple[int, int, int], absent: int, garbage: float
) -> None:
    present, slots, seed = group
    scores = torch.randn(present, generator=torch.Generator().manual_seed(seed)).sort(descending=True).values
    draws = KeyedDraws(seed) if training else None
    chosen = aligned(scores, slots, alignment, draws=draws)
    assert chosen.shape == (1, slots)
    assert chosen[0, 0] == 0
    assert bool((chosen >= 0).all())
    assert bool((chosen < present).all())
    behind = torch.cat([scores, torch.full((absent,), garbage)])
    assert torch.equal(aligned(behind, slots, alignment, present=present, draws=draws), chosen)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sampled_slots_follow_the_softmax_of_the_scores(temperature: float) -> None:
    scores, groups = torch.tensor([-0.2, -1.0, -1.5, -4.0]), 20_000
    chosen = aligned(scores, 4, "sampled", groups=groups, temperature=temperature, draws=seeded())
    expected = (scores.double() / temperature).softmax(-1)
    for slot in chosen[:, 1:].T:  # each slot alike, and each by itself
        frequency = torch.bincount(slot, minlength=4) / groups
        assert bool(((frequency - expected).abs() < 4 * (expected / groups).sqrt()).all())
    both = (chosen[:, 1] == 0) & (chosen[:, 2] == 0)  # with replacement: slots are independent
    assert both.double().mean().item() == pytest.approx(expected[0].item() ** 2, abs=0.015)


def test_random_slots_are_uniform_over_the_present_beams() -> None:
    chosen = aligned([0.0, -5.0, -50.0, 0.0], 3, "random", groups=20_000, present=3, draws=seeded())
    frequency = torch.bincount(chosen[:, 1:].flatten(), minlength=4) / 40_000
    torch.testing.assert_close(frequency, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]), atol=0.012, rtol=0)


@pytest.mark.parametrize(
    ("probabilities", "slots", "expected"),
    [
        ([1.0], 4, [0, 0, 0, 0]),
        ([0.6, 0.4], 1, [0]),
        ([0.6, 0.4], 2, [0, 0]),
        ([0.4, 0.35, 0.25], 2, [0, 1]),
        ([0.55, 0.45], 7, [0, 0, 0, 0, 1, 1, 1]),
        ([0.7, 0.2, 0.1], 5, [0, 0, 0, 0, 1]),
        ([0.7, 0.2, 0.1], 11, [0, *[0] * 7, 1, 1, 2]),
        ([0.3, 0.26, 0.24, 0.2], 4, [0, 0, 1, 3]),
    ],
)
def test_systematic_slots_stand_at_the_stated_quantiles(
    probabilities: list[float], slots: int, expected: list[int]
) -> None:
    scores = torch.tensor(probabilities, dtype=torch.float64).log() - 3  # a shift of the scores changes nothing
    assert aligned(scores, slots, "systematic")[0].tolist() == expected


@given(group=GROUPS, temperature=st.sampled_from([0.3, 1.0, 4.0]))
def test_systematic_slots_equal_the_loop(group: tuple[int, int, int], temperature: float) -> None:
    beams, slots, seed = group
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(beams, generator=generator, dtype=torch.float64).sort(descending=True).values
    expected = systematic(scores.tolist(), slots, temperature)
    chosen = aligned(scores, slots, "systematic", temperature=temperature)
    assert chosen[0].tolist() == expected
    # At evaluation, where nothing is drawn, sampled alignment is the same; random takes the uniform's quantiles.
    assert torch.equal(aligned(scores, slots, "sampled", temperature=temperature), chosen)
    # The number of slots a beam gets is its expected number, to within one.
    share = (scores / temperature).softmax(-1) * (slots - 1)
    assert bool(((torch.bincount(chosen[0, 1:], minlength=beams) - share).abs() < 1).all())


@given(group=GROUPS)
def test_systematic_slots_are_permuted_in_training(group: tuple[int, int, int]) -> None:
    beams, slots, seed = group
    scores = torch.randn(beams, generator=torch.Generator().manual_seed(seed)).sort(descending=True).values
    in_order = aligned(scores, slots, "systematic")[0]
    permuted = aligned(scores, slots, "systematic", groups=3, draws=KeyedDraws(seed))
    for row in permuted:
        assert row[0] == 0
        assert sorted(row.tolist()) == in_order.tolist()


def test_systematic_permutations_are_uniform() -> None:
    scores = torch.tensor([0.34, 0.33, 0.33]).log()  # slots 0 | 0 1 2
    chosen = aligned(scores, 4, "systematic", groups=12_000, draws=seeded())
    orders, counts = chosen[:, 1:].unique(dim=0, return_counts=True)
    assert len(orders) == 6
    torch.testing.assert_close(counts / 12_000, torch.full((6,), 1 / 6), atol=0.014, rtol=0)


@given(group=GROUPS)
def test_no_alignment_keeps_the_order_and_repeats_the_best(group: tuple[int, int, int]) -> None:
    beams, slots, seed = group
    scores = torch.zeros(beams).tolist()
    chosen = aligned(scores, slots, "none", draws=KeyedDraws(seed))
    assert chosen[0].tolist() == [slot if slot < beams else 0 for slot in range(slots)]


def test_groups_are_aligned_one_by_one() -> None:
    scores = torch.tensor([[0.0, -1.0, -2.0], [0.0, 0.0, torch.nan], [-3.0, torch.nan, torch.nan]])
    present = torch.tensor([3, 2, 1])
    sites = Sites(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), 1)
    for alignment in ALIGNMENTS:
        for draws in (None, KeyedDraws(3)):
            together = align(scores, present, 5, Outer(3, alignment=alignment), sites=sites, draws=draws)
            for row in range(3):
                only = torch.tensor([row])
                alone = align(
                    scores[only],
                    present[only],
                    5,
                    Outer(3, alignment=alignment),
                    sites=sites.take(only),
                    draws=draws,
                )
                assert torch.equal(alone[0], together[row])
