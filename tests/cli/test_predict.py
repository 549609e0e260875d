"""Pairs and words as a user meets them: trained, answered, evaluated, gone on with; memory bounded by the budget."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import nestree
from nestree import Encoding
from nestree.cli.main import main
from nestree.data import RaggedExamples
from nestree.evaluation import evaluate, probabilities
from nestree.tasks.logic import RELATIONS
from nestree.tasks.logic import task as logic_task

TINY = [
    *["--encoder.dim", "8", "--encoder.beam_size", "2", "--model.head_hidden", "8", "--data.batch", "8"],
    *["--trainer.threads", "1", "--trainer.devices", "1", "--trainer.max_steps", "3", "--trainer.validate_every", "2"],
]
SENTENCES = ["A cat sleeps", "A dog is awake", "Nobody plays", "Two men play a game", "A man sleeps"]
LABELS = ["entailment", "neutral", "contradiction"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of these tests are, their cache and their data."""
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(autouse=True)
def _elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write nothing outside of the tests' folders, and generate few pairs."""
    _few(folder, monkeypatch)
    monkeypatch.chdir(folder)


def _few(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("NESTREE_CACHE", str(folder / "cache"))
    patch.delenv("NESTREE_DATA", raising=False)
    for module in ("generator", "task"):
        patch.setattr(f"nestree.tasks.logic.{module}.TRAIN_SIZES", [20, *[15] * 12])
        patch.setattr(f"nestree.tasks.logic.{module}.TEST_SIZES", [4, *[5] * 12])
    logic_task._generated.cache_clear()


@pytest.fixture(scope="module")
def logic(folder: Path) -> str:
    """A run on pairs of formulas."""
    with pytest.MonkeyPatch.context() as patch:
        _few(folder, patch)
        assert main(["train", "logic-rir", *TINY, "--run", str(folder / "logic")]) == 0
    return str(folder / "logic")


@pytest.fixture(scope="module")
def words(folder: Path) -> str:
    """A run on pairs of sentences, word by word with vectors of its own; its files are gone when it is used."""
    data = folder / "sick"
    data.mkdir()
    rows = ["pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set"]
    for number in range(60):
        part = ("TRAIN", "TRAIN", "TRIAL", "TEST")[number % 4]
        pair = f"{SENTENCES[number % 5]}\t{SENTENCES[number // 5 % 5]}"
        rows.append(f"{number}\t{pair}\t{LABELS[number % 3].upper()}\t3\t{part}")
    (data / "SICK.txt").write_text("\n".join(rows) + "\n")
    (data / "vectors.txt").write_text("cat 1 2 3 4\ndog 4 3 2 1\nunheard 0 0 0 0\n")
    with pytest.MonkeyPatch.context() as patch:
        _few(folder, patch)
        options = [
            *["--data.task", "sick", "--data.path", str(data), "--data.vectors", str(data / "vectors.txt")],
            *["--model.embedding_dim", "4", "--model.train_embedding", "false", "--run", str(folder / "words")],
        ]
        assert main(["train", "logic-rir", *TINY, *options]) == 0
    shutil.rmtree(data)
    shutil.rmtree(folder / "cache" / "sick")
    return str(folder / "words")


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must exit with 2, and return its one line."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


def test_pairs_are_cut_at_the_tab(
    logic: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = ["( a ( and b ) )\ta", "f\t( not f )"]
    assert main(["predict", logic, *pairs]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t", 2)[2] for line in lines] == pairs
    assert all(line.split("\t")[0] in RELATIONS for line in lines)
    Path("pairs.tsv").write_text("\ufeff" + "\r\n\r\n".join(pairs) + "\r\n", newline="")
    assert main(["predict", logic, "--file", "pairs.tsv"]) == 0
    assert capsys.readouterr().out.splitlines() == [lines[0], "\t\t\t", lines[1]]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(pairs).encode())))
    assert main(["predict", logic, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["input"] for each in found] == pairs
    assert [f"{each['label']}\t{each['probability']:.4f}" for each in found] == [
        line.rsplit("\t", 2)[0] for line in lines
    ]


def test_answers_do_not_depend_on_what_else_is_asked(logic: str, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = ["a\tb", "( a ( and ( b ( or ( not c ) ) ) ) )\t( not ( d ( or a ) ) )", "b\t( c ( or b ) )"]
    assert main(["predict", logic, *pairs]) == 0
    together = capsys.readouterr().out.splitlines()
    for pair, line in zip(pairs, together, strict=True):
        assert main(["predict", logic, pair]) == 0
        label, probability, _ = capsys.readouterr().out.split("\t", 2)
        assert label == line.split("\t")[0]
        assert float(probability) == pytest.approx(float(line.split("\t")[1]), abs=2e-4)


def test_what_is_no_pair_is_named(logic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "input 2: an input of logic is two formulas, separated by a tab, not 1" in fails(
        ["predict", logic, "a\tb", "a"], capsys
    )
    assert "input 1: token 2: 'b' is after the end of the formula" in fails(["predict", logic, "a b\ta"], capsys)
    Path("pairs.tsv").write_text("a\tb\n( a\tb\n")
    assert "pairs.tsv:2: " in fails(["predict", logic, "--file", "pairs.tsv"], capsys)
    assert "pairs.tsv is a table; if it is meant as a text, put it after --; --file pairs.tsv reads each line" in fails(
        ["predict", logic, "pairs.tsv"], capsys
    )


def test_pairs_are_evaluated_by_operators_and_relation(logic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", logic, "--tests", "ops-1", "ops-12", "--threads", "1"]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("ops-1", "ops-12", "generated", "by operators", "by relation", "by length"))
    results = json.loads((Path(logic) / "evaluation.json").read_text())["results"]
    assert {entry["test"]: entry["examples"] for entry in results} == {"ops-1": 5, "ops-12": 5}
    assert {share["group"] for entry in results for share in entry["strata"]["operators"]} == {"1", "12"}


def test_a_run_on_pairs_goes_on_as_if_it_had_not_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*TINY, "--trainer.checkpoint_every", "1"]
    assert main(["train", "logic-rir", *options, "--trainer.max_steps", "4", "--run", "whole"]) == 0
    assert main(["train", "logic-rir", *options, "--trainer.max_steps", "2", "--run", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--trainer.max_steps", "4"]) == 0
    capsys.readouterr()
    whole, parts = (
        torch.load(folder / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_on_words_answers_without_its_files(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", words, "A CAT sleeps.\tNobody has heard of zebras", "A man\tA dog"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split("\t")[0] in LABELS for line in lines)
    state = json.loads((Path(words) / "task.json").read_text())
    assert state["labels"] == LABELS
    assert set(state["words"]) == set(" ".join(SENTENCES).lower().split())
    model = nestree.load(words)
    vectors = {"cat": [1, 2, 3, 4], "dog": [4, 3, 2, 1]}
    for word, vector in vectors.items():  # training has not moved them
        assert model.embedding.weight[state["words"].index(word) + 2].tolist() == vector
    assert model.embedding.num_embeddings == len(state["words"]) + 2
    assert "SICK" in fails(["evaluate", words, "--tests", "test"], capsys)


def test_a_pair_of_which_one_side_is_empty_has_no_label(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("sides.tsv").write_text("A dog\t\n\tA dog\nA cat\tA dog\n")
    assert main(["predict", words, "--file", "sides.tsv"]) == 0
    captured = capsys.readouterr()
    first, second, third = captured.out.splitlines()
    assert (first, second) == ("\t\tA dog\t", "\t\t\tA dog")
    assert third.split("\t")[0] in LABELS
    assert captured.err == "2 inputs of 3 with an empty text: no label\n"


class Counting(nn.Module):
    """In the place of a model: answers by each side's first token, and writes down what a batch held."""

    def __init__(self, sides: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.encoder = nn.Identity()
        self.sides = sides
        self.seen: list[tuple[int, int]] = []

    def encode(self, tokens: Tensor, lengths: Tensor, *, trees: bool = False) -> Encoding:
        self.seen.append((tokens.numel(), len(tokens) // self.sides))
        return Encoding(nn.functional.one_hot(tokens[:, 0], 10).float() * 9)

    def classify(self, root: Tensor) -> Tensor:
        return root[:: self.sides]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30),
    st.integers(1, 2),
    st.integers(1, 300),
)
def test_no_batch_holds_more_than_the_budget_unless_it_is_one_example(
    sizes: list[tuple[int, int]], sides: int, tokens: int
) -> None:
    sequences = [np.full(length, number % 10, np.uint8) for number, size in enumerate(sizes) for length in size[:sides]]
    labels = [number % 10 for number in range(len(sizes))]
    examples = RaggedExamples.from_sequences(sequences, labels, name="long", sides=sides)
    model = Counting(sides)
    result = evaluate(model, examples, test="long", tokens=tokens)  # pyright: ignore[reportArgumentType]
    assert result.total.correct == len(sizes)  # every answer stands at its example
    assert sum(count for _, count in model.seen) == len(sizes)
    assert all(held <= tokens or count == 1 for held, count in model.seen)
    longest = max(max(size[:sides]) for size in sizes)
    assert max(held for held, _ in model.seen) <= max(tokens, sides * longest)


def test_predict_and_evaluate_keep_to_the_runs_budget(
    folder: Path, logic: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held: list[tuple[int, int]] = []
    original = nestree.Classifier.encode

    def encode(self: nestree.Classifier, tokens: Tensor, lengths: Tensor, **options: bool) -> nestree.Encoding:
        held.append((tokens.numel(), len(tokens)))
        return original(self, tokens, lengths, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(nestree.Classifier, "encode", encode)
    copy = folder / "tight"
    shutil.copytree(logic, copy)
    options = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(options.replace("evaluation_tokens: 16384", "evaluation_tokens: 60"))
    negations = [f"{'( not ' * count}a{' )' * count}\ta" for count in (0, 1, 2, 3, 4, 5, 6, 7, 25)]
    assert main(["predict", str(copy), *negations]) == 0
    assert sum(rows for _, rows in held) == 2 * len(negations)
    assert all(count <= 60 or rows == 2 for count, rows in held)
    assert len(held) > 2
    held.clear()
    assert main(["evaluate", str(copy), "--tests", "ops-3", "--tokens", "90", "--threads", "1"]) == 0
    assert sum(rows for _, rows in held) == 10
    assert all(count <= 90 or rows == 2 for count, rows in held)
    capsys.readouterr()


def test_probabilities_of_nothing_are_none() -> None:
    examples = RaggedExamples.from_sequences([], [], name="none", sides=2)
    assert probabilities(Counting(2), examples).shape == (0, 0)  # pyright: ignore[reportArgumentType]
