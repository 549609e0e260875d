"""Several labels, and numbers, in a user's own tables: what is read, kept and refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nestree.data import RaggedExamples
from nestree.data.batches import collate
from nestree.errors import UserError
from nestree.tasks.target import Target, target_of
from nestree.tasks.text.own import OwnOptions
from nestree.tasks.text.task import TextTask


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))


def write(name: str, rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def opened(state: dict[str, Any] | None = None, **options: Any) -> TextTask:
    return OwnOptions(task="own", **{"train": "train.csv", "validation": "train.csv", **options}).open(state)


def error(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


ROWS = (("one", "b|a"), ("two", ""), ("three", " a | a |"), ("four", "c"))


def test_a_cell_lists_labels() -> None:
    write("train.csv", ROWS, ("text", "genres"))
    task = opened(target="labels", label="genres", separator="|")
    assert task.target == Target("labels", ("a", "b", "c"), "|")
    examples = task.load("train")
    assert examples.answers is not None
    assert examples.answers.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert [task.target.written(examples, row) for row in range(4)] == ["a|b", "", "a", "c"]
    assert task.strata(examples).keys() == {"length"}


def test_there_is_a_column_per_label() -> None:
    rows = [("one", 1, "no", "x"), ("two", "TRUE", "", "x"), ("three", "0.0", "yes", "x")]
    write("train.csv", rows, ("text", "fun", "sad", "other"))
    task = opened(target="labels", label="sad,fun")
    answers = task.load("train").answers
    assert task.label_names == ("sad", "fun")
    assert answers is not None
    assert answers.tolist() == [[0, 1], [0, 1], [1, 0]]


def test_json_lists_labels() -> None:
    lines = [{"text": "one", "label": ["b", "a"]}, {"text": "two", "label": []}, {"text": "three", "label": None}]
    Path("train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answers = opened(train="train.jsonl", validation="train.jsonl", target="labels").load("train").answers
    assert answers is not None
    assert answers.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_numbers_are_read_with_the_mean_and_deviation_of_training() -> None:
    write(
        "train.csv", [("a", "x", "1"), ("b", "x", " 3.0 "), ("c", "x", ""), ("d", "x", "nan")], ("one", "two", "score")
    )
    options: dict[str, Any] = {"target": "number", "label": "score", "text": "one", "text2": "two"}
    assert "skip_unlabelled true leaves such rows out" in error(lambda: opened(**options).load("train"))
    task = opened(skip_unlabelled=True, **options)
    answers = task.load("train").answers
    assert answers is not None
    assert answers.tolist() == [[1.0], [3.0]]
    assert task.target == Target("number", ("score",), mean=2.0, deviation=1.0)
    assert task.baseline_about == "the mean of the training numbers"


def test_the_held_out_rows_do_not_decide_the_mean() -> None:
    write("train.csv", [(f"text {n}", n) for n in range(40)], ("text", "label"))
    task = opened(target="number", validation=None, validation_share=0.5)
    train, validation = (task.load(split).answers for split in ("train", "validation"))
    assert train is not None
    assert validation is not None
    assert len(train) == len(validation) == 20
    assert task.target.mean == pytest.approx(train.mean())
    assert task.target.mean != pytest.approx(validation.mean())


def test_a_run_keeps_its_target() -> None:
    write("train.csv", ROWS, ("text", "genres"))
    options: dict[str, Any] = {"target": "labels", "label": "genres", "separator": "|"}
    task = opened(**options)
    kept = opened(json.loads(json.dumps(task.state())), **options)
    Path("train.csv").unlink()
    assert target_of(kept) == task.target


def test_a_task_of_single_labels_is_as_before() -> None:
    write("train.csv", [(f"text {n}", "ab"[n % 2]) for n in range(20)], ("text", "label"))
    task = opened()
    examples = task.load("train")
    assert examples.answers is None
    assert "target" not in task.state()
    assert target_of(task) == Target("class", ("a", "b"))


@pytest.mark.parametrize(
    ("options", "cell", "message"),
    [
        ({"target": "number"}, "3,5", "train.csv:2: 'label' is '3,5', not a number such as 3.5"),
        ({"target": "number"}, "inf", "train.csv:2: 'label' is 'inf', not a number"),
        ({"target": "number"}, "2", "every training row has the number 2"),
        ({"target": "labels"}, "a|b", "train.csv:2: 'label' is a text; data.separator must be"),
        ({"target": "labels", "separator": "|"}, "", "no row has a label in 'label'"),
        ({"target": "labels", "label": "label,more"}, "perhaps", "train.csv:2: 'label' is 'perhaps', but a column"),
        ({"target": "labels", "label": "label,none"}, "1", "label must name a column of train.csv"),
    ],
)
def test_a_wrong_cell_is_named(options: dict[str, Any], cell: str, message: str) -> None:
    write("train.csv", [("one", cell, 1), ("two", "2" if cell == "2" else cell, 0)], ("text", "label", "more"))
    assert message in error(lambda: opened(**options).load("train"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "several"}, "target must be"),
        ({"separator": "|"}, "separator is for target labels"),
        ({"target": "labels", "separator": ""}, "separator must not be empty"),
        ({"target": "labels", "label": "a,text"}, "label must be a different column"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    assert message in error(lambda: OwnOptions(**options))


def test_a_label_of_a_test_that_training_lacks_is_named() -> None:
    write("train.csv", ROWS, ("text", "genres"))
    write("test.csv", [("one", "a|d")], ("text", "genres"))
    found = error(lambda: opened(test="test.csv", target="labels", label="genres", separator="|").load("test"))
    assert found.startswith("test.csv:2: the label 'd' is not in train.csv")


@pytest.mark.parametrize("answers", [np.array([[1, 0], [0, 1]], np.uint8), np.array([[1.5], [-2.0]])])
def test_answers_are_kept_in_files_and_samples(answers: np.ndarray, tmp_path: Path) -> None:
    tokens, offsets, labels = np.array([5, 6, 7], np.uint8), np.array([0, 1, 3]), np.zeros(2, np.int64)
    examples = RaggedExamples(tokens, offsets, labels, "two", answers=answers)
    examples.save(tmp_path / "two.safetensors")
    read = RaggedExamples.load(tmp_path / "two.safetensors")
    assert read.checksum == examples.checksum != RaggedExamples(tokens, offsets, labels, "two").checksum
    for part in (
        read.select([1]),
        read.select(np.array([False, True])),
        RaggedExamples.concatenate([read, read]).select([3]),
    ):
        assert part.answers is not None
        assert part.answers.tolist() == answers[1:].tolist()
    assert collate(read, [1, 0]).labels.tolist() == answers[::-1].tolist()
    with pytest.raises(ValueError, match="answers must be 2 rows"):
        RaggedExamples(tokens, offsets, labels, "two", answers=answers[:1])
