"""Drawing pairs of formulas: seeded, of the right sizes, and labelled by their truth tables."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.tasks.logic import RELATIONS, draw_pairs, operators, relation, truth_table
from nestree.tasks.logic.formula import EVERYWHERE, VARIABLES
from nestree.tasks.logic.generator import SHORTER, TEST_SIZES, TRAIN_SIZES, _formula, split_pairs

counts, seeds = st.integers(0, 12), st.integers(0, 2**32)


@given(counts, st.integers(1, 30), seeds)
def test_every_pair_is_what_it_says(count: int, size: int, seed: int) -> None:
    pairs = draw_pairs(count, size, seed)
    assert len({(left, right) for _, left, right in pairs}) == len(pairs) == size
    for label, left, right in pairs:
        tables = truth_table(left), truth_table(right)
        assert all(0 < table < EVERYWHERE for table in tables)
        assert label == relation(*tables)
        assert max(operators(left), operators(right)) == count
        assert len({token for token in f"{left} {right}".split() if token in VARIABLES}) <= 4


@given(counts, st.integers(1, 30), st.integers(1, 30), seeds)
def test_the_first_pairs_are_the_same_whatever_the_size(count: int, size: int, more: int, seed: int) -> None:
    more = min(more, 36 - size) if count == 0 else more  # there are 36 pairs of variables
    assert draw_pairs(count, size, seed) == draw_pairs(count, size + max(more, 0), seed)[:size]


def test_seed_and_count_decide() -> None:
    drawn = {str(draw_pairs(count, 20, seed)) for count in (3, 4) for seed in (0, 1)}
    assert len(drawn) == 4
    assert draw_pairs(3, 20, 0) == draw_pairs(3, 20, 0)


def test_what_a_seed_draws_does_not_change_unnoticed() -> None:
    """If it must: raise GENERATOR_VERSION, which names the cached files, and write the new ones here."""
    assert draw_pairs(2, 3, 0) == [
        ("#", "( ( f ( or d ) ) ( and f ) )", "( not c )"),
        (">", "c", "( c ( and ( not d ) ) )"),
        ("v", "( ( not f ) ( or b ) )", "f"),
    ]


def test_more_pairs_than_there_are_is_refused() -> None:
    assert len(draw_pairs(0, 36, 0)) == 36
    with pytest.raises(ValueError, match="there are not 37 distinct pairs of 0 operators"):
        draw_pairs(0, 37, 0)
    for count in (-1, 13):
        with pytest.raises(ValueError, match=f"count must be from 0 to 12 operators, not {count}"):
            draw_pairs(count, 1, 0)


def test_formulas_have_the_shape_that_is_documented() -> None:
    """``not`` in front with 0.7 of one operator, else 0.3; the other operators anywhere with equal chance."""
    rng = random.Random(0)
    drawn = [_formula(rng, 1, ["a", "b", "c", "d"]) for _ in range(4000)]
    # An ``and`` or ``or`` of one operator is always informative, so nothing is drawn again.
    assert sum("not" in text for text in drawn) / 4000 == pytest.approx(0.7, abs=0.03)
    assert sum(" and " in text for text in drawn) / 4000 == pytest.approx(0.15, abs=0.03)
    assert Counter(text for text in drawn if len(text) == 1) == {}
    deep = [_formula(rng, 5, ["a", "b", "c", "d"]) for _ in range(4000)]
    assert {operators(text) for text in deep} == {5}
    # Those always true or false are drawn again, and they have fewer of ``not`` in front of them than others.
    assert sum(text.startswith("( not") for text in deep) / 4000 == pytest.approx(0.3, abs=0.04)


def test_the_shorter_sides_sizes_have_the_weights_that_are_documented() -> None:
    pairs = draw_pairs(9, 2000, 0)
    shorter = Counter(min(operators(left), operators(right)) for _, left, right in pairs)
    for count, weight in enumerate(SHORTER[:10]):
        assert shorter[count] / 2000 == pytest.approx(weight / sum(SHORTER[:10]), abs=0.04)
    longer_left = sum(operators(left) == 9 for _, left, right in pairs if operators(left) != operators(right))
    assert longer_left / len(pairs) == pytest.approx(0.5, abs=0.03)


def test_labels_are_shared_out_as_documented() -> None:
    """The shares that the module names are those of the full sizes; these of fewer pairs are near them."""
    pairs = [pair for count in range(1, 7) for pair in draw_pairs(count, TRAIN_SIZES[count] // 20, 0)]
    found = Counter(label for label, _, _ in pairs)
    documented = {"#": 0.539, "<": 0.114, ">": 0.115, "|": 0.097, "v": 0.096, "=": 0.022, "^": 0.017}
    assert set(found) == set(RELATIONS) == set(documented)
    for name, share in documented.items():
        assert found[name] / len(pairs) == pytest.approx(share, abs=0.02)


def test_training_and_test_pairs_have_none_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestree.tasks.logic.generator.TRAIN_SIZES", [30, 90, 50])
    monkeypatch.setattr("nestree.tasks.logic.generator.TEST_SIZES", [6, 20, 7])
    for count, sizes in enumerate([(30, 6), (90, 20), (50, 7)]):
        train, test = split_pairs(count, 3)
        assert (len(train), len(test)) == sizes
        assert not {pair[1:] for pair in train} & {pair[1:] for pair in test}
        assert (train, test) == split_pairs(count, 3)


@pytest.mark.parametrize("seed", range(2))
def test_the_smallest_files_can_be_drawn_in_full(seed: int) -> None:
    """Where pairs are scarce: all 36 of variables, and 2,729 of the 7,020 with one operator, rare ones among them."""
    for count in (0, 1):
        train, test = split_pairs(count, seed)
        assert (len(train), len(test)) == (TRAIN_SIZES[count], TEST_SIZES[count])
