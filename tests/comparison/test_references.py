"""The row of scikit-learn's bag of words in a comparison."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from nestree.cli.main import main
from nestree.comparison import references
from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.comparison.plan import BAG_OF_WORDS, Comparison, Plan
from nestree.comparison.references import reference_rows
from nestree.comparison.run_plan import carry_out
from nestree.evaluation.bag_of_words import TfidfBagOfWords
from support.training import QUIET, train_here


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


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
    def fit(*_: object, **__: object) -> None:
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
