"""Your own texts as a task: classes, what is held out, what splits share, and what a run keeps of it all."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nestree.data import RaggedExamples
from nestree.data.cache import check_token_ids
from nestree.data.text import SPLITTER
from nestree.errors import UserError
from nestree.evaluation.predictions import encode_all
from nestree.tasks.text.own import OwnOptions, sorted_labels
from nestree.tasks.text.task import TextTask


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))


def write(name: str, rows: Sequence[Sequence[object]], header: Sequence[str] = ("text", "label")) -> None:
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def numbered(count: int, labels: Sequence[object]) -> list[tuple[str, object]]:
    return [(f"text {number}", labels[number % len(labels)]) for number in range(count)]


def opened(state: dict[str, Any] | None = None, **options: Any) -> TextTask:
    return OwnOptions(task="own", train="train.csv", **options).open(state)


def texts(task: TextTask, split: str) -> list[str]:
    return [row.texts[0] for row in task.texts.rows(split)]


def error(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


def test_classes_are_found_and_ordered() -> None:
    assert sorted_labels({"10", "9", "-1", "09"}) == ["-1", "09", "9", "10"]
    assert sorted_labels({"10", "9", "x"}) == ["10", "9", "x"]
    write("train.csv", numbered(40, [10, 9, " 2 "]))
    task = opened()
    assert task.label_names == ("2", "9", "10")
    train = task.load("train")
    assert [task.label_names[label] for label in train.labels[:3]] == [row.label for row in task.texts.rows("train")][
        :3
    ]


def test_a_share_of_each_class_is_held_out_by_seed() -> None:
    write("train.csv", numbered(100, ["a", "a", "a", "b"]))
    task = opened(validation_share=0.2)
    train, validation = texts(task, "train"), texts(task, "validation")
    assert sorted(train + validation) == sorted(text for text, _ in numbered(100, ["a"]))
    assert np.bincount(task.load("validation").labels).tolist() == [15, 5]
    assert texts(opened(validation_share=0.2), "validation") == validation
    assert texts(opened(validation_share=0.2, seed=1), "validation") != validation
    assert (task.protocol, task.first_tests) == ("clean", ("validation",))


def test_a_class_of_one_row_stays_in_train() -> None:
    write("train.csv", [*numbered(20, ["a", "b"]), ("only", "c")])
    assert "only" in texts(opened(), "train")


def test_files_of_their_own_are_validation_and_test(caplog: pytest.LogCaptureFixture) -> None:
    write("train.csv", numbered(6, "ab"))
    write("more.csv", [("text 1", "a"), ("new", "b"), ("text 2", "b")])
    task = opened(validation="more.csv", test="more.csv")
    assert (task.protocol, task.first_tests) == ("own", ("test",))
    assert task.splits["test"].description == "rows of more.csv"
    assert (len(task.load("train")), len(task.load("validation")), len(task.load("test"))) == (6, 3, 3)
    told = [
        f"{split}: 2 of 3 rows have texts that are in train too; accuracy is inflated"
        for split in ("validation", "test")
    ]
    assert caplog.messages == told


def test_pairs_have_two_columns() -> None:
    write("train.csv", [(f"a {n}", f"b {n}", n % 2) for n in range(10)], ["left", "right", "label"])
    task = opened(text="left", text2="right")
    train = task.load("train")
    assert (task.sides, train.sides, len(train)) == (2, 2, 8)
    assert [len(sequence) for sequence in train.sequences(0)] == [2, 2]


def test_a_changed_file_is_read_again_and_an_equal_one_is_not() -> None:
    write("train.csv", numbered(20, "ab"))
    first = opened().load("train")
    assert opened().is_cached("train")
    Path("train.csv").touch()
    assert opened().is_cached("train")
    write("train.csv", numbered(30, "ab"))
    assert not opened().is_cached("train")
    assert (len(first), len(opened().load("train"))) == (18, 27)


def test_a_run_needs_no_file_to_encode_and_the_same_file_to_go_on() -> None:
    write("train.csv", numbered(20, "ab"))
    task = opened()
    state = json.loads(json.dumps(task.state()))
    expected = task.load("validation").checksum
    again = opened(state)
    assert again.load("validation").checksum == expected
    Path("train.csv").rename("moved.csv")
    again = opened(state)
    assert again.label_names == ("a", "b")
    np.testing.assert_array_equal(again.encode("text 7 unheard")[0], task.encode("text 7 unheard")[0])
    said = "data.train train.csv: there is no such file; if it was moved, change the path in the run's config.yaml"
    assert error(lambda: again.load("train")) == said
    moved = OwnOptions(task="own", train="moved.csv").open(state)
    assert moved.load("validation").checksum == expected
    write("train.csv", numbered(21, "ab"))
    assert "train.csv: has changed since the run was trained on it" in error(lambda: opened(state).load("train"))


def test_empty_texts_and_cut_ones_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    write("train.csv", [*numbered(20, "ab"), ("", "a"), ("one two three four", "a")])
    task = opened(max_tokens=3, validation_share=0.1)
    lengths = [*task.load("train").lengths, *task.load("validation").lengths]
    assert (len(lengths), max(lengths), min(lengths)) == (22, 3, 1)
    assert caplog.messages[0] == "train.csv: 1 empty text becomes a single unknown word"
    assert task.remarks("train", task.load("train"))[1:] == [
        "train: 1 of 20 texts cut at 3 tokens (data.max_tokens): 1 token not read, the longest text has 4"
    ]


def test_a_label_in_two_spellings_is_one_label() -> None:
    write("train.csv", numbered(40, ["caf\u00e9", "cafe\u0301", "tea"]))
    task = opened()
    assert task.label_names == ("caf\u00e9", "tea")
    assert np.bincount(task.load("train").labels).tolist() == [24, 12]
    old = {**task.state(), "labels": ["cafe\u0301", "tea"]}  # of a run whose labels were not normalised
    assert opened(old).load("validation").labels.tolist() == task.load("validation").labels.tolist()


def test_new_runs_split_by_the_current_rules_and_older_ones_as_they_did() -> None:
    write("train.csv", [("3.14 \u4eca\u5929", "x"), ("caf\u00e9 3.14", "y")] * 10)
    task = opened()
    state = json.loads(json.dumps(task.state()))
    assert state["splitter"] == SPLITTER
    assert state["words"] == ["3.14", "caf\u00e9", "\u4eca", "\u5929"]
    assert task.encode("3.14 cafe\u0301")[0].tolist() == [2, 3]
    assert opened(state).encode("3.14 cafe\u0301")[0].tolist() == [2, 3]
    old = {"labels": ["x", "y"], "words": [".", "14", "3", "caf\u00e9", "\u4eca\u5929"]}
    assert opened(old).encode("3.14 \u4eca\u5929 cafe\u0301")[0].tolist() == [4, 2, 3, 6, 1, 1]
    assert opened(old).state().keys() == {"labels", "words", "files"}
    assert sorted(opened(old).load("train").lengths.tolist()) == [4] * 18
    assert "splitter" not in opened(level="byte").state()
    with pytest.raises(UserError, match="a later version of nestree knows"):
        opened({**state, "splitter": 99})


@pytest.mark.parametrize("level", ["word", "char"])
def test_an_empty_vocabulary_is_refused(level: str) -> None:
    write("train.csv", [(f"{chr(ord('a') + number)}", "xy"[number % 2]) for number in range(20)])
    what = {"word": "word", "char": "character"}[level]
    said = f"own: the vocabulary is empty, as no {what} occurs 2 times in the training texts; data.min_count must be"
    assert error(lambda: opened(level=level, min_count=2).load("train")).startswith(said)
    write("train.csv", [("", "x"), ("", "y")] * 10)
    assert error(lambda: opened(level=level).load("train")) == f"own: no training text has a {what}"


def test_the_share_of_known_tokens_is_said_with_what_would_help() -> None:
    write("train.csv", [("one two", "a"), ("one three", "b")] * 10)
    write("later.csv", [("one four five six", "a"), ("two", "b")])
    task = opened(validation="later.csv")
    train, later = task.load("train"), task.load("validation")
    assert (task.known_share(train.tokens), task.known_share(later.tokens)) == (1, 0.4)
    assert task.remarks("train", train) == ["train: 100.0% of the tokens are known"]
    only = "validation: only 40.0% of the tokens are known: train with"
    assert task.remarks("validation", later) == [f"{only} --data.level char"]
    rare = opened(validation="later.csv", min_count=11, vocabulary_size=1)
    (line,) = rare.remarks("train", rare.load("train"))
    more = "--data.min_count 1 or a larger --data.vocabulary_size or --data.level char"
    assert line == f"train: only 50.0% of the tokens are known: train with {more}"
    assert opened(level="byte").known_share(train.tokens) is None
    assert opened(level="byte").remarks("train", opened(level="byte").load("train")) == []
    assert (
        opened(level="char", validation="later.csv")
        .remarks("validation", later)[0]
        .endswith("train with --data.level byte")
    )


def test_what_is_known_and_cut_of_other_texts_is_counted() -> None:
    write("train.csv", [("one two three", "a"), ("one two", "b")] * 10)
    task = opened(max_tokens=2)
    assert task.encoded_remarks("inputs") == []
    task.encode("one two")
    assert task.encoded_remarks("inputs", only_low=True) == []
    assert task.encoded_remarks("inputs") == ["inputs: 100.0% of the tokens are known"]
    task.encode("four five six seven")
    assert task.encoded_remarks("new.csv", only_low=True) == [
        "new.csv: only 50.0% of the tokens are known: train with --data.level char",
        "new.csv: 1 of 2 texts cut at 2 tokens (data.max_tokens): 2 tokens not read, the longest text has 4",
    ]


def test_what_is_cut_is_said_again_of_a_cached_split() -> None:
    write("train.csv", [("one two three", "a"), ("one two", "b")] * 10)
    said = [task.remarks("train", task.load("train"))[1] for task in (opened(max_tokens=2), opened(max_tokens=2))]
    assert said[0] == said[1]
    assert said[0].startswith("train: 9 of 18 texts cut at 2 tokens (data.max_tokens): 9 tokens not read")
    assert opened(max_tokens=3).remarks("train", opened(max_tokens=3).load("train"))[1:] == []


def test_character_level_is_suggested_for_a_script_without_spaces() -> None:
    write("train.csv", [("\u4eca\u5929\u5f88\u597d ok", "a"), ("ok \u4e0d\u597d", "b")] * 10)
    task = opened()
    said = "60% of the letters are of a script without spaces between words: try --data.level char"
    assert task.spaceless_remark(task.load("train")) == said
    by_character = opened(level="char")
    assert by_character.spaceless_remark(by_character.load("train")) is None
    write("train.csv", [("nicht \u4eca schlecht", "a"), ("\u0939\u093f\u0928\u094d\u0926\u0940", "b")] * 10)
    assert opened().spaceless_remark(opened().load("train")) is None


def test_token_numbers_beyond_the_vocabulary_are_one_line() -> None:
    write("train.csv", [("one two", "a"), ("one three", "b")] * 10)
    task = opened()
    task.load("train")
    (path,) = Path("cache").rglob("train-*.safetensors")
    examples = RaggedExamples.load(path)
    replace(examples, tokens=examples.tokens + np.uint8(1)).save(path)
    said = error(lambda: opened().load("train"))
    assert said == (
        f"{path.absolute()}: has token number 5, but the last one of the vocabulary is 4: it was prepared with another "
        "tokenizer; delete it, and it is prepared again"
    )
    path.unlink()
    assert opened().load("train").checksum == examples.checksum
    # A task of a plugin keeps its files where it likes; its examples are checked by name.
    where = Path("cache").absolute() / "own"
    assert f"delete {where}, and it is prepared again" in error(lambda: check_token_ids(examples, 3))


def test_token_numbers_of_an_input_beyond_the_vocabulary_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.csv", [("one two", "a"), ("one three", "b")] * 10)
    task = opened()
    assert [ids.tolist() for (ids,) in encode_all(task, ["one three", "two"])] == [[2, 3], [4]]
    monkeypatch.setattr(TextTask, "vocabulary_size", 4)
    said = "input 2: has a token number beyond the vocabulary of 4"
    assert error(lambda: encode_all(task, ["one three", "two"])) == said


@pytest.mark.parametrize("level", ["byte", "char"])
def test_other_levels(level: str) -> None:
    write("train.csv", [("añb", "x"), ("b", "y")] * 5)
    task = opened(level=level)
    assert sorted(set(task.load("train").lengths.tolist())) == [1, {"byte": 4, "char": 3}[level]]


def test_rows_without_a_label(caplog: pytest.LogCaptureFixture) -> None:
    write("train.csv", [*numbered(20, "ab"), ("lost", " ")])
    said = "train.csv:22: no label in column 'label'; data.skip_unlabelled true leaves such rows out"
    assert error(lambda: opened().load("train")) == said
    task = opened(skip_unlabelled=True)
    assert len(task.load("train")) + len(task.load("validation")) == 20
    assert caplog.messages == ["train.csv: 1 row without a label skipped"]


def test_what_cannot_be_learnt_is_named() -> None:
    assert error(lambda: OwnOptions().open()).startswith("data.train must name the table to train on")
    assert error(opened) == "data.train train.csv: there is no such file"
    write("train.csv", [])
    assert error(lambda: opened().load("train")) == "train.csv: has no rows with a label"
    write("train.csv", numbered(5, "a"))
    assert "train.csv: every row has the label 'a'" in error(lambda: opened().load("train"))
    write("train.csv", numbered(50, range(50)))
    assert "50 rows have 50 different labels; is 'label' the column" in error(lambda: opened().load("train"))
    assert error(lambda: opened(text="txt")) == (
        "data.text must name a column of train.csv: "
        "there is no column 'txt'; did you mean text? (there are text, label)"
    )
    write("train.csv", numbered(20, "ab"))
    write("test.csv", [("x", "a"), ("y", "c")])
    said = "test.csv:3: the label 'c' is not in train.csv, which has a, b"
    assert error(lambda: opened(test="test.csv").load("train")) == said  # before anything is learnt
    task = opened()
    state = task.state()
    assert "test.csv:3: there is no label 'c'" in error(lambda: opened(state, test="test.csv").load("test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_share": 0.7}, "validation_share must be a number above 0 and at most 0.5, not 0.7"),
        ({"text2": "text"}, "text2 must be a different column from text"),
        ({"label": "text"}, "label must be a different column from the texts"),
        ({"encoding": "x"}, "encoding must be one"),
        ({"level": "phrase"}, "level must be one of"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OwnOptions(**options)


class FakeDataset(list):  # type: ignore[type-arg]
    """What nestree uses of a dataset of the Hub."""

    column_names = ("text", "label")
    features: dict[str, object] = {"text": object(), "label": SimpleNamespace(names=["bad", "good"])}  # noqa: RUF012
    _fingerprint = "f"


def test_a_dataset_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, config: str | None, *, split: str) -> FakeDataset:
        asked.append((name, config, split))
        if name != "some/reviews":
            raise ConnectionError("Couldn't reach the Hub\nand more")
        return FakeDataset({"text": f"text {n}", "label": n % 3 - 1} for n in range(30))

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    options = {"task": "own", "train": "hf:some/reviews:small", "test": "hf:some/reviews@test[:5]"}
    task = OwnOptions(**options, skip_unlabelled=True).open()
    assert asked == [("some/reviews", "small", "train"), ("some/reviews", None, "test[:5]")]
    assert task.label_names == ("bad", "good")
    assert len(task.load("train")) + len(task.load("validation")) == 20
    assert task.state()["files"] == {}
    assert "hf:some/reviews:small@train:0: no label" in error(lambda: OwnOptions(**options).open().load("train"))
    said = "hf:no/such@train: cannot be loaded (Couldn't reach the Hub)"
    assert error(lambda: OwnOptions(train="hf:no/such").open()) == said
    assert "hf:@x: a dataset on the Hub is written hf:NAME" in error(lambda: OwnOptions(train="hf:@x").open())
    assert "there is no column 'txt'" in error(lambda: OwnOptions(train="hf:some/reviews", text="txt").open())


def test_the_hub_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = "hf:imdb@train: needs Hugging Face datasets: pip install 'nestree[hub]'"
    assert error(lambda: OwnOptions(train="hf:imdb").open()) == said


def test_a_folder_is_read_by_the_hubs_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    pytest.importorskip("datasets")
    Path("folder").mkdir()
    write("folder/train.csv", numbered(20, ["a", "b"]))
    task = OwnOptions(task="own", train="hf:./folder").open()
    assert len(task.load("train")) == 18
