"""Draws: their distributions, and keyed draws that depend on their place alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nestree.recursions import Draws, KeyedDraws
from nestree.recursions.draws import Sites, dropout_mask

SOURCES = pytest.mark.parametrize(
    "draws",
    [Draws(torch.Generator().manual_seed(3)), KeyedDraws(3), KeyedDraws(-(2**63)), KeyedDraws(2**63 - 1)],
    ids=["generator", "keyed", "keyed by the smallest seed", "keyed by the largest seed"],
)

KINDS: dict[str, Callable[[Draws, Sites, int], Tensor]] = {
    "pair noise": lambda draws, sites, step: draws.pair_noise(sites, step, 3, 4, torch.float64),
    "candidate noise": lambda draws, sites, step: draws.candidate_noise(sites, step, positions(sites), torch.float64),
    "alignment": lambda draws, sites, step: draws.alignment(sites, 5),
    "slot order": lambda draws, sites, step: draws.slot_order(sites, 5),
    "dropout bits": lambda draws, sites, step: draws.random_bits(sites, step, torch.zeros_like(sites.group), 8),
}
STEPLESS = {"alignment", "slot order"}


def positions(sites: Sites) -> Tensor:
    return torch.arange(4).expand(len(sites), 3, 4)


def sites(count: int, *, sequence: int = 0, level: int = 0) -> Sites:
    """Groups 0 .. count - 1 of one sequence."""
    return Sites(torch.full((count,), sequence), torch.arange(count), level)


def assert_uniform(sample: Tensor) -> None:
    """Kolmogorov's test on (0, 1), at a level of about a tenth of a percent."""
    ordered = sample.flatten().double().sort().values
    count = len(ordered)
    distance = (ordered - (torch.arange(count) + 0.5) / count).abs().max().item() + 0.5 / count
    assert distance < 1.95 / math.sqrt(count)


@SOURCES
def test_uniforms_are_uniform(draws: Draws) -> None:
    for sample in (draws.alignment(sites(2000), 10), draws.slot_order(sites(2000), 10)):
        assert sample.shape == (2000, 10)
        assert sample.dtype == torch.float64
        assert sample.min() >= 0
        assert sample.max() < 1
        assert_uniform(sample)
        assert_uniform((sample[:, 0] - sample[:, 1]) % 1)  # neighbours are independent
        assert_uniform((sample[1:] - sample[:-1]) % 1)


@SOURCES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_gumbel_noise_follows_its_law(draws: Draws, dtype: torch.dtype) -> None:
    places = sites(2000)
    pair = draws.pair_noise(places, 1, 3, 4, dtype)
    candidate = draws.candidate_noise(places, 1, positions(places), dtype)
    for noise in (pair, candidate):
        assert noise.shape == (2000, 3, 4)
        assert noise.dtype == dtype
        assert bool(noise.isfinite().all())
        assert_uniform(torch.exp(-torch.exp(-noise.double())))
        assert noise.mean().item() == pytest.approx(0.5772, abs=0.03)
        assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.08)
    assert_uniform((torch.exp(-torch.exp(-pair.double())) - torch.exp(-torch.exp(-candidate.double()))) % 1)


@SOURCES
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_masks_drop_at_their_rate(draws: Draws, rate: float) -> None:
    random_bits = draws.random_bits(sites(2000), 0, torch.arange(2000), 33)
    assert random_bits.shape == (2000, 33)
    mask = dropout_mask(random_bits, rate, torch.float32)
    assert sorted(mask.unique().tolist()) == [0.0, 1.0]
    assert mask.mean().item() == pytest.approx(1 - rate, abs=4 * math.sqrt(rate * (1 - rate) / 66_000))
    per_feature = mask.mean(0)
    assert (per_feature - (1 - rate)).abs().max().item() < 4.5 * math.sqrt(rate * (1 - rate) / 2000)
    joint = (mask[:, 1:] * mask[:, :-1]).mean().item()  # neighbouring features fall independently
    assert joint == pytest.approx((1 - rate) ** 2, abs=0.01)


@pytest.mark.parametrize("rate", [0.0, 1e-9, 1 - 1e-9])
def test_dropout_masks_at_the_ends_of_the_range(rate: float) -> None:
    random_bits = torch.tensor([-(2**15), 0, 2**15 - 1], dtype=torch.int16)
    assert dropout_mask(random_bits, rate, torch.float32).tolist() == ([1.0] * 3 if rate < 0.5 else [0.0, 0.0, 1.0])


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(-(2**63), 2**63 - 1), level=st.integers(0, 5), step=st.integers(0, 200))
def test_keyed_draws_depend_on_their_place_alone(kind: str, seed: int, level: int, step: int) -> None:
    draw, keyed = KINDS[kind], KeyedDraws(seed)
    places = Sites(torch.tensor([0, 0, 1, 4]), torch.tensor([0, 1, 0, 2]), level)
    first = draw(keyed, places, step)
    draw(keyed, places, step + 1)  # what was drawn before does not matter
    assert torch.equal(draw(keyed, places, step), first)
    assert torch.equal(draw(KeyedDraws(seed), places, step), first)
    order = torch.tensor([2, 0, 3])
    assert torch.equal(draw(keyed, places.take(order), step), first[order])


@pytest.mark.parametrize("kind", KINDS)
def test_keyed_draws_differ_between_places(kind: str) -> None:
    draw, keyed = KINDS[kind], KeyedDraws(11)
    everything = [
        draw(keyed, Sites(torch.tensor([sequence]), torch.tensor([group]), level), step)
        for sequence in range(3)
        for level in range(3)
        for group in range(3)
        for step in range(1 if kind in STEPLESS else 3)
    ]
    everything.append(draw(KeyedDraws(12), sites(1), 0))
    rows = {tuple(drawn.flatten().tolist()) for drawn in everything}
    assert len(rows) == len(everything)
    if kind != "dropout bits":  # 16 bits meet by chance
        numbers = torch.stack(everything).flatten()
        assert len(numbers.unique()) == len(numbers)


def test_keyed_draws_differ_between_kinds_and_seeds() -> None:
    """The draws of one kind under one seed are not those of another kind under the next."""
    seen: set[float] = set()
    count = 0
    for seed in range(6):
        keyed, places = KeyedDraws(seed), sites(1)
        pair = keyed.pair_noise(places, 0, 3, 4, torch.float64)
        candidate = keyed.candidate_noise(places, 0, positions(places), torch.float64)
        uniforms = [-torch.log(-torch.log(draw(places, 4))) for draw in (keyed.alignment, keyed.slot_order)]
        for drawn in (pair, candidate, *uniforms):
            seen |= set(drawn.flatten().tolist())
            count += drawn.numel()
    assert len(seen) == count


def test_keyed_dropout_words_differ_between_beams() -> None:
    random_bits = KeyedDraws(1).random_bits(sites(1).take(torch.zeros(50, dtype=torch.int64)), 0, torch.arange(50), 8)
    assert len({tuple(row.tolist()) for row in random_bits}) == 50


def test_keyed_candidate_noise_belongs_to_the_position() -> None:
    """However few of a beam's pairs are candidates, each keeps its noise."""
    keyed, place = KeyedDraws(5), sites(1)
    everywhere = keyed.candidate_noise(place, 2, torch.arange(9).expand(1, 2, 9), torch.float64)
    chosen = torch.tensor([[[0, 4, 8], [1, 2, 7]]])
    assert torch.equal(keyed.candidate_noise(place, 2, chosen, torch.float64), everywhere.gather(-1, chosen))


@pytest.mark.parametrize("kind", KINDS)
def test_identities_keep_a_rows_draws_in_another_batch(kind: str) -> None:
    draw = KINDS[kind]
    together = draw(
        KeyedDraws(2, identities=torch.tensor([7, 40, 13])), Sites(torch.arange(3), torch.zeros(3).long(), 0), 0
    )
    alone = draw(KeyedDraws(2, identities=torch.tensor([40])), sites(1), 0)
    assert torch.equal(together[1], alone[0])
    assert torch.equal(draw(KeyedDraws(2), sites(1, sequence=40), 0), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_generator_draws_follow_their_generator(kind: str) -> None:
    draw = KINDS[kind]
    first = draw(Draws(torch.Generator().manual_seed(1)), sites(4), 0)
    assert torch.equal(draw(Draws(torch.Generator().manual_seed(1)), sites(4), 0), first)
    torch.manual_seed(1)
    assert torch.equal(draw(Draws(), sites(4), 0), first)  # the global generator is an ordinary one
    assert not torch.equal(draw(Draws(), sites(4), 0), first)


def test_how_a_batch_is_cut_depends_on_the_seed_alone() -> None:
    cuts = [KeyedDraws(seed).cut() for seed in range(200)]
    assert cuts == [KeyedDraws(seed).cut() for seed in range(200)]
    assert len(set(cuts)) == 200
    assert all(0 <= place < 1 for cut in cuts for place in cut)
    means = torch.tensor(cuts).mean(0)
    assert ((means - 0.5).abs() < 0.08).all()
    torch.manual_seed(5)
    first = Draws().cut()
    torch.manual_seed(5)
    assert Draws().cut() == first != Draws().cut()
