"""Several labels, and numbers, as a user meets them: trained, evaluated, predicted, reported, served, handed on."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import nestree
from nestree.cli.main import main
from nestree.errors import UserError
from nestree.evaluation.label_measures import LabelMeasures
from nestree.evaluation.number_measures import NumberMeasures
from nestree.runs import Run
from nestree.serve.reader import Reader, Refused
from nestree.tasks.target import target_of

WORDS = {"joke": "funny", "tears": "sad", "tank": "war"}
TINY = [
    *["--encoder.dim", "16", "--model.head_hidden", "16", "--optimizer.learning_rate", "0.01", "--data.batch", "16"],
    *["--trainer.devices", "1", "--trainer.threads", "1", "--trainer.accelerator", "cpu"],
    *["--model.input_dropout", "0", "--encoder.dropout", "0", "--optimizer.warmup_steps", "5"],
    *["--trainer.max_epochs", "1000", "--trainer.max_steps", "240", "--trainer.validate_every", "40"],
]


def trained(folder: Path, *options: str) -> Run:
    assert main(["train", "classify-bow", *TINY, *options, "--run", str(folder / "run")]) == 0
    return Run.open(folder / "run")


@pytest.fixture(scope="module")
def _cached(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTREE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, _cached: None) -> Run:
    """A run on texts with any of three labels, each announced by a word."""
    folder = tmp_path_factory.mktemp("films")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "genres"])
        for number, chosen in enumerate(itertools.product([False, True], repeat=len(WORDS))):
            words = [word for word, there in zip(WORDS, chosen, strict=True) if there]
            for copy in range(12):
                writer.writerow([" ".join([f"w{copy + number}", *words]), ";".join(WORDS[word] for word in words)])
    options = ["--data.label", "genres", "--data.target", "labels", "--data.separator", ";"]
    return trained(folder, "--data.train", str(folder / "train.csv"), *options)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, _cached: None) -> Run:
    """A run on pairs of texts with a number, which the first text decides."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "two", "score"])
        for number in rng.integers(0, 5, 120).tolist():
            writer.writerow([f"n{number}", "other", 10 + 2 * number])
    options = ["--data.text", "one", "--data.text2", "two", "--data.label", "score", "--data.target", "number"]
    return trained(folder, "--data.train", str(folder / "train.csv"), *options)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == code
    found = capsys.readouterr()
    if code:
        assert found.err.count("\n") == 1
    return found.err if code else found.out


def test_training_names_the_measure_and_selects_by_it(films: Run, pairs: Run) -> None:
    about = films.about()
    assert about["measure"] == "micro F1"
    assert about["validation_f1"] > 0.9
    assert pairs.about()["measure"] == "Pearson correlation"
    assert pairs.about()["validation_pearson"] > 0.9
    for run in (films, pairs):
        assert "validation_accuracy" not in run.about()


def test_labels_are_evaluated(films: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "evaluate", str(films.path), "--tests", "validation")
    assert "F1 and exact match" in shown
    assert "validation: Micro F1" in shown
    assert "by label; macro F1" in shown
    (line,) = printed(capsys, "evaluate", str(films.path), "--tests", "validation", "--json").splitlines()
    values = json.loads(line)
    assert values["measures"]["kind"] == "labels"
    assert values["measures"]["micro_f1"] == pytest.approx(films.about()["validation_f1"], abs=1e-6)
    (result,) = films.evaluate(["train"], write=False)
    assert isinstance(result.measures, LabelMeasures)
    assert result.baseline == pytest.approx(1 / 8, abs=0.05)
    assert result.total.accuracy > 0.5
    assert list(result.strata) == ["length"]


def test_numbers_are_evaluated(pairs: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "evaluate", str(pairs.path), "--tests", "validation")
    assert "correlation and error" in shown
    assert "always answering the training mean" in shown
    (line,) = printed(capsys, "evaluate", str(pairs.path), "--tests", "validation", "--json").splitlines()
    values = json.loads(line)["measures"]
    assert values["pearson"] == pytest.approx(pairs.about()["validation_pearson"], abs=1e-5)
    assert values["mse"] < values["baseline_mse"]
    (result,) = pairs.evaluate(["train"], write=False)
    assert isinstance(result.measures, NumberMeasures)
    assert result.measures.baseline_mse == pytest.approx(target_of(pairs.task).deviation ** 2, rel=1e-5)
    assert not result.has_accuracy


def test_labels_are_predicted(films: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(films.path)
    assert printed(capsys, "predict", path, "joke tank") == "funny;war\tjoke tank\n"
    (found, empty) = (json.loads(line) for line in printed(capsys, "predict", path, "--json", "w1", "").splitlines())
    assert (found["labels"], empty["labels"], empty["reason"]) == ([], None, "empty text")
    low = json.loads(printed(capsys, "predict", path, "--json", "--threshold", "1e-9", "--probabilities", "w1"))
    assert low["labels"] == list(low["probabilities"]) == ["funny", "sad", "war"]
    assert "--abstain must be left out" in printed(
        capsys, "predict", path, "--threshold", "0.5", "--abstain", "x", "joke", code=2
    )
    table, out = films.path.parent / "train.csv", tmp_path / "out.csv"
    assert main(["predict", path, str(table), "-o", str(out), "--top", "1"]) == 0
    assert "micro F1" in capsys.readouterr().err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["text", "genres", "prediction", "top-1", "top-1-probability"]
    assert np.mean([row["prediction"] == row["genres"] for row in rows]) > 0.9


def test_numbers_are_predicted(pairs: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(pairs.path)
    found = [json.loads(printed(capsys, "predict", path, "--json", f"n{n}\tother"))["number"] for n in (0, 4)]
    assert found == pytest.approx([10, 18], abs=1.5)
    for option in (["--top", "1"], ["--threshold", "0.5"], ["--probabilities"]):
        assert f"{option[0]} must be left out" in printed(capsys, "predict", path, *option, "a\tb", code=2)
    out = tmp_path / "out.csv"
    assert main(["predict", path, str(pairs.path.parent / "train.csv"), "-o", str(out)]) == 0
    assert "Pearson correlation 0.9" in capsys.readouterr().err
    assert out.read_text().splitlines()[0] == "one,two,score,prediction"
    (python,) = pairs.predict(["n4\tother"])
    assert python.number == pytest.approx(found[1], rel=1e-5)
    assert python.probabilities == {}


def test_reports_show_them(films: Run, pairs: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run, parts in (
        (films, ["Micro F1", "funny", "exact match"]),
        (pairs, ["Pearson correlation", "training mean"]),
    ):
        run.evaluate(["validation"])
        page = tmp_path / f"{run.path.parent.name}.html"
        assert main(["report", str(run.path), "-o", str(page)]) == 0
        assert main(["report", str(run.path), "--markdown"]) == 0
        assert main(["report", str(run.path), "--card"]) == 0
        for text in (page.read_text(), run.report.read_text(), run.card.read_text()):
            assert "nan" not in text.split()
        for part in parts:
            assert part in page.read_text()
            assert part in run.report.read_text()
    assert (pairs.path / "scatter-validation.png").is_file()
    assert 'id="answers-0-scatter' in (tmp_path / f"{pairs.path.parent.name}.html").read_text()


def test_the_page_reads_them(films: Run, pairs: Run) -> None:
    found = Reader(films).read(["joke tears"], {})
    assert (found["label"], found["given"], found["probability"]) == ("funny;sad", ["funny", "sad"], None)
    assert len(found["labels"]) == 3
    found = Reader(pairs).read(["n4", "other"], {})
    assert found["number"] == pytest.approx(18, abs=1.5)
    assert found["labels"] == []
    assert Reader(pairs).about()["measured"][0] == "Pearson correlation"
    with pytest.raises(Refused, match="threshold must be left out"):
        Reader(pairs).read(["n4", "other"], {}, threshold=0.5)


def test_what_needs_single_labels_refuses(
    films: Run, pairs: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "explain needs a task of single labels" in printed(capsys, "explain", str(films.path), "joke", code=2)
    table = str(films.path.parent / "train.csv")
    options = ["--data.train", table, "--data.label", "genres", "--data.target", "labels", "--data.separator", ";"]
    recipes = ["classify-bow", "classify-bilstm", "--budget", "1m", "--out", str(tmp_path / "out")]
    refused = printed(capsys, "compare", *recipes, *options, code=2)
    assert "compare needs a task of single labels" in refused
    sklearn = pytest.importorskip("nestree.sklearn")
    with pytest.raises(UserError, match="TreeClassifier needs a task of single labels"):
        sklearn.TreeClassifier.load(pairs.path)
    with pytest.raises(UserError, match=r"data\.target must be class"):
        sklearn.TreeClassifier(options={"data.target": "number"}).fit(["a", "b"] * 10, [0, 1] * 10)


def test_transformers_gives_the_same_answers(films: Run, pairs: Run) -> None:
    pytest.importorskip("transformers")
    import torch

    from nestree.huggingface import from_run

    model, tokenizer = from_run(films.path)
    assert model.config.problem_type == "multi_label_classification"
    with torch.no_grad():
        found = model(**tokenizer(["joke tears"], return_tensors="pt")).logits.sigmoid()[0]
    (own,) = nestree.Run.open(films.path).predict(["joke tears"])
    assert found.tolist() == pytest.approx(list(own.probabilities.values()), abs=1e-5)
    model, tokenizer = from_run(pairs.path)
    assert model.config.problem_type == "regression"
    with torch.no_grad():
        number = float(model(**tokenizer(["n3"], ["other"], return_tensors="pt")).logits)
    assert number == pytest.approx(pairs.predict(["n3\tother"])[0].number, abs=1e-3)
