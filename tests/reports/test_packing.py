"""What is packed of a run for others, and the course of a training in a few kilobytes."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.record import record
from nestree.reports.packing import pack
from nestree.runs import Run
from nestree.runs.history import read_history, series, thinned
from support.training import saved_run, training


def result(test: str) -> Result:
    return Result(test, None, Share(test, 1, 2), {}, 5.0, 1.0, 0.5, "generated", "80")


def test_a_trained_run_is_packed_without_what_is_for_resuming(tmp_path: Path) -> None:
    trained = training(tmp_path / "run")
    trained.fit()
    (tmp_path / "packed").mkdir()
    packed = pack(trained.run, tmp_path / "packed", name="tiny")
    names = {path.name for path in packed.path.iterdir()}
    assert names == {"config.yaml", "run.json", "weights.safetensors", "log.csv", "README.md"}
    card = packed.card.read_text()
    assert 'nestree.load("tiny")' in card
    assert "Not evaluated yet: run `nestree evaluate tiny`." in card
    steps, accuracies = series(read_history(packed), "validation_accuracy")
    logged_steps, logged = series(read_history(trained.run), "validation_accuracy")
    assert steps == logged_steps
    assert accuracies == pytest.approx(logged, rel=1e-4)


def test_results_of_other_weights_stay_behind(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run")
    record(run, result("200-300"), seed=0)
    run.save_weights(training(tmp_path / "other").module.model)
    record(run, result("near-iid"), seed=0)
    assert main(["share", str(run.path), "me/tiny", "--pack", str(tmp_path / "packed")]) == 0
    packed = json.loads((tmp_path / "packed" / "evaluation.json").read_text())
    assert [entry["test"] for entry in packed["results"]] == ["near-iid"]


def test_a_folder_that_is_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = saved_run(tmp_path / "run")
    assert main(["share", str(run.path), "me/tiny", "--pack", str(tmp_path)]) == 2
    assert "exists already: name a new folder" in capsys.readouterr().err
    run.weights.unlink()
    assert main(["share", str(run.path), "me/tiny", "--pack", str(tmp_path / "new")]) == 2
    assert "has no weights yet" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    with pytest.raises(UserError, match=r"nothing: cannot be written"):
        pack(saved_run(tmp_path / "run2"), tmp_path / "nothing")


def test_a_run_is_shipped_in_place_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    monkeypatch.setattr("nestree.runs.run.FOLDER", tmp_path / "package")
    ship = importlib.import_module("ship_model").ship
    run = saved_run(tmp_path / "run")
    record(run, replace(result("near-iid"), right=None), seed=0)
    with pytest.raises(UserError, match="evaluate it again on near-iid"):
        ship(run, "tiny")
    assert list((tmp_path / "package").iterdir()) == []
    record(run, result("near-iid"), seed=0)
    shipped = ship(run, "tiny")
    shipped.written_about.write_text("Small.")
    (shipped.path / "left.over").touch()
    run.save_weights(training(tmp_path / "other").module.model)
    record(run, result("200-300"), seed=0)
    assert ship(run, "tiny").shipped
    assert shipped.weights.read_bytes() == run.weights.read_bytes()
    assert shipped.written_about.read_text() == "Small."
    assert {path.name for path in (tmp_path / "package").iterdir()} == {"tiny"}
    assert "left.over" not in {path.name for path in shipped.path.iterdir()}


def test_a_thinned_log_keeps_last_validations_and_mean_losses() -> None:
    history = [
        {"step": float(step), "loss": float(step % 2)} | ({"validation_accuracy": step / 1000} if step % 5 == 4 else {})
        for step in range(1000)
    ]
    lines = thinned(history, rows=100).splitlines()
    assert lines[0] == "step,epoch,loss,validation_loss,validation_accuracy"
    assert len(lines) == 101
    assert lines[1] == "9,,0.5,,0.009"
    assert lines[-1] == "999,,0.5,,0.999"
    assert thinned([]).splitlines() == lines[:1]
    assert len(thinned(history[:3], rows=100).splitlines()) == 4


def test_a_card_is_written_into_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved_run(tmp_path / "run")
    record(run, result("near-iid"), seed=0)
    assert main(["report", str(run.path), "--card"]) == 0
    assert capsys.readouterr().out == f"{run.card}\n"
    assert "| near-iid | 5 | 2 | 50.0 | 9.5 to 90.5 | 50.0 |" in run.card.read_text()
    assert main(["report", str(run.path), "--card", "-o", "x.html"]) == 2
    assert "--card writes README.md into the folder of one run, without -o" in capsys.readouterr().err


def test_a_packed_log_gives_way_to_the_sessions(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.thin_log.write_text("step,epoch,loss,validation_loss,validation_accuracy\n5,,1,,0.5\n9,,0.5,,0.6\n")
    assert series(read_history(run), "validation_accuracy") == ([5, 9], [0.5, 0.6])
