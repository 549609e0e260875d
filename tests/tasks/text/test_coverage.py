"""What commands say of how much they read: known words, and what is cut at data.max_tokens."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from nestree.cli.main import main

TINY = [
    *["--encoder.dim", "8", "--encoder.beam_size", "2", "--model.head_hidden", "8", "--data.batch", "8"],
    *["--trainer.threads", "1", "--trainer.devices", "1", "--trainer.max_steps", "3", "--trainer.validate_every", "2"],
]
CUT = "cut at 3 tokens (data.max_tokens)"


def write(path: Path, rows: Sequence[Sequence[str]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a run on words that cuts texts."""
    folder = tmp_path_factory.mktemp("coverage")
    train = write(folder / "train.csv", [("a good film indeed", "yes"), ("bad 今天 film", "no")] * 10)
    test = write(folder / "test.csv", [("unheard of words here today", "yes"), ("film", "no")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTREE_CACHE", str(folder / "cache"))
        data = ["--data.train", train, "--data.test", test, "--data.max_tokens", "3"]
        assert main(["train", "classify", *TINY, *data, "--run", str(folder / "run")]) == 0
    return str(folder / "run")


@pytest.fixture
def run(trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That run, with a cache of the test's own."""
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path))
    return trained


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a command, and return its lines on standard error."""
    assert main(arguments) == 0
    return capsys.readouterr().err.splitlines()


def test_training_says_what_is_known_and_cut_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    train = write(tmp_path / "train.csv", [("今天 good 好 film", "yes"), ("不好 x", "no")] * 10)
    for number in range(2):
        arguments = ["train", "classify", *TINY, "--data.train", train, "--data.max_tokens", "3"]
        lines = said([*arguments, "--run", str(tmp_path / f"run-{number}")], capsys)
        first = lines.index("tokens      train: 100.0% of the tokens are known")
        assert lines[first + 1 : first + 5] == [
            f"            train: 9 of 18 texts {CUT}: 18 tokens not read, the longest text has 5",
            "            validation: 100.0% of the tokens are known",
            f"            validation: 1 of 2 texts {CUT}: 2 tokens not read, the longest text has 5",
            "            44% of the letters are of a script without spaces between words: try --data.level char",
        ]


def test_evaluation_says_it_of_each_test(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(["evaluate", run, "--inference", "both"], capsys)
    known = "test: only 25.0% of the tokens are known: train with --data.min_count 1 or --data.level char"
    assert [line for line in lines if line.startswith("test: ")] == [
        known,
        f"test: 1 of 2 texts {CUT}: 2 tokens not read, the longest text has 5",
    ]


@pytest.mark.parametrize("command", ["predict", "parse"])
def test_answers_to_texts_say_what_was_cut(run: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said([command, run, "a good film", "film"], capsys) == []
    assert said([command, run, "a good film indeed", "film"], capsys) == [
        f"inputs: 1 of 2 texts {CUT}: 1 token not read, the longest text has 4"
    ]
    assert said([command, run, "nothing known"], capsys) == [
        "inputs: only 0.0% of the tokens are known: train with --data.min_count 1 or --data.level char"
    ]


def test_a_parse_in_a_file_says_it_too(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(["parse", run, "a good film indeed", "-o", str(tmp_path / "tree.txt")], capsys)
    assert lines[0] == f"inputs: 1 of 1 text {CUT}: 1 token not read, the longest text has 4"


def test_predictions_of_a_table_say_how_much_is_known(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "new.csv", [("a good film indeed", "yes")])
    assert said(["predict", run, path], capsys)[-2:] == [
        f"{path}: 100.0% of the tokens are known",
        f"{path}: 1 of 1 text {CUT}: 1 token not read, the longest text has 4",
    ]
