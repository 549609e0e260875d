"""``nestree evaluate`` on a user's own table: by label, with a bag of words, as tables and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.consoles import output
from nestree.evaluation import bag_of_words, evaluate_run
from nestree.evaluation.record import entries
from nestree.reports import class_tables
from nestree.reports.first_look import first_look
from nestree.runs import Run
from support.training import QUIET, saved_run

WORDS = {"good": "positive", "fine": "positive", "bad": "negative", "dull": "negative", "odd": "mixed"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))


def own_run(folder: Path, words: dict[str, str], **options: str) -> Run:
    """A run with fresh weights on a table with one text per word, eight times in train and once in test."""
    lines = [f"it is {word} {number},{label}" for number in range(8) for word, label in words.items()]
    (folder / "train.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    (folder / "test.csv").write_text("text,label\n" + "\n".join(lines[: len(words)]) + "\n")
    tables = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv"), "text": "text", "label": "label"}
    return saved_run(folder / "run", "ebt-grc", data={"task": "own", **tables, **options}, encoder={"beam_size": 2})


@pytest.fixture
def own(tmp_path: Path) -> Run:
    return own_run(tmp_path, WORDS)


def evaluated(run: Run, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["evaluate", str(run.path), "--tests", "test", "--threads", "1", *options]) == 0
    return capsys.readouterr().out


def test_few_labels_of_texts_are_shown(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    printed = evaluated(own, capsys)
    assert "test, by label; macro F1" in printed
    assert "precision %" in printed
    assert "by length" in printed
    assert "interval] by label" not in printed  # that is the recall
    assert "test, bag of words (TF-IDF and logistic regression, trained on 36 texts): 100.0 %" in printed
    assert "ECE %" in printed


def test_many_labels_are_shown_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = own_run(tmp_path, {f"w{number}": f"label {number}" for number in range(25)})
    printed = evaluated(run, capsys)
    assert "25 labels: --classes shows precision, recall and F1 of each" in printed
    assert "precision %" not in printed
    assert "label 24" in evaluated(run, capsys, "--classes").partition("precision %")[2]


def test_generated_tests_are_short_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved_run(tmp_path / "logic", data={"task": "logic"})
    asked = ["evaluate", str(run.path), "--tests", "ops-1", "--limit", "20"]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert "precision %" not in printed
    assert "bag of words" not in printed
    assert main([*asked, "--classes"]) == 0
    assert "precision %" in capsys.readouterr().out


def test_json_has_one_object_per_result_and_nothing_else(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(own.path), "--tests", "test", "validation", "--json"]) == 0
    test, validation = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (test["test"], validation["test"]) == ("test", "validation")
    assert test["examples"] == sum(map(sum, test["measures"]["confusion"])) == 5
    assert [one["label"] for one in test["measures"]["classes"]] == ["mixed", "negative", "positive"]
    assert test["bag_of_words"]["accuracy"] == 1
    assert test["bag_of_words"]["low"] <= test["bag_of_words"]["difference"] <= test["bag_of_words"]["high"]
    for one in test["measures"]["mistakes"]:
        assert WORDS[one["texts"][0].split()[2]] == one["label"] != one["predicted"]
    assert "texts" not in entries(own)[0]["measures"]["mistakes"][0]  # a run may be shared where its test may not


def test_the_bag_of_words_is_computed_once(
    own: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluated(own, capsys)
    monkeypatch.setattr(evaluate_run, "bag_of_words", lambda *_: pytest.fail("computed again"))
    second = evaluated(own, capsys)
    sentence = [line for line in first.splitlines() if "bag of words (" in line]
    assert sentence == [line for line in second.splitlines() if "bag of words (" in line]


def test_without_scikit_learn_the_extra_is_named(
    own: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (evaluate_run, class_tables, bag_of_words):
        monkeypatch.setattr(module, "is_installed", lambda: False)
    assert "needs scikit-learn: pip install 'nestree[sklearn]'" in evaluated(own, capsys)


def test_letters_are_no_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "bag of words" not in evaluated(own_run(tmp_path, WORDS, level="char"), capsys)


def test_after_training_labels_are_shown_too(own: Run, capsys: pytest.CaptureFixture[str]) -> None:
    report = first_look(own, output(), QUIET)
    shown = capsys.readouterr().out
    assert "test: macro F1" in shown
    assert "bag of words (TF-IDF" in shown
    assert "precision %" in shown
    assert "## Labels" in report.read_text()
