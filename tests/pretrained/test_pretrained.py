"""The models that ship: found by name, never written into, their figures made again, their cards up to date."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

import nestree
from nestree.cli.main import main
from nestree.data.files import write_json
from nestree.errors import UserError
from nestree.evaluation.reproduce import Repetition, figures, reproduce
from nestree.pretrained import FOLDER, pretrained_names
from nestree.reports.card import model_card
from nestree.runs import Run
from support.training import saved_run, training

ROOT = Path(__file__).parents[2]
NAMES = pytest.mark.parametrize("name", pretrained_names())
NAME = pretrained_names()[0]


def snapshot() -> dict[Path, tuple[int, int]]:
    """Every file of the models: its size and when it was changed."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in FOLDER.rglob("*") if path.is_file()}


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5_000_000


@NAMES
def test_a_model_is_found_by_its_name(name: str) -> None:
    model, run = nestree.load(name), Run.open(name)
    assert run.shipped
    assert run.name == name
    tokens = torch.tensor([run.task.encode("[MAX 2 9 [MIN 4 7 ] 0 ]")[0].tolist()])
    assert model(tokens, torch.tensor([9])).argmax().item() == 9


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved_run(tmp_path / NAME)
    run = Run.open(NAME)
    assert not run.shipped
    assert run.config.recipe == "tiny"


def test_an_unknown_name_is_told_which_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"listops-none is not a run folder; .*{', '.join(pretrained_names())}"):
        Run.open("listops-none")


def test_nothing_is_written_into_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot()
    assert main(["evaluate", NAME, "--tests", "near-iid", "--limit", "2"]) == 0
    assert "written to runs" in capsys.readouterr().out
    assert main(["report", NAME, "--markdown"]) == 0
    assert main(["report", NAME, "--trees", "0"]) == 0
    assert Path("report.html").is_file()
    copy = Run.open(Path("runs") / NAME)
    assert not copy.shipped
    assert copy.to_write_in() is copy
    results = json.loads(copy.evaluation_file.read_text())["results"]
    assert results[-1]["examples"] == 2
    assert copy.report.is_file()
    assert snapshot() == before


def test_another_run_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    other = saved_run(tmp_path / "runs" / NAME)
    before = other.weights.read_bytes()
    assert main(["evaluate", NAME, "--tests", "near-iid", "--limit", "2"]) == 2
    assert f"runs/{NAME} is in the way" in capsys.readouterr().err
    assert other.weights.read_bytes() == before


def test_a_model_of_the_package_is_begun_with_and_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", NAME]) == 2
    assert f"--trainer.start {NAME}" in capsys.readouterr().err


def test_the_commands_go_back_to_random_weights(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run")
    run.note(command="third", start={"command": "second", "start": {"command": "first"}})
    assert run.commands() == ["first", "second", "third"]


# --- figures


def test_every_model_has_figures() -> None:
    assert {figure.run.name for figure in figures()} == set(pretrained_names())
    assert all(figure.name.startswith(f"{figure.run.name}/") for figure in figures())


def test_a_name_is_of_one_figure() -> None:
    names = [figure.name for figure in figures()]
    assert len(names) == len(set(names))


@NAMES
def test_figures_come_out_as_published(name: str) -> None:
    for figure in figures(name):
        if figure.result.mean_length > 3_000:
            continue  # a minute for a single answer
        limit = max(1, min(100, 3_000 // int(figure.result.mean_length)))
        assert reproduce(figure, limit=limit).holds, figure.name


def test_the_command_lists_and_makes_again(capsys) -> None:
    figure = figures(NAME)[0]
    assert main(["reproduce"]) == 0
    assert figure.name in capsys.readouterr().out
    assert main(["reproduce", figure.name, "--limit", "5"]) == 0
    assert "as published" in capsys.readouterr().out
    assert main(["reproduce", NAME, "--train"]) == 0
    assert "nestree train" in capsys.readouterr().out


def test_a_figure_that_does_not_come_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.open(NAME).to_write_in()
    results = json.loads(run.evaluation_file.read_text())["results"]
    for entry in results:
        entry["right"] = "00" * (len(entry["right"]) // 2)
    write_json(run.evaluation_file, {"results": results})
    monkeypatch.setattr("nestree.runs.run.FOLDER", tmp_path / "runs")
    figure = figures(NAME)[0]
    assert main(["reproduce", figure.name, "--limit", "5"]) == 1
    assert "NOT as published" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("examples", "differing", "holds"), [(10, 1, True), (10, 2, False), (2000, 4, True), (2000, 5, False)]
)
def test_few_answers_may_differ(examples: int, differing: int, holds: bool) -> None:
    assert Repetition(figures()[0], examples, 0, 0, differing).holds == holds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no model 'nothing'"),
        ([f"{NAME}/900"], "there is no figure"),
        ([NAME, "--limit", "0"], "--limit must be an integer of at least 1"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], message: str, capsys) -> None:
    assert main(["reproduce", *arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


# --- cards and tables


def write_results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_results", ROOT / "tools" / "write_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cards_and_tables_are_up_to_date() -> None:
    for path, text in write_results().written().items():
        assert path.read_text(encoding="utf-8") == text, f"python tools/write_results.py writes {path.name} anew"


def test_a_card_is_for_any_run(tmp_path: Path) -> None:
    trained = training(tmp_path / "run")
    trained.fit()
    card = model_card(trained.run)
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert 'nestree.load("run")' in card
    assert "24" in card  # steps
