"""Starting from another run: rows follow words and labels, and what is new is said or refused."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from nestree.config.config import Config
from nestree.errors import UserError
from nestree.models import Classifier
from nestree.runs import Run, build_model
from nestree.tasks.text import TextTask
from nestree.training.fit import Training, load_examples
from nestree.training.start import start_from
from support.training import QUIET, config, saved_run

FIRST = [("good film", "yes"), ("bad film", "no"), ("café bad", "maybe")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))


def table(name: str, rows: Sequence[tuple[str, ...]], header: Sequence[str] = ("text", "label")) -> Config:
    """A configuration that trains on a table of these rows, five times each."""
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *[*rows] * 5])
    return config(data={"task": "own", "train": name})


def kept(configuration: Config, folder: str) -> Run:
    """A run with fresh weights."""
    task = configuration.data.open()
    run = Run(folder).begin(configuration, command="test")
    run.keep_task(task)
    run.save_weights(build_model(configuration, task))
    return run


def started(configuration: Config, start: str, *, seed: int = 1) -> tuple[Classifier, Classifier, TextTask, str]:
    """A new model, the model that started from a run, their task, and what was said."""
    task = configuration.data.open()
    assert isinstance(task, TextTask)
    torch.manual_seed(seed)
    fresh = build_model(configuration, task)
    torch.manual_seed(seed)
    model = build_model(configuration, task)
    return fresh, model, task, start_from(start, model, task)


def rows(model: Classifier, task: TextTask) -> dict[str, list[float]]:
    """The embedding of each word, and the last layer's weights and bias of each label."""
    assert task.vocabulary is not None
    words = {word: model.embedding.weight[number].tolist() for word, number in task.vocabulary.ids.items()}
    last = model.head.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    labels = {
        f"label {name}": [*last.weight[number].tolist(), *last.bias[[number]].tolist()]
        for number, name in enumerate(task.label_names)
    }
    return {**words, **labels}


def before(run: Run) -> dict[str, list[float]]:
    model = build_model(run.config, run.task)
    run.read_weights(model)
    assert isinstance(run.task, TextTask)
    return rows(model, run.task)


def refused(configuration: Config, start: str) -> str:
    with pytest.raises(UserError) as caught:
        started(configuration, start)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_follow_their_words_and_labels() -> None:
    run = kept(table("first.csv", FIRST), "first")
    second = table("second.csv", [("new film", "no"), ("bad new words", "other"), ("cafe\u0301", "yes")])
    fresh, model, task, said = started(second, "first")
    assert said == "first; new: 2 of 5 words, 1 of 3 labels ('other')"
    known, new, found = before(run), rows(fresh, task), rows(model, task)
    assert set(found) - set(known) == {"new", "words", "label other"}
    assert found == {name: known.get(name, new[name]) for name in found}
    # Padding and the unknown word, and all else, are the run's.
    run_model = build_model(run.config, run.task)
    run.read_weights(run_model)
    assert torch.equal(model.embedding.weight[:2], run_model.embedding.weight[:2])
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, run_model.encoder.state_dict()[name]), name


def test_labels_in_another_order_keep_their_rows() -> None:
    run = kept(table("first.csv", [("good film", "2"), ("bad film", "10")]), "first")
    state = {**run.task.state(), "labels": ["10", "2"]}
    _, model, task, said = started(table("second.csv", [("good film", "2"), ("bad film", "10")]), "first")
    assert (task.label_names, said) == (("2", "10"), "first")
    other = run.config.data.open(state)
    start_from("first", swapped := build_model(run.config, other), other)
    assert rows(swapped, task)["label 2"] == rows(model, task)["label 10"]


def test_the_same_words_and_labels_are_the_same_model() -> None:
    run = kept(table("first.csv", FIRST), "first")
    _, model, _, said = started(table("second.csv", FIRST), "first")
    assert said == "first"
    again = build_model(run.config, run.task)
    run.read_weights(again)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_what_has_nothing_in_common_is_refused() -> None:
    kept(table("first.csv", FIRST), "first")
    other = table("other.csv", [("ganz anders", "ja"), ("noch eins", "nein")])
    assert refused(other, "first") == (
        "trainer.start cannot be used: it has no word and no label in common with this training"
    )
    shared_label = table("other.csv", [("ganz anders", "yes"), ("noch eins", "nein")])
    assert started(shared_label, "first")[3] == "first; new: 4 of 4 words, 1 of 2 labels ('nein')"


def with_data(configuration: Config, **options: Any) -> Config:
    return config(data={"task": "own", "train": configuration.data.train, **options})  # pyright: ignore[reportAttributeAccessIssue]


def test_another_level_or_number_of_texts_is_refused() -> None:
    first = table("first.csv", FIRST)
    kept(first, "first")
    said = "trainer.start cannot be used: its tokens are of level word, and this training's of level char"
    assert refused(with_data(first, level="char"), "first") == f"{said}: data.level must be word"
    pairs = table("pairs.csv", [("good", "film", "yes"), ("bad", "film", "no")], ("text", "second", "label"))
    assert refused(with_data(pairs, text2="second"), "first") == (
        "trainer.start cannot be used: it reads single sequences, and this task has pairs"
    )


def test_bytes_are_always_known() -> None:
    kept(with_data(table("first.csv", FIRST), level="byte"), "first")
    other = with_data(table("other.csv", [("ganz anders", "ja"), ("noch eins", "yes")]), level="byte")
    assert started(other, "first")[3] == "first; new: 1 of 2 labels ('ja')"


def test_many_new_labels_are_counted() -> None:
    kept(table("first.csv", FIRST), "first")
    many = table("many.csv", [(f"film {number}", str(number)) for number in range(7)])
    assert "; new: 7 of 8 words, 7 of 7 labels ('0', '1', '2', '3', '4' and 2 more)" in started(many, "first")[3]


def test_tasks_with_fixed_words_are_matched_by_shape(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "listops")
    task = run.task
    assert start_from(str(run.path), build_model(run.config, task), task) == str(run.path)
    text = table("first.csv", FIRST)
    said = f"trainer.start cannot be used: it was trained on task {task.name}, whose tokens are not those of own"
    assert refused(text, str(run.path)) == said


def test_weights_of_fewer_words_than_the_run_knows_are_refused() -> None:
    run = kept(table("first.csv", FIRST), "first")
    state = run.task.state()
    assert isinstance(run.task, TextTask)
    fewer = run.config.data.open({**state, "words": state["words"][:1]})
    run.save_weights(build_model(run.config, fewer))
    assert "its weights have 3 rows where its words or labels are more" in refused(run.config, "first")


def test_training_says_where_it_starts_and_what_is_new() -> None:
    kept(table("first.csv", FIRST), "first")
    second = table("second.csv", [("new film", "no"), ("bad new words", "other")])
    second = config(data={"task": "own", "train": "second.csv"}, trainer={"start": "first"})
    task = second.data.open()
    console = Console(file=StringIO(), width=200)
    Training(Run("second"), second, task, *load_examples(task, second.data, QUIET), console=console)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "start       first; new: 2 of 4 words, 1 of 2 labels ('other')\n"
