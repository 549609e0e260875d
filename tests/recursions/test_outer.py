"""The outer tree: levels and groups, by each sequence's own length."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.recursions.outer import Level, Outer, plan_levels

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=4)
ARITIES = st.integers(2, 9)


def loop(length: int, arity: int, split_from: int) -> list[list[int]]:
    """The sizes of a sequence's groups, level by level, as design says it."""
    levels, items = [], length
    while items > 1:
        if items >= split_from:
            sizes = [arity] * (items // arity) + ([items % arity] if items % arity else [])
        else:
            sizes = [items]
        levels.append(sizes)
        items = len(sizes)
    return levels


def folded(lengths: list[int], levels: list[Level]) -> dict[int, object]:
    """Follow the levels' rows with nested tuples for states, down to each sequence's root."""
    table: list[object] = [(row, position) for row, length in enumerate(lengths) for position in range(length)]
    roots: dict[int, object] = {}
    for level in levels:
        table = [tuple(table[first : first + size]) for first, size in zip(level.first, level.size, strict=True)]
        roots |= {
            sequence: root for root, sequence, last in zip(table, level.sequence, level.last, strict=True) if last
        }
    return roots


def nested(row: int, length: int, sizes: list[list[int]]) -> object:
    items: list[object] = [(row, position) for position in range(length)]
    for level in sizes:
        starts = [sum(level[:group]) for group in range(len(level))]
        items = [tuple(items[start : start + size]) for start, size in zip(starts, level, strict=True)]
    return items[0]


@given(lengths=LENGTHS, arity=ARITIES)
def test_groups_are_those_of_the_loop(lengths: list[int], arity: int) -> None:
    expected = {
        row: nested(row, length, loop(length, arity, arity + arity // 2))
        for row, length in enumerate(lengths)
        if length > 1  # a sequence of one item takes no part
    }
    assert folded(lengths, plan_levels(lengths, arity)) == expected


PARTS = st.sampled_from([0.0, 0.2, 0.34, 0.5])


@given(lengths=LENGTHS, arity=ARITIES, partial=PARTS)
def test_partial_folding_hands_on_so_many_roots_of_every_group(lengths: list[int], arity: int, partial: float) -> None:
    outer = Outer(arity, partial=partial)
    below = {row: [1] * length for row, length in enumerate(lengths)}  # roots of each group of the level below
    table, done = sum(lengths), []
    for number, level in enumerate(outer.levels(lengths, training=False)):
        assert level.merges == [size - roots for size, roots in zip(level.size, level.roots, strict=True)]
        found: dict[int, list[int]] = {}
        for first, size, roots, row, last in zip(
            level.first, level.size, level.roots, level.sequence, level.last, strict=True
        ):
            whole = sum(below[row]) < outer.arity + outer.arity // 2
            assert first + size <= table
            assert last == whole
            assert roots == (1 if last else min(outer.roots, size))
            group = len(found.setdefault(row, []))
            if last:
                assert size == sum(below[row])
                done.append(row)
            else:  # as many whole groups of the level below as fit, none of which is cut
                count = arity if number == 0 else arity // outer.roots
                assert size == sum(below[row][group * count : (group + 1) * count]) <= arity
            found[row].append(roots)
        table = sum(level.roots)
        below = found
    assert sorted(done) == [row for row, length in enumerate(lengths) if length > 1]


@pytest.mark.parametrize(
    ("arity", "partial", "roots"),
    [(None, 0.5, 1), (100, 0.5, 50), (100, 0.29, 29), (5, 0.5, 2), (3, 0.5, 1), (9, 0.0, 1)],
)
def test_roots_are_a_share_of_the_arity(arity: int | None, partial: float, roots: int) -> None:
    assert Outer(arity, partial=partial).roots == roots


@given(lengths=LENGTHS, arity=ARITIES)
def test_a_sequences_groups_do_not_depend_on_its_batch(lengths: list[int], arity: int) -> None:
    levels = plan_levels(lengths, arity)
    for row, length in enumerate(lengths):
        alone = [(level.size, level.group, level.last) for level in plan_levels([length], arity)]
        together = []
        for level in levels:
            groups = [group for group, sequence in enumerate(level.sequence) if sequence == row]
            if groups:
                together.append(tuple([column[g] for g in groups] for column in (level.size, level.group, level.last)))
        assert together == alone


@given(length=st.integers(2, 100_000), arity=st.integers(2, 40))
def test_depth_is_about_k_log_k_of_n(length: int, arity: int) -> None:
    levels = plan_levels([length], arity)
    log, power = 1, arity
    while power < length:
        log, power = log + 1, power * arity
    assert len(levels) <= log
    assert all(level.largest <= arity for level in levels[:-1])
    assert levels[-1].largest <= arity + arity // 2 - 1
    assert levels[-1].last == [True]


@given(length=st.integers(2, 100_000), arity=st.integers(2, 40))
def test_under_partial_folding_depth_grows_with_the_logarithm(length: int, arity: int) -> None:
    outer = Outer(arity, partial=0.5)
    levels = outer.levels([length], training=False)
    depth = sum(max(level.merges) for level in levels)
    assert depth <= (arity - outer.roots) * math.ceil(math.log2(length)) + arity + arity // 2


@given(lengths=LENGTHS)
def test_without_an_arity_one_group_holds_all(lengths: list[int]) -> None:
    levels = plan_levels(lengths, None)
    assert [level.size for level in levels] == ([[n for n in lengths if n > 1]] if max(lengths) > 1 else [])


@pytest.mark.parametrize(
    ("length", "arity", "sizes"),
    [
        (1, 4, []),
        (2, 4, [[2]]),
        (5, 4, [[5]]),
        (6, 4, [[4, 2], [2]]),
        (9, 4, [[4, 4, 1], [3]]),
        (3, 2, [[2, 1], [2]]),
        (5, 2, [[2, 2, 1], [2, 1], [2]]),
        (44, 30, [[44]]),
        (45, 30, [[30, 15], [2]]),
        (24, 4, [[4] * 6, [4, 2], [2]]),
    ],
)
def test_worked_examples(length: int, arity: int, sizes: list[list[int]]) -> None:
    assert [level.size for level in plan_levels([length], arity)] == sizes


@given(lengths=LENGTHS, arity=ARITIES, split=st.integers(2, 40), training_split=st.integers(2, 40))
def test_thresholds_of_evaluation_and_training(lengths: list[int], arity: int, split: int, training_split: int) -> None:
    def sizes(outer: Outer, *, training: bool) -> list[list[int]]:
        return [level.size for level in outer.levels(lengths, training=training)]

    both = Outer(arity, split, training_split)
    assert sizes(both, training=False) == sizes(Outer(arity, split), training=True)
    assert sizes(both, training=True) == sizes(Outer(arity, training_split), training=False)
    only_training = Outer(arity, training_split_from=training_split)
    assert sizes(only_training, training=False) == sizes(Outer(arity), training=True)
    levels = both.levels(lengths[:1], training=True)
    assert [level.size for level in levels] == loop(lengths[0], arity, training_split)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"arity": 1}, "arity"),
        ({"split_from": 1}, "split_from"),
        ({"training_split_from": 0}, "training_split_from"),
        ({"alignment": "sample"}, "alignment"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"partial": 0.6}, "partial"),
        ({"partial": -0.1}, "partial"),
        ({"partial": True}, "partial"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_options_are_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named} must"):
        Outer(**options)
