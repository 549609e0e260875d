"""Sweeps: spaces and their errors, trials in run folders, pruning, resuming, and two processes at one storage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nestree.cli.main import main
from nestree.errors import UserError
from nestree.runs import Run
from nestree.runs.history import read_history, series
from nestree.sweep import run_trials as sweep_run
from nestree.sweep.run_trials import carry_out
from nestree.sweep.space import read_space
from nestree.sweep.sweep import Sweep, mend
from nestree.sweep.trials_table import best, table_rows, write
from support.training import QUIET, train_here

SHARED = (
    *("--encoder.dim=8", "--model.head_hidden=8", "--data.train_size=60", "--data.batch=8"),
    *("--data.validation_size=10", "--data.validation_longest=50", "--trainer.threads=1", "--trainer.devices=1"),
    *("--trainer.validate_every=4", "--trainer.max_steps=8", "--trainer.max_minutes=null", "--seed=5"),
)
SPACE = """
optimizer.learning_rate: {low: 1e-4, high: 1e-2, log: true}
encoder.dim: {low: 4, high: 8, step: 2}
data.batch: [8, 16]
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(SPACE)


def opened(name: str = "study", *, space: str = SPACE, prune: bool = True, shared: Sequence[str] = SHARED) -> Sweep:
    made = Sweep("listops-grc-quick", shared, storage=Path(f"{name}.log"), folder=Path(name), prune=prune)
    Path("space.yaml").write_text(space)
    made.open(read_space("space.yaml", made.config))
    return made


class Pretended:
    """Trains nothing: writes into the run folder what a training would have found."""

    def __init__(self, accuracies: Callable[[int], list[float]] = lambda number: [0.1 * (number + 1)]) -> None:
        self.accuracies = accuracies
        self.numbers: list[int] = []

    def __call__(self, run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        number = int(run.path.name.removeprefix("trial-"))
        self.numbers.append(number)
        values = self.accuracies(number)
        log = run.logs / "csv" / "000" / "metrics.csv"
        log.parent.mkdir(parents=True)
        for count in range(1, len(values) + 1):
            lines = [f"{step},{value}" for step, value in enumerate(values[:count])]
            log.write_text("\n".join(["step,validation_accuracy", *lines]) + "\n")
            run.checkpoint.write_bytes(b"x")
            if stop():
                run.note(state="interrupted", steps=count)
                return 130
        run.note(state="finished", validation_accuracy=max(values), steps=len(values), minutes=0.5, parameters=7)
        return 0


def chosen(sweep: Sweep) -> list[dict[str, Any]]:
    return [trial.params for trial in sweep.trials()]


def fails(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


def test_a_space_has_ranges_and_choices() -> None:
    assert opened().space == {
        "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "encoder.dim": IntDistribution(4, 8, step=2),
        "data.batch": CategoricalDistribution([8, 16]),
    }
    text = "encoder.dropout: {low: 0, high: 0.25, step: 0.1}\nseed: {low: 1, high: 9}\ndata.train_size: [null, 10]"
    space = opened("other", space=text).space
    assert space["encoder.dropout"] == FloatDistribution(0.0, 0.2, step=0.1)
    assert space["seed"] == IntDistribution(1, 9)
    assert space["data.train_size"] == CategoricalDistribution([None, 10])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder.dimm: [3]", "there is no option 'encoder.dimm'; did you mean encoder.dim"),
        ("beam: [3]", "there is no option 'beam'"),
        ("encoder.dim: 3", "encoder.dim must be a list of choices, or a range"),
        ("encoder.dim: []", "encoder.dim must be a list of numbers"),
        ("encoder.dim: [8, 0]", "encoder.dim must be an integer of at least 1, not 0"),
        ("encoder.dim: {low: 0, high: 3}", "encoder.dim must be an integer of at least 1, not 0"),
        ("encoder.dim: {low: 1, high: 3.5}", "encoder.dim.high must be an integer, not 3.5"),
        ("encoder.dim: {low: 3, high: 3}", "encoder.dim.low must be below high, not 3 and 3"),
        ("encoder.dim: {low: 1, hihg: 3}", "encoder.dim must be a list of choices, or a range"),
        (
            "encoder.dim: {low: 1, high: 3, stop: 1}",
            "encoder.dim must be a range, and there is no part of a range 'stop'; did you",
        ),
        ("encoder.dim: {low: 1, high: 3, step: 0}", "encoder.dim.step must be above 0, not 0"),
        ("encoder.dropout: {low: 0, high: 0.5, log: true}", "encoder.dropout.log needs low above 0"),
        ("encoder.dropout: {low: 0, high: much}", "encoder.dropout.high must be a number, not 'much'"),
        ("encoder.dropout: {low: 0, high: 1}", "encoder.dropout must be a number of at least 0 and below 1"),
        ("encoder.dropout: {low: 0, high: 0.5, log: often}", "encoder.dropout.log must be true or false"),
        ("model.train_embedding: {low: 0, high: 1}", "model.train_embedding must be true or false"),
        ("encoder: [3]", "encoder is a section"),
        ("[]", "space.yaml: not a mapping of options"),
        ("a: [", "space.yaml:1: not YAML"),
    ],
)
def test_an_error_in_a_space_names_file_and_option(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        opened(space=text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("space.yaml")
    assert "\n" not in str(caught.value)
    assert not Path("study.log").exists()


COMMAND = ["listops-grc-quick", "--space", "space.yaml", "--trials", "2", "--storage", "study.log"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (COMMAND[:-2], "--storage is missing"),
        (COMMAND[:1] + COMMAND[3:], "--space is missing"),
        ([*COMMAND, "--trials", "0"], "--trials must be an integer of at least 1"),
        ([*COMMAND, "--pruner", "some"], "--pruner must be one of median, none"),
        (["gcr", *COMMAND[1:]], "there is no recipe 'gcr'"),
        ([*COMMAND, "--encoder.arity", "3"], "there is no option '--encoder.arity'"),
        ([*COMMAND, "--space", "nothing.yaml"], "nothing.yaml: cannot be read"),
        ([*COMMAND, "--storage", "study"], "--storage study needs an ending"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in fails(arguments, capsys)
    assert not Path("study.log").exists()


def test_without_the_extra_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "needs Optuna: pip install 'nestree[sweep]'" in fails(COMMAND, capsys)


def test_a_sweep_trains_ordinary_runs_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nestree.sweep.run_trials.carry_out.__kwdefaults__", {"train": train_here})
    assert main(["sweep", *COMMAND, *SHARED]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("study/sweep.md\n")
    sweep = opened()
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE] * 2
    for trial in sweep.trials():
        run = Run.open(sweep.run(trial.number).path)
        about = run.about()
        assert trial.value == about["validation_accuracy"]
        assert (about["state"], about["steps"]) == ("finished", 8)
        assert (run.config.encoder.dim, run.config.data.batch) == tuple(
            trial.params[name] for name in ("encoder.dim", "data.batch")
        )
        assert run.config.optimizer.learning_rate == trial.params["optimizer.learning_rate"]
        assert list(trial.intermediate_values.values()) == series(read_history(run), "validation_accuracy")[1]
        assert list(trial.intermediate_values) == [1, 2]
        assert about["command"] == sweep.command(trial.params)
    winner = best(sweep)
    assert winner is not None
    assert sweep.command(winner.params) in (Path("study") / "sweep.md").read_text()
    monkeypatch.setattr(
        "nestree.sweep.run_trials.carry_out.__kwdefaults__", {"train": None}
    )  # nothing is left to train
    assert main(["sweep", *COMMAND, *SHARED]) == 0


def test_the_seed_decides_what_is_tried() -> None:
    sweeps = [opened("one"), opened("two"), opened("three", shared=(*SHARED, "--seed=6"))]
    for sweep in sweeps:
        carry_out(sweep, 4, console=QUIET, train=Pretended())
    one, two, three = map(chosen, sweeps)
    assert one == two != three
    assert len({json.dumps(params) for params in one}) == 4


def test_a_trial_below_the_median_is_pruned() -> None:
    sweep = opened()
    carry_out(sweep, 7, console=QUIET, train=Pretended(lambda number: [0.5, 0.6] if number < 5 else [0.4, 0.9]))
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED] * 2
    assert [trial.value for trial in sweep.trials()] == [0.6] * 5 + [0.4] * 2
    assert sweep.run(6).about()["steps"] == 1
    assert sweep.run(6).about()["state"] == "pruned"
    assert [row[-1] for row in table_rows(sweep)] == [""] * 5 + ["pruned"] * 2
    patient = opened("patient", prune=False)
    carry_out(patient, 7, console=QUIET, train=Pretended(lambda number: [0.5, 0.6] if number < 5 else [0.4, 0.9]))
    assert {trial.state for trial in patient.trials()} == {TrialState.COMPLETE}


def test_a_trial_that_was_stopped_goes_on_in_the_same_run() -> None:
    whole = opened("whole")
    carry_out(whole, 2, console=QUIET, train=train_here)
    stopped = opened("stopped")

    def interrupted(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        return train_here(run, stop=lambda: stop() or run.path.name == "trial-0001", keep=keep)

    with pytest.raises(KeyboardInterrupt):
        carry_out(stopped, 2, console=QUIET, train=interrupted)
    assert stopped.run(1).about()["state"] == "interrupted"
    assert stopped.trials()[1].state == TrialState.RUNNING
    again = opened("stopped")
    carry_out(again, 2, console=QUIET, train=train_here)
    assert chosen(again) == chosen(whole)
    assert [trial.value for trial in again.trials()] == [trial.value for trial in whole.trials()]
    assert [trial.intermediate_values for trial in again.trials()] == [
        trial.intermediate_values for trial in whole.trials()
    ]
    assert again.run(1).weights.read_bytes() == whole.run(1).weights.read_bytes()


def test_a_trial_that_another_process_is_at_is_left_to_it() -> None:
    sweep, pretended = opened(), Pretended()
    taken = sweep.take(3)
    assert taken is not None
    with taken.held:
        carry_out(opened(), 3, console=QUIET, train=pretended)
        assert pretended.numbers == [1, 2]
    carry_out(opened(), 3, console=QUIET, train=pretended)
    assert pretended.numbers == [1, 2, 0]


def test_a_trial_that_fails_does_not_end_the_sweep() -> None:
    sweep = opened()
    pretended = Pretended()

    def train(run: Run, *, stop: Callable[[], bool], keep: Sequence[int]) -> int:
        return 1 if run.path.name == "trial-0000" else pretended(run, stop=stop, keep=keep)

    carry_out(sweep, 2, console=QUIET, train=train)
    assert [trial.state for trial in sweep.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    write(sweep)
    assert "failed: training ended with exit code 1" in (Path("study") / "sweep.md").read_text()
    winner = best(sweep)
    assert winner is not None
    assert winner.number == 1


def test_values_that_do_not_go_together_fail_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = opened()

    def refuse(*_: object) -> None:
        raise UserError("--encoder.dim and --data.batch do not go together")

    monkeypatch.setattr(sweep_run, "build_model", refuse)
    carry_out(sweep, 1, console=QUIET, train=Pretended())
    assert sweep.trials()[0].state == TrialState.FAIL
    assert "do not go together" in table_rows(sweep)[0][-1]
    assert best(sweep) is None


def test_a_storage_is_of_one_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    opened()
    opened()
    with pytest.raises(UserError, match=r"study\.log belongs to a sweep with another space"):
        opened(space="encoder.dim: [4, 8]")
    with pytest.raises(UserError, match=r"study\.log belongs to a sweep with another recipe or options"):
        opened(shared=(*SHARED, "--seed=6"))
    Path("note.log").write_text("a note\nanother\n")
    with pytest.raises(UserError, match=r"note\.log: not the storage of a sweep"):
        opened("note")
    with pytest.raises(UserError, match="cannot be used"):
        opened("nowhere/study") if Path("nowhere").touch() is None else None


def test_a_line_that_a_crash_cut_is_taken_off() -> None:
    sweep = opened()
    carry_out(sweep, 1, console=QUIET, train=Pretended())
    whole = sweep.storage.read_bytes()
    sweep.storage.write_bytes(whole + b'{"op_code": 4, "work')
    again = opened()
    carry_out(again, 2, console=QUIET, train=Pretended())
    assert again.storage.read_bytes().startswith(whole)
    assert len(again.trials()) == 2
    Path("empty").write_bytes(b"")
    mend(Path("empty"))
    assert Path("empty").read_bytes() == b""


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}, {tests!r} + "/sweep"]
from test_sweep import Pretended, opened
from nestree.sweep.run_trials import carry_out
from support.training import QUIET
pretended = Pretended()
carry_out(opened(), 6, console=QUIET, train=pretended)
print(*pretended.numbers)
"""


def test_two_processes_share_the_trials() -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]))
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    done = []
    for process in processes:
        out, error = process.communicate(timeout=100)
        assert process.returncode == 0, error
        done += [int(number) for number in out.split()]
    assert sorted(done) == list(range(6))
    trials = opened().trials()
    assert [trial.value for trial in trials] == pytest.approx([0.1 * (number + 1) for number in range(6)])
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
