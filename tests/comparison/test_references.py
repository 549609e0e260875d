"""scikit-learn's bag of words, and its row in a comparison."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from nestree.cli.main import main
from nestree.comparison import references
from nestree.comparison.bag_of_words import TfidfBagOfWords, features
from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.comparison.plan import BAG_OF_WORDS, Comparison, Plan
from nestree.comparison.references import reference_rows
from nestree.comparison.run_plan import carry_out
from nestree.data import RaggedExamples
from support.training import QUIET, train_here

COLD, WARM, FILLER = 7, 8, (3, 4, 5, 6)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


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
    model = TfidfBagOfWords.fit(drawn(80, 1), drawn(40, 2))
    test = drawn(50, 3)
    assert (model.answers(test) == test.labels).all()
    assert model.validation_accuracy == 1.0


def test_features_are_tokens_and_neighbours_of_each_side() -> None:
    sides = np.array([4, 5, 4], np.uint8), np.array([5], np.uint8)
    assert features(sides) == ["0:4", "0:5", "0:4", "0:4 5", "0:5 4", "1:5"]


def test_the_strength_is_the_best_on_validation() -> None:
    """Words that tell in one row of two alone: strong regularization answers the common label everywhere."""
    rng = np.random.default_rng(0)
    labels = [1] * 20 + [0] * 60
    train = examples([[*rng.choice(FILLER, 4), WARM if label else COLD] for label in labels], labels)
    weak = TfidfBagOfWords.fit(train, of_words(60, 5))
    assert weak.strength > 0.1
    assert TfidfBagOfWords.fit(train, train.select(train.labels == 0)).strength == 0.1  # all are right: the first


def begun(tmp_path: Path) -> Comparison:
    table = tmp_path / "texts.csv"
    lines = [f"a film that is {'good' if row % 2 else 'bad'} and {row % 5} more,{row % 2}" for row in range(60)]
    table.write_text("\n".join(["text,label", *lines]))
    shared = (
        *(f"--data.train={table}", "--data.text=text", "--data.label=label", "--data.min_count=1"),
        *("--encoder.dim=4", "--trainer.threads=1", "--trainer.devices=1", "--data.batch=8"),
    )
    contenders = (Contender.parse("classify-bow"), Contender.parse("classify-bilstm"))
    plan = Plan(contenders, Budget.parse("40seq"), shared, references=(BAG_OF_WORDS,))
    return Comparison.begin(plan, tmp_path / "out", console=QUIET)


def test_a_comparison_has_its_row_and_fits_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = begun(tmp_path)
    assert carry_out(comparison, console=QUIET, train=train_here)
    (row,) = reference_rows(comparison)
    (result,) = row.results.values()
    of_runs = json.loads((comparison.path / "comparison.json").read_text())["rows"][0]["results"][0]
    assert (result.total.examples, result.baseline) == (of_runs["examples"], of_runs["baseline"])
    assert result.total.accuracy == 1.0
    right = np.unpackbits(np.frombuffer(bytes.fromhex(result.right or ""), np.uint8), count=result.total.examples)
    assert right.sum() == result.total.correct
    lines = (comparison.path / "comparison.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith(("| classify", "| bow", "| base"))] == [
        "| classify-bow",
        "| classify-bilstm",
        "| bow-sklearn",
        "| baseline",
    ]
    assert any(line.startswith("bow-sklearn: scikit-learn's logistic regression") for line in lines)
    monkeypatch.setattr(references, "TfidfBagOfWords", None)  # fitting once more would fail
    assert carry_out(Comparison.open(comparison.path), console=QUIET, train=train_here)


def test_a_fit_that_fails_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: object) -> None:
        raise ValueError("one class\nonly")

    comparison = begun(tmp_path)
    monkeypatch.setattr(TfidfBagOfWords, "fit", fit)
    assert not carry_out(comparison, console=QUIET, train=train_here)
    text = (comparison.path / "comparison.md").read_text()
    assert "bow-sklearn: one class only" in text
    assert "| bow-sklearn | failed |" in text


def test_without_scikit_learn_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    assert main(["compare", "listops-grc-quick", "bow-sklearn", "--budget", "8seq", "--out", "out"]) == 2
    assert capsys.readouterr().err == "nestree: bow-sklearn needs scikit-learn: pip install 'nestree[sklearn]'\n"
    assert not Path("out").exists()


def test_it_is_no_contender_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "bow-sklearn", "--budget", "8seq"]) == 2
    assert "name the recipes to compare" in capsys.readouterr().err
