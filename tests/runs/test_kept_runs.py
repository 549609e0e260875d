"""Run folders of older versions load, and their models compute what they did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import nestree
from nestree.cli.main import main
from nestree.evaluation import read
from nestree.runs import Run
from nestree.runs.history import read_history

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEPT = sorted(path.name for path in FIXTURES.glob("run-*") if path.is_dir())
EVERY_RUN = pytest.mark.parametrize("name", KEPT)
TOLERANCE = 2e-5
"""Of float32 on other processors; the smallest score difference that decides a merge in these inputs is 1.4e-4."""


def readings(name: str) -> list[dict[str, Any]]:
    """How the version that wrote the run read some inputs."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def reading_id(reading: dict[str, Any] | str) -> str:
    return reading if isinstance(reading, str) else f"{reading['inference']}-{len(reading['input'].split())}-tokens"


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with copies of the runs, which commands may write into."""
    for name in KEPT:
        shutil.copytree(FIXTURES / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_one_is_kept() -> None:
    assert "run-0.1" in KEPT


@pytest.mark.parametrize(
    ("name", "kept"), [(name, reading) for name in KEPT for reading in readings(name)], ids=reading_id
)
def test_the_model_computes_what_it_did(name: str, kept: dict[str, Any]) -> None:
    run = Run.open(FIXTURES / name)
    model = nestree.load(run, inference=kept["inference"])
    (tokens,) = run.task.encode(kept["input"])
    (reading,) = read(model, run.task, [(tokens,)])
    assert reading.label == kept["answer"]
    assert reading.probability == pytest.approx(kept["probability"], abs=TOLERANCE)
    best = reading.sides[0][0]
    assert best.brackets() == kept["tree"]
    assert best.probability == pytest.approx(kept["tree_probability"], abs=TOLERANCE)
    root = model.encode(torch.from_numpy(tokens).unsqueeze(0), torch.tensor([len(tokens)])).root
    torch.testing.assert_close(root, torch.tensor([kept["root"]]), atol=TOLERANCE, rtol=0)


@EVERY_RUN
def test_its_history_is_read(name: str) -> None:
    run = Run.open(FIXTURES / name)
    assert run.about()["versions"]["nestree"].startswith(name.removeprefix("run-"))
    history = read_history(run)
    assert len(history) > 10
    assert max(row.get("validation_accuracy", 0.0) for row in history) == pytest.approx(
        run.about()["validation_accuracy"]
    )


@EVERY_RUN
def test_the_commands_take_it(name: str, copies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grouped = [reading for reading in readings(name) if reading["inference"] == "grouped"]
    assert main(["predict", name, *(reading["input"] for reading in grouped)]) == 0
    answers = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert answers == [reading["answer"] for reading in grouped]
    assert main(["parse", name, grouped[-1]["input"], "--format", "brackets"]) == 0
    assert grouped[-1]["tree"] in capsys.readouterr().out
    before = json.loads((copies / name / "evaluation.json").read_text())["results"]
    assert main(["evaluate", name, "--tests", "near-iid", "--limit", "2"]) == 0
    after = json.loads((copies / name / "evaluation.json").read_text())["results"]
    assert after[:-1] == before
    assert main(["report", name, "--trees", "0"]) == 0
    assert (copies / name / "report.html").is_file()


@EVERY_RUN
def test_training_begins_with_its_weights(name: str, copies: Path) -> None:
    config = Run.open(name).config
    options = [
        f"--encoder.{option}={getattr(config.encoder, option)}" for option in ("dim", "arity", "beam_size", "s4d")
    ]
    options += [
        f"--encoder.scorer_width={config.encoder.scorer_width}",
        f"--model.head_hidden={config.model.head_hidden}",
    ]
    small = ["--data.train_size=64", "--data.validation_size=4", "--trainer.max_steps=1", "--trainer.devices=1"]
    assert main(["train", config.recipe, *options, *small, f"--trainer.start={name}", "--run=further"]) == 0
    assert Run.open("further").about()["start"]["versions"] == Run.open(name).about()["versions"]
