"""scikit-learn's bag of words: what it counts, what it learns, and that a result keeps its answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from nestree.data import RaggedExamples
from nestree.evaluation import evaluate
from nestree.evaluation.bag_of_words import Counts, TfidfBagOfWords, bag_of_words, source_of, training_part
from nestree.evaluation.record import entries, known_bag_of_words, record
from nestree.runs import Run
from support.training import digits, fresh_model, saved_run

COLD, WARM, FILLER = 7, 8, (3, 4, 5, 6)


def examples(rows: list[list[int]], labels: list[int], sides: int = 1) -> RaggedExamples:
    return RaggedExamples.from_sequences([np.array(row, np.uint8) for row in rows], labels, name="rows", sides=sides)


def of_words(count: int, seed: int) -> RaggedExamples:
    """Label 1 where the one telling word is WARM."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).tolist()
    return examples([[*rng.choice(FILLER, 5), WARM if label else COLD] for label in labels], labels)


def of_pairs(count: int, seed: int) -> RaggedExamples:
    """Label 1 where the warm side comes first."""
    labels = np.random.default_rng(seed).integers(0, 2, count).tolist()
    return examples([[word] for label in labels for word in ((WARM, COLD) if label else (COLD, WARM))], labels, sides=2)


def of_order(count: int, seed: int) -> RaggedExamples:
    """Label 1 where WARM comes before COLD: the same words in both classes."""
    labels = np.random.default_rng(seed).integers(0, 2, count).tolist()
    return examples([[WARM, COLD, WARM] if label else [COLD, WARM, WARM] for label in labels], labels)


@pytest.mark.parametrize("drawn", [of_words, of_pairs, of_order])
def test_words_sides_and_bigrams_are_learned(drawn) -> None:
    model = TfidfBagOfWords.fit(drawn(80, 1), drawn(40, 2), bigrams=True)
    test = drawn(50, 3)
    assert (model.answers(test) == test.labels).all()
    assert model.validation_accuracy == 1.0


def features(sides: Sequence[NDArray[np.unsignedinteger]]) -> list[str]:
    """Tokens and neighbours of an example, each with its side."""
    tokens = [f"{side}:{token}" for side, sequence in enumerate(sides) for token in sequence]
    return tokens + [
        f"{side}:{left} {right}" for side, sequence in enumerate(sides) for left, right in pairwise(sequence)
    ]


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("bigrams", [False, True])
def test_counts_are_those_of_scikit_learn(sides: int, bigrams: bool) -> None:
    rng = np.random.default_rng(0)

    def drawn(words: int) -> RaggedExamples:
        rows = [rng.integers(0, words, size).tolist() for size in (0, *rng.integers(0, 9, 60 * sides - 1))]
        return examples(rows, [0] * 60, sides)

    def documents(rows: RaggedExamples) -> list[list[str]]:
        found = [features(rows.sequences(row)) for row in range(len(rows))]
        return found if bigrams else [[one for one in each if " " not in one] for each in found]

    train, test = drawn(9), drawn(12)  # words that training does not have, too
    vectorizer = CountVectorizer(analyzer=lambda document: document).fit(documents(train))
    counts = Counts(train, bigrams=bigrams)
    for part in (train, test):
        ours, wanted = (matrix.toarray() for matrix in (counts.matrix(part), vectorizer.transform(documents(part))))
        assert sorted(map(tuple, ours.T)) == sorted(map(tuple, wanted.T))


def test_the_strength_is_the_best_on_validation() -> None:
    """Words that tell in one row of two alone: strong regularization answers the common label everywhere."""
    rng = np.random.default_rng(0)
    labels = [1] * 20 + [0] * 60
    train = examples([[*rng.choice(FILLER, 4), WARM if label else COLD] for label in labels], labels)
    weak = TfidfBagOfWords.fit(train, of_words(60, 5))
    assert weak.strength > 0.1
    assert TfidfBagOfWords.fit(train, train.select(train.labels == 0)).strength == 0.1  # all are right: the first


def test_without_validation_the_strength_is_fixed() -> None:
    model = TfidfBagOfWords.fit(of_words(80, 1))
    assert (model.strength, model.validation_accuracy) == (1.0, None)
    test = of_words(50, 3)
    assert (model.answers(test) == test.labels).all()


def test_order_needs_bigrams() -> None:
    test = of_order(200, 3)
    assert (TfidfBagOfWords.fit(of_order(200, 1)).answers(test) == test.labels).mean() < 0.7


def test_a_bag_of_words_learns_from_words_alone() -> None:
    rng = np.random.default_rng(0)
    labels = [int(n) for n in rng.integers(0, 2, 200)]
    texts = [[5 if label else 6, *rng.integers(7, 40, size=5).tolist()] for label in labels]
    train, test = examples(texts[:150], labels[:150]), examples([*texts[150:], [250]], [*labels[150:], 0])
    found = bag_of_words(train, test)
    assert found is not None
    assert found.correct >= 49
    assert (found.examples, found.trained_on) == (51, 150)
    assert type(found).from_dict(json.loads(json.dumps(found.as_dict()))).right == found.right
    right = np.unpackbits(np.frombuffer(bytes.fromhex(found.right), np.uint8), count=51)
    assert right.sum() == found.correct
    assert bag_of_words(examples(texts[:5], [1] * 5), test) is None


def test_a_bag_of_words_is_trained_on_the_examples_of_the_run() -> None:
    train = digits(100)
    assert training_part(train, size=30, seed=4).checksum == train.sample(30, seed=4).checksum
    assert len(training_part(train, size=None, seed=4)) == 100
    assert source_of(train, train) != source_of(train, digits(99))


def test_a_bag_of_words_is_not_computed_again(tmp_path: Path) -> None:
    run: Run = saved_run(tmp_path / "run")
    test = digits(40, seed=1)
    bag = bag_of_words(digits(60), test)
    assert bag is not None
    result = evaluate(fresh_model(), test, test="t")
    record(run, replace(result, bag_of_words=bag), seed=0)
    assert known_bag_of_words(run, bag.source) == replace(bag, seconds=round(bag.seconds, 3))
    assert known_bag_of_words(run, "another") is None
    record(run, result, seed=0)  # an evaluation without it
    assert entries(run)[0]["bag_of_words"]["right"] == bag.right
