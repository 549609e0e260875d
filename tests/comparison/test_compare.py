"""Comparisons: equal budgets, one table, resuming, failures; trained in this process but for one."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nestree.cli.arguments import shared_options
from nestree.cli.main import main
from nestree.comparison import run_plan as comparison_run
from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.comparison.plan import Comparison, Plan
from nestree.comparison.results_table import screen_table
from nestree.comparison.rows import rows
from nestree.comparison.run_plan import carry_out
from nestree.data.files import locked
from nestree.errors import INTERRUPTED, UserError
from nestree.runs import Run
from nestree.training.child_process import note_end, train_in_child_process
from support.training import QUIET, train_here

SHARED = (
    *("--encoder.dim=8", "--model.head_hidden=8", "--data.train_size=60", "--data.batch=8"),
    *("--data.validation_size=10", "--data.validation_longest=50", "--trainer.threads=1", "--trainer.devices=1"),
    *("--trainer.validate_every=6", "--trainer.checkpoint_every=2", "--data.curriculum=none"),
)
RIR = "rir=listops-rir-quick:encoder.beam_size=2,encoder.arity=4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


def plan(*recipes: str, budget: str = "101seq", **options: object) -> Plan:
    contenders = tuple(Contender.parse(text) for text in recipes or ("listops-grc-quick", "listops-bbt-quick"))
    given = {"shared": SHARED, "tests": ("near-iid", "200-300"), "limit": 4, **options}
    return Plan(contenders, Budget.parse(budget), **given)  # pyright: ignore[reportArgumentType]


def begin(*recipes: str, folder: str = "out", **options: object) -> Comparison:
    return Comparison.begin(plan(*recipes, **options), folder, console=QUIET)  # pyright: ignore[reportArgumentType]


def written(comparison: Comparison) -> dict[str, dict[str, object]]:
    """The rows by label, as they were written."""
    found = json.loads((comparison.path / "comparison.json").read_text())["rows"]
    return {f"{row['label']} {row['inference']}": row for row in found}


def timeless(comparison: Comparison) -> list[dict[str, object]]:
    """What is written, without what time it took."""
    found = list(written(comparison).values())
    for row in found:
        for name in ("minutes", "sequences_per_second", "peak_memory_bytes"):
            row.pop(name)
        for result in row["results"]:  # pyright: ignore[reportGeneralTypeIssues]
            result.pop("seconds")
    return found


def fails(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("text", "minutes", "sequences"),
    [("90s", 1.5, None), ("10m", 10, None), ("1.5h", 90, None), ("50000seq", None, 50000), ("1_000 seq", None, 1000)],
)
def test_a_budget_is_a_time_or_a_number(text: str, minutes: float | None, sequences: int | None) -> None:
    assert Budget.parse(text) == Budget(minutes, sequences)


@pytest.mark.parametrize("text", ["", "10", "m", "0s", "0seq", "1.5seq", "-3m", "10 minutes", "5d", "infs"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^budget must be a time"):
        Budget.parse(text)


def test_a_contender_has_options_and_a_label() -> None:
    assert Contender.parse("listops-rir") == Contender("listops-rir", "listops-rir")
    options = ("--encoder.s4d=false", "--seed=2")
    text = "listops-rir:encoder.s4d=false,seed=2"
    assert Contender.parse(text) == Contender(text, "listops-rir", options)
    assert Contender.parse(f"no S4D={text}") == Contender("no S4D", "listops-rir", options)
    assert Contender.parse(f"no S4D={text}").folder == "no-S4D"
    for wrong in ("", "=listops-rir", "a=", "listops-rir:", "listops-rir:encoder.s4d", "listops-rir:seed=1,"):
        with pytest.raises(UserError, match="must be RECIPE"):
            Contender.parse(wrong)


def test_options_for_all_are_told_from_the_commands_own() -> None:
    words = ["a", "--seed", "3", "b:c=1", "--out", "x", "--data.train_size=5", "--optimizer.clip", "-1"]
    assert shared_options(words) == (
        ["a", "b:c=1", "--out", "x"],
        ["--seed=3", "--data.train_size=5", "--optimizer.clip=-1"],
    )
    with pytest.raises(UserError, match=r"^data\.batch needs a value"):
        shared_options(["a", "--data.batch"])


GRC, BBT = "listops-grc-quick", "listops-bbt-quick"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the recipes to compare"),
        ([GRC], "--budget is missing"),
        ([GRC, "--budget", "soon"], "--budget must be a time"),
        ([GRC, "gcr", "--budget", "1m"], "there is no recipe 'gcr'"),
        ([GRC, GRC, "--budget", "1m"], "'listops-grc-quick' is the label of 2 recipes"),
        (["a b=listops-grc", "a-b=listops-grc", "--budget", "1m"], "'a-b' is the folder of 2 recipes"),
        (
            [GRC, f"{BBT}:encoder.beam_size=3", "--budget", "1m"],
            "=3: there is no option 'encoder.beam_size'",
        ),
        ([GRC, "--budget", "1m", "--data.batch", "0"], f"{GRC}: data.batch must be an integer of at least 1"),
        (
            [GRC, "--budget", "1m", "--trainer.max_steps", "9"],
            "--trainer.max_steps must be left out: in a comparison only the budget limits training",
        ),
        (
            [GRC, "logic-rir", "--budget", "1m"],
            "--data.task must be the same for all, since recipes can only be compared on the same tests",
        ),
        ([GRC, f"{GRC}:data.seed=3", "--budget", "1m"], "--data.seed must be the same for all"),
        ([GRC, "--budget", "1m", "--tests", "near"], "there is no test of listops 'near'"),
        ([GRC, "--budget", "1m", "--limit", "0"], "--limit must be an integer of at least 1"),
        ([GRC, "--budget", "1m", "--inference", "x"], "--inference must be one of grouped, flat, both"),
        (["--resume", "nowhere"], "nowhere has no comparison"),
        (["--resume", "x", "--budget", "1m"], "own recipes and options: give no others"),
        (["--resume=x", "--seed=2"], "own recipes and options: give no others"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_trained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails([*arguments, *(["--out", "out"] if "--resume" not in str(arguments) else [])], capsys)
    assert not Path("out").exists()


def test_what_fits_neither_data_nor_machine_is_found_before_anything_is_trained() -> None:
    with pytest.raises(UserError, match=r"two: trainer\.max_sequences must be at least 2"):
        begin("two=listops-grc-quick:trainer.devices=2,trainer.accelerator=cpu", budget="1seq")
    assert not Path("out").exists()
    Path("used").mkdir()
    Path("used/file").touch()
    with pytest.raises(UserError, match="used is not empty"):
        begin(folder="used")


def test_budgets_are_equal_and_all_is_written() -> None:
    comparison = begin(GRC, RIR, "long=listops-grc-quick:data.batch=16,seed=2", inference="both")
    assert carry_out(comparison, console=QUIET, train=train_here)
    found = written(comparison)
    assert list(found) == [f"{GRC} None", "rir grouped", "rir flat", "long None"]
    assert {row["sequences"] for row in found.values()} == {101}
    assert [row["steps"] for row in found.values()] == [14, 14, 14, 7]
    for row in found.values():
        assert [result["test"] for result in row["results"]] == ["near-iid", "200-300"]
        assert {result["examples"] for result in row["results"]} == {4}
        assert row["parameters"] > 0
        assert row["peak_memory_bytes"] > 0
    text = (comparison.path / "comparison.md").read_text()
    assert "| rir, flat |" in text
    assert "101 sequences" in text
    assert (comparison.path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    for width, there in ((200, True), (80, False)):
        console = Console(width=width, file=StringIO())
        console.print(screen_table(rows(comparison), comparison.tests, title="title", console=console))
        shown = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
        assert max(map(len, shown.splitlines())) <= width
        assert "rir, grouped" in shown
        assert ("minutes" in shown) == there
    alone = Comparison(comparison.path, plan(GRC)).command(Contender.parse(GRC))
    assert "nestree train listops-grc-quick --encoder.dim=8" in alone
    assert alone in text
    assert comparison.run(Contender.parse(GRC)).about()["command"] == alone


def test_a_time_is_what_a_run_counts_itself() -> None:
    comparison = begin(budget="0.06s")
    assert carry_out(comparison, console=QUIET, train=train_here)
    for row in written(comparison).values():
        assert row["minutes"] >= 0.001
        assert comparison.run(Contender.parse(str(row["recipe"]))).about()["why"] == "reached 0.001 minutes"


def test_a_resumed_comparison_is_the_uninterrupted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = begin(folder="whole")
    carry_out(whole, console=QUIET, train=train_here)
    stopped, calls = begin(folder="stopped"), []

    def interrupted(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        calls.append(run.path.name)
        second = run.path.name == BBT
        return train_here(run, stop=(lambda: True) if second else stop, keep=keep)

    with pytest.raises(KeyboardInterrupt):
        carry_out(stopped, console=QUIET, train=interrupted)
    assert calls == [GRC, BBT]
    about = Run(f"stopped/{BBT}").about()
    assert (about["state"], about["steps"]) == ("interrupted", 6)
    before = Run(f"stopped/{GRC}").evaluation_file.read_bytes()
    evaluated = []
    original = comparison_run.evaluate_run
    monkeypatch.setattr(
        comparison_run, "evaluate_run", lambda run, *rest, **more: evaluated.append(run) or original(run, *rest, **more)
    )
    again = Comparison.open("stopped")
    assert again.plan == stopped.plan
    assert carry_out(again, console=QUIET, train=interrupted_never(calls))
    assert calls == [GRC, BBT, BBT]
    assert [run.path.name for run in evaluated] == [BBT]
    assert Run(f"stopped/{GRC}").evaluation_file.read_bytes() == before
    assert timeless(again) == timeless(whole)
    for name in (GRC, BBT):
        assert Run(f"stopped/{name}").weights.read_bytes() == Run(f"whole/{name}").weights.read_bytes()
    carry_out(again, console=QUIET, train=interrupted_never(calls))
    assert (calls, len(evaluated)) == ([GRC, BBT, BBT], 1)


def interrupted_never(calls: list[str]) -> Callable[..., int]:
    """A trainer that only counts."""

    def train(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        calls.append(run.path.name)
        return train_here(run, stop=stop, keep=keep)

    return train


def test_an_evaluation_that_stopped_goes_on_with_the_next_test(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = begin(GRC)
    original, tests = comparison_run.evaluate_run, []

    def once(run: Run, names: Sequence[str], **options: object) -> None:
        tests.append(list(names))
        original(run, names[:1], **options)  # pyright: ignore[reportArgumentType]
        if len(tests) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(comparison_run, "evaluate_run", once)
    with pytest.raises(KeyboardInterrupt):
        carry_out(comparison, console=QUIET, train=train_here)
    carry_out(comparison, console=QUIET, train=train_here)
    assert tests == [["near-iid", "200-300"], ["200-300"]]


def test_one_that_fails_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    infinite = "infinite=listops-grc-quick:optimizer.learning_rate=1e30,optimizer.clip=null"
    comparison = begin(infinite, "killed=listops-grc-quick", BBT)

    def train(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        return -9 if run.path.name == "killed" else train_here(run, stop=stop, keep=keep)

    assert not carry_out(comparison, console=QUIET, train=train)
    found = written(comparison)
    assert "the loss is no longer finite" in str(found["infinite None"]["error"])
    assert found["killed None"]["error"] == "training was killed by SIGKILL"
    assert found[f"{BBT} None"]["error"] is None
    assert found[f"{BBT} None"]["results"]
    assert "killed: training was killed by SIGKILL" in (comparison.path / "comparison.md").read_text()
    monkeypatch.setattr("nestree.comparison.run_plan.carry_out.__kwdefaults__", {"train": train})
    assert main(["compare", "--resume", "out"]) == 1
    shown = capsys.readouterr().out
    assert "not finite" in shown
    assert "failed" in shown
    calls: list[str] = []
    assert not carry_out(comparison, console=QUIET, train=interrupted_never(calls))
    assert calls == ["killed"]  # what was killed is tried again, what is not finite would be so again
    assert written(comparison)["killed None"]["error"] is None


def test_an_evaluation_that_fails_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = begin(GRC)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no\nmemory")

    with monkeypatch.context() as patch:
        patch.setattr(comparison_run, "evaluate_run", fail)
        assert not carry_out(comparison, console=QUIET, train=train_here)
    assert written(comparison)[f"{GRC} None"]["error"] == "evaluation: no memory"
    assert carry_out(comparison, console=QUIET, train=train_here)


def test_a_run_that_was_killed_at_its_very_end_is_finished_as_it_was() -> None:
    comparison = begin(GRC)
    carry_out(comparison, console=QUIET, train=train_here)
    run = comparison.run(Contender.parse(GRC))
    before = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    run.note(state="training")
    assert carry_out(comparison, console=QUIET, train=train_here)
    after = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.about()["sequences"] == 101


def test_a_comparison_belongs_to_one_process() -> None:
    comparison = begin(GRC)
    with locked(comparison.path), pytest.raises(UserError, match="out is in use"):
        carry_out(comparison, console=QUIET, train=train_here)


def test_the_end_of_a_training_is_noted_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.note(state="training")
    assert note_end(run, 0) == "training"
    assert note_end(run, 3) == "failed"
    assert run.about()["error"] == "training ended with exit code 3"
    assert note_end(run, -15) == "failed"
    assert run.about()["error"] == "training ended with exit code 3"


def test_a_training_apart_can_be_stopped_and_gone_on_with() -> None:
    comparison = begin("listops-grc-quick:trainer.validate_every=100000", budget="1_000_000seq")
    run = comparison.run(comparison.plan.contenders[0])
    with locked(comparison.path) as lock:
        assert lock is not None
        assert train_in_child_process(run, stop=run.checkpoint.exists, keep=(lock,)) == INTERRUPTED
    about = run.about()
    assert about["state"] == "interrupted"
    # The epoch's one short batch, of 4, may be among them.
    assert 8 * about["steps"] - 4 * math.ceil(about["epochs"]) <= about["sequences"] <= 8 * about["steps"]


def test_control_c_passes_on_and_says_how_to_go_on(cache: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nestree", "compare", GRC, BBT, "--budget", "1h", "--out", "a b", *SHARED]
    environment = {**os.environ, "NESTREE_CACHE": str(cache)}
    process = subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 180
    while not (tmp_path / "a b" / GRC / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 130, error
    assert "stopped; to continue: nestree compare --resume 'a b'" in error
    assert "Traceback" not in error
    assert Run(tmp_path / "a b" / GRC).about()["state"] == "interrupted"
    assert "state" not in Run(tmp_path / "a b" / BBT).about()
