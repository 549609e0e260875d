"""``nestree train --seed 1 2 3``, and what is shown when a training with a report ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import nestree.reports.glance as glance
from nestree.cli import train
from nestree.cli.main import main
from nestree.cli.train import take_seeds
from nestree.errors import UserError
from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.evaluate_run import evaluate_run
from nestree.evaluation.record import record
from nestree.recipes import Kept, kept_figures, recipe_names
from nestree.runs import Run
from nestree.tasks.listops import ListOps
from nestree.tasks.listops.splits import SPLITS
from support.training import QUIET, config, fresh_model, saved_run

TINY = [
    *("--data.train_size=40", "--data.validation_size=4", "--encoder.dim=8"),
    *("--trainer.max_steps=2", "--trainer.devices=1"),
]


@pytest.mark.parametrize(
    ("arguments", "seeds", "rest"),
    [
        (["r", "--seed", "1", "2", "3", "--report"], [1, 2, 3], ["r", "--report"]),
        (["--seed", "4", "5", "r"], [4, 5], ["r"]),
        (["r", "--seed", "1"], [], ["r", "--seed", "1"]),
        (["r", "--seed=1"], [], ["r", "--seed=1"]),
        (["r", "--seed", "x"], [], ["r", "--seed", "x"]),
        (["r", "--seed"], [], ["r", "--seed"]),
    ],
)
def test_several_seeds_are_taken_out(arguments: list[str], seeds: list[int], rest: list[str]) -> None:
    assert take_seeds(arguments) == (seeds, rest)


def test_a_seed_is_there_once() -> None:
    with pytest.raises(UserError, match=r"^seed must be different seeds, not 1, 2, 1"):
        take_seeds(["r", "--seed", "1", "2", "1"])


class Trainings:
    """Stands for the processes that train: makes their runs, with an accuracy that their seed decides."""

    def __init__(self, *, code: int = 0, signalled: bool = False) -> None:
        self.code, self.signalled = code, signalled
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, bool]:
        self.commands.append(list(command[3:]))
        seed, folder = (command[list(command).index(option) + 1] for option in ("--seed", "--run"))
        run = Run(folder).begin(replace(config(), seed=int(seed)), command="test")
        run.save_weights(fresh_model())
        run.note(validation_accuracy=int(seed) / 10)
        total = Share("near-iid", int(seed), 10)
        record(run, Result("near-iid", None, total, {}, 30.0, 1.0), seed=0)
        return self.code, self.signalled


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def trained(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Trainings:
    trainings = Trainings(**options)
    monkeypatch.setattr("nestree.training.child_process.attended", trainings)
    return trainings


def test_each_seed_has_a_run_and_a_table_has_them_all(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = trained(monkeypatch)
    arguments = ["train", "--report", "listops-grc", "--seed", "1", "2", "6", *TINY, "--run", "x"]
    assert main(arguments) == 0
    assert trainings.commands == [
        ["train", "listops-grc", "--report", *TINY, "--seed", seed, "--run", f"x/seed-{seed}"] for seed in "126"
    ]
    captured = capsys.readouterr()
    assert captured.out == "x\n"
    lines = [line.replace("│", " ").split() for line in captured.err.splitlines()]
    assert ["validation", "10.0", "20.0", "60.0", "30.0"] in lines
    assert ["near-iid", "10.0", "20.0", "60.0", "30.0"] in lines


def test_without_a_folder_they_share_one_of_the_recipe(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(monkeypatch)
    assert main(["train", "listops-grc", "--seed", "1", "2"]) == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.startswith("listops-grc-")
    assert {run.name for run in folder.iterdir()} == {"seed-1", "seed-2"}


def test_a_seed_that_fails_is_left_behind(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = trained(monkeypatch, code=1)
    assert main(["train", "listops-grc", "--seed", "1", "2", "--run", "x"]) == 1
    assert len(trainings.commands) == 2
    assert "failed: seed 1, 2" in capsys.readouterr().err


def test_an_interruption_ends_them_all(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = trained(monkeypatch, code=130)
    assert main(["train", "listops-grc", "--seed", "1", "2", "3", "--run", "x"]) == 130
    assert len(trainings.commands) == 1
    assert "stopped before seed 2, 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["listops-grc", "--seed", "1", "2", "--run", "x", "--encoder.dim", "0"], "--encoder.dim must be"),
        (["--seed", "1", "2", "--resume", "old"], "--seed takes several seeds for new runs only, not with --resume"),
        (["listops-grc", "--seed", "1", "2", "--run", "used"], "used is not empty"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    arguments: list[str], message: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = trained(monkeypatch)
    saved_run(here / "old")
    (here / "used").mkdir()
    (here / "used" / "file").touch()
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not trainings.commands


def test_two_seeds_are_trained_in_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["train", "listops-grc", *TINY, "--seed", "1", "2", "--run", "x"]) == 0
    for seed in (1, 2):
        run = Run.open(here / "x" / f"seed-{seed}")
        assert (run.config.seed, run.about()["state"], run.about()["steps"]) == (seed, "finished", 2)


def test_an_option_is_left_out_with_its_value() -> None:
    assert train._without(["--run", "x", "--report"], "--run") == ["--report"]
    assert train._without(["--report", "--run=x"], "--run") == ["--report"]


def shown(run: Run, results: list[Result], *, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    glance.show_glance(console, run, results)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_glance_shows_accuracy_with_what_is_published_and_a_tree(tmp_path: Path) -> None:
    options = {"name": "rir-ebt-grc", "dim": 8, "beam_size": 2, "arity": 4}
    run = saved_run(tmp_path / "run", encoder=options, data={"curriculum": "sums-first"})
    results = evaluate_run(run, ["near-iid", "200-300"], limit=5, console=QUIET)
    text = shown(run, results)
    assert "tiny: accuracy, generated, curriculum sums-first, grouped inference" in text
    claim = SPLITS["200-300"].family.claim
    assert claim is not None
    assert f"│ {claim.about}" in text
    result, row = glance.chosen(results, run) or pytest.fail("none is chosen")
    tokens = run.task.load(result.test, size=5).lengths[row]
    assert f"the tree found in {tokens} tokens of {result.test}: answer" in text
    assert "┳" in text
    assert max(map(len, shown(run, results, width=80).splitlines())) <= 80
    assert "accuracy of others" not in text


def test_the_tree_is_of_a_right_answer_if_there_is_one(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run")
    lengths = run.task.load("200-300", size=8).lengths.tolist()
    shortest = lengths.index(min(lengths))

    def result(right: list[bool], test: str = "200-300") -> Result:
        packed = np.packbits(np.array(right)).tobytes().hex()
        return Result(test, None, Share(test, sum(right), 8), {}, 250.0, 1.0, right=packed)

    only = [number == shortest for number in range(8)]
    wrong = result([False] * 8, "near-iid")
    assert glance.chosen([wrong, result(only)], run) == (result(only), shortest)
    nothing = glance.chosen([result([False] * 8)], run)
    assert nothing is not None
    assert nothing[1] == min(range(8), key=lambda number: abs(lengths[number] - 300))


def test_an_encoder_without_trees_shows_accuracy_alone(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run", "s4d", encoder={"layers": 1})
    text = shown(run, evaluate_run(run, ["near-iid"], limit=4, console=QUIET))
    assert "near-iid" in text
    assert "the tree found" not in text


def test_a_bar_is_as_long_as_the_share_and_marks_another() -> None:
    assert glance.bar(0.5, None, columns=10, plain=True).plain == "#####....."
    assert glance.bar(0.5, 0.9, columns=10, plain=True).plain == "#####....|"
    assert glance.bar(1.0, 0.9, columns=10).plain == "█████████│"
    assert glance.bar(0.0, 0.5, columns=4).plain == "··│·"


def test_kept_figures_are_shown_if_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestree.recipes.FOLDER", tmp_path)
    (tmp_path / "tiny.yaml").write_text("{}")
    assert recipe_names() == ["tiny"]
    assert kept_figures("tiny") is None
    kept = {"date": "2026-01-31", "command": "nestree compare a b", "accuracies": {"a": {"near-iid": 0.123}}}
    (tmp_path / "tiny.json").write_text(json.dumps(kept))
    assert kept_figures("tiny") == Kept(**kept)
    run = saved_run(tmp_path / "run", "s4d", encoder={"layers": 1})
    result = Result("near-iid", None, Share("near-iid", 1, 4), {}, 30.0, 1.0)
    lines = [line.replace("│", " ").split() for line in shown(run, [result]).splitlines()]
    assert ["tiny,", "this", "run", "25.0"] in lines
    assert ["a", "12.3"] in lines
    assert ["measured", "on", "2026-01-31", "with:", "nestree", "compare", "a", "b"] in lines


def test_the_label_of_a_run_is_that_of_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListOps, "first_tests", ("near-iid",))
    run = saved_run(tmp_path / "run", data={"curriculum": "sums-first"})
    (result,) = evaluate_run(run, ["near-iid"], limit=4, console=QUIET)
    assert result.protocol == run.protocol == "generated, curriculum sums-first"
    (entry,) = json.loads(run.evaluation_file.read_text())["results"]
    assert entry["protocol"] == "generated, curriculum sums-first"
    assert config().data.plan is None
