"""The sampler against enumeration of all trees, and its two ways of drawing against each other."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nestree.data import RaggedExamples
from nestree.tasks.listops import OPERATORS, VOCABULARY, depth, evaluate, operator_spans, sampler
from nestree.tasks.listops.expression import CLOSE, FIRST_DIGIT
from nestree.tasks.listops.sampler import Grammar, LengthLaw, sample, sample_within


def shapes(grammar: Grammar, level: int = 1) -> dict[str, float]:
    """Every tree below a node at a level, symbols left out ("d" a digit, "[" an operator), and its probability."""
    if level == grammar.depth:
        return {"d": 1.0}
    found = {"d": 1 - grammar.operator_probability}
    below = shapes(grammar, level + 1)
    for arity in range(2, grammar.max_args + 1):
        for children in itertools.product(below, repeat=arity):
            chance = math.prod(below[child] for child in children)
            found[f"[{''.join(children)}]"] = grammar.operator_probability / (grammar.max_args - 1) * chance
    return found


def shape_counts(examples: RaggedExamples) -> Counter[str]:
    letters = np.array(["", *"[" * len(OPERATORS), "]", *"d" * 10])
    return Counter("".join(letters[examples[index][0]]) for index in range(len(examples)))


def assert_drawn_from(counts: Counter[str], expected: dict[str, float]) -> None:
    """Chi-square test at five standard deviations; outcomes expected less than eight times are taken as one."""
    assert set(counts) <= {outcome for outcome, chance in expected.items() if chance > 0}
    total, mass = sum(counts.values()), sum(expected.values())
    cells: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for outcome, chance in expected.items():
        often = total * chance / mass
        cell = outcome if often >= 8 else "rare"
        cells[cell] += counts[outcome]
        wanted[cell] += often  # type: ignore[assignment]
    statistic = sum((cells[cell] - wanted[cell]) ** 2 / wanted[cell] for cell in wanted)
    freedom = len(wanted) - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """The same test of two samples of integers."""
    values = np.union1d(one, other)
    counts = np.array([[np.count_nonzero(sample == value) for value in values] for sample in (one, other)], float)
    counts = counts[:, counts.sum(axis=0) >= 16]
    shares = counts.sum(axis=0) / counts.sum()
    wanted = counts.sum(axis=1, keepdims=True) * shares
    freedom = counts.shape[1] - 1
    assert ((counts - wanted) ** 2 / wanted).sum() < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("grammar", [Grammar(1, 3), Grammar(2, 5), Grammar(3, 3), Grammar(4, 3), Grammar(3, 3, 0.6)])
def test_length_law_is_that_of_all_trees(grammar):
    exact: Counter[int] = Counter()
    for shape, chance in shapes(grammar).items():
        exact[len(shape)] += chance  # type: ignore[assignment]
    longest = max(exact)
    law = LengthLaw(grammar, 1, longest)
    found = np.exp(law.log_probability(1))
    np.testing.assert_allclose(found, [exact[length] for length in range(longest + 1)], rtol=1e-12)
    assert found.sum() == pytest.approx(1)


def test_length_law_does_not_depend_on_the_range_it_is_made_for():
    short, long = LengthLaw(Grammar(), 1, 90), LengthLaw(Grammar(), 700, 800)
    for level in (1, 7, 19, 20):
        np.testing.assert_allclose(
            short.log_probability(level), long.log_probability(level)[:91], rtol=1e-10, atol=1e-12
        )


def test_trees_of_any_length_have_their_probabilities():
    grammar = Grammar(3, 3, 0.4)
    assert_drawn_from(shape_counts(sample(grammar, 20_000, np.random.default_rng(1))), shapes(grammar))


@pytest.mark.parametrize(("shortest", "longest"), [(1, 17), (4, 9), (8, 12), (13, 13)])
def test_trees_in_a_range_have_their_conditional_probabilities(shortest, longest):
    grammar = Grammar(4, 3, 0.4)
    inside = {shape: chance for shape, chance in shapes(grammar).items() if shortest <= len(shape) <= longest}
    drawn = sample_within(LengthLaw(grammar, shortest, longest), 20_000, np.random.default_rng(2))
    assert_drawn_from(shape_counts(drawn), inside)


@pytest.mark.parametrize(
    ("grammar", "shortest", "longest"), [(Grammar(), 25, 60), (Grammar(9, 15, 0.1), 30, 70), (Grammar(20, 5), 250, 330)]
)
def test_a_range_is_drawn_as_by_rejection(grammar, shortest, longest):
    rng = np.random.default_rng(3)
    drawn = sample(grammar, 200_000, rng)
    rejected = drawn.select((drawn.lengths >= shortest) & (drawn.lengths <= longest))
    conditioned = sample_within(LengthLaw(grammar, shortest, longest), 3_000, rng)
    assert len(rejected) > 100
    rejected = rejected.head(3_000)
    assert_alike(rejected.lengths // 5, conditioned.lengths // 5)
    assert_alike(rejected.labels, conditioned.labels)

    def of_each(examples: RaggedExamples, measure) -> np.ndarray:
        return np.array([measure(examples[index][0]) for index in range(len(examples))])

    for measure in (depth, lambda tokens: (tokens < CLOSE).sum(), lambda tokens: first_child(tokens) // 4):
        assert_alike(of_each(rejected, measure), of_each(conditioned, measure))


def first_child(tokens: np.ndarray) -> int:
    """Tokens of the root's first argument."""
    return next((end - first for first, end in sorted(operator_spans(tokens)) if first == 1), 1)


def test_tables_draw_what_is_drawn_without_them(monkeypatch):
    def drawn() -> RaggedExamples:
        return sample_within(LengthLaw(Grammar(), 150, 300), 50, np.random.default_rng(6))

    with_tables = drawn()
    monkeypatch.setattr(sampler, "_TABLE_LENGTH", 1)
    assert drawn().checksum == with_tables.checksum


def test_operators_and_digits_are_uniform():
    examples = sample_within(LengthLaw(Grammar(), 50, 100), 1_000, np.random.default_rng(4))
    counts = np.bincount(examples.tokens, minlength=len(VOCABULARY))
    for symbols in (counts[1:CLOSE], counts[FIRST_DIGIT:]):
        wanted = symbols.mean()
        assert ((symbols - wanted) ** 2 / wanted).sum() < len(symbols) - 1 + 5 * math.sqrt(2 * (len(symbols) - 1))


@settings(max_examples=60, deadline=None)
@given(st.builds(Grammar, st.integers(2, 7), st.integers(2, 7)), st.integers(4, 60), st.integers(0, 40), st.data())
def test_every_expression_keeps_to_its_grammar_and_range(grammar, shortest, width, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    try:
        law = LengthLaw(grammar, shortest, shortest + width)
    except ValueError:  # a small tree does not reach every length
        reject()
    for examples in (sample_within(law, 20, rng), sample(grammar, 20, rng)):
        for index in range(len(examples)):
            tokens, label = examples[index]
            assert evaluate(tokens) == label
            assert depth(tokens) < grammar.depth
            assert all(2 <= count <= grammar.max_args for count in argument_counts(tokens))
    assert sample_within(law, 20, rng).lengths.min() >= shortest
    assert sample_within(law, 20, rng).lengths.max() <= shortest + width


def argument_counts(tokens: np.ndarray) -> list[int]:
    counts, opened = [], []
    for token in tokens.tolist():
        if token < CLOSE:
            opened.append(0)
            continue
        if token == CLOSE:
            counts.append(opened.pop())
        if opened:
            opened[-1] += 1
    return counts


@pytest.mark.parametrize(("grammar", "span"), [(Grammar(1, 5), (4, 9)), (Grammar(2, 5), (8, 90)), (Grammar(), (2, 3))])
def test_a_range_without_expressions_is_refused(grammar, span):
    with pytest.raises(
        ValueError, match=f"shortest must allow an expression: there is none of {span[0]} to {span[1]} tokens"
    ):
        LengthLaw(grammar, *span)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Grammar(depth=0), "depth"),
        (lambda: Grammar(max_args=1), "max_args"),
        (lambda: Grammar(operator_probability=1.0), "operator_probability"),
        (lambda: LengthLaw(Grammar(), 9, 8), "shortest"),
        (lambda: LengthLaw(Grammar(), 0, 8), "shortest"),
    ],
)
def test_options_out_of_range_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_very_long_expressions_are_drawn():
    law = LengthLaw(Grammar(), 9_000, 10_000)
    assert law.log_probability(1)[9_500] / math.log(10) == pytest.approx(-41.2, abs=0.1)
    examples = sample_within(law, 3, np.random.default_rng(5))
    for index in range(3):
        tokens, label = examples[index]
        assert 9_000 <= len(tokens) <= 10_000
        assert (evaluate(tokens), depth(tokens)) == (label, 19)
