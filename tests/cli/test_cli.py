"""The command line as a user meets it: in process, and a few times as a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nestree
from nestree.cli import train
from nestree.cli.main import COMMANDS, main
from nestree.encoders.registry import ENCODERS
from nestree.recipes import load_recipe, recipe_names
from nestree.reports import markdown as report
from nestree.reports.markdown import current_results
from nestree.runs import Run
from nestree.tasks.listops import ListOps

TINY = [
    *["--encoder.dim", "8", "--model.head_hidden", "8", "--data.train_size", "200", "--data.batch", "16"],
    *["--data.validation_size", "30", "--data.validation_longest", "50", "--trainer.threads", "1"],
    *["--trainer.devices", "1"],
    *["--trainer.max_steps", "8", "--trainer.validate_every", "4", "--trainer.checkpoint_every", "2"],
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where generated data is kept for these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write nothing outside of the tests' folders."""
    monkeypatch.setenv("NESTREE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with a report, made as `make train` makes one, but smaller."""
    folder = tmp_path_factory.mktemp("run") / "rir"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTREE_CACHE", str(cache))
        patch.setattr("nestree.reports.markdown.EXAMPLES", 4)
        patch.setattr(ListOps, "first_tests", ("near-iid", "200-300"))
        assert (
            main(["train", "listops-rir-quick", *TINY, "--encoder.beam_size", "2", "--run", str(folder), "--report"])
            == 0
        )
    return str(folder)


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must exit with 2, and return its one line."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


def test_help_is_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert set(re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)) >= set(COMMANDS)
    for words in (
        ["--help"],
        *([command, "--help"] for command in COMMANDS),
        *(["data", a, "-h"] for a in ("make", "check", "list")),
    ):
        assert main(words) == 0
        assert "usage: nestree" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nestree {nestree.__version__}\n"


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipes_help_shows_its_own_defaults(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", recipe, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    values = load_recipe(recipe).values
    dim = values["encoder"]["dim"]
    assert f"--encoder.dim DIM Width D of the states, in features. (type: int, default: {dim})" in shown
    assert "training, minutes" in shown


def test_another_encoders_help_shows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "listops-grc", "--encoder.name", "rir-grc", "--help"]) == 0
    assert "--encoder.arity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "there is no command 'trian'; did you mean train?"),
        (["train", "listops"], "there is no recipe 'listops'; did you mean listops-bbt or "),
        (["train", "mine.yaml"], "mine.yaml: cannot be read (No such file or directory)"),
        (["train", "listops-grc", "--dim", "3"], "there is no option '--dim'; did you mean --encoder.dim?"),
        (["train", "listops-grc", "--encoder.dim", "0"], "--encoder.dim must be an integer of at least 1, not 0"),
        (["train", "listops-grc", "--encoder.name", "x"], "there is no encoder 'x'"),
        (["train", "listops-grc", "more"], "'more' is an unexpected argument"),
        (["train", "listops-grc", "--resume"], "--resume needs a value"),
        (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
        (["evaluate", "nowhere"], "nowhere is not a run folder"),
        (["evaluate"], "the following arguments are required: run"),
        (["report", "."], ". contains no run"),
        (["predict", "nowhere", "3"], "nowhere is not a run folder"),
        (["predict", "run", "3", "--file", "x"], "give inputs or --file, not both"),
        (["recipes", "--all"], "there is no option '--all'"),
        (["data", "mak"], "there is no action of nestree data 'mak'; did you mean make?"),
        (["data", "make", "train", "tset"], "there is no split 'tset'"),
        (["data", "make", "200-300", "--seed", "-1"], "--seed must be an integer of at least 0, not -1"),
        (["data", "make", "200-300", "--size", "few"], "--size must be an integer, not 'few'"),
        (["data", "make", "train", "near-iid", "--export", "x.tsv"], "--export takes one split at a time"),
        (["data", "check", "nothing.tsv"], "nothing.tsv: cannot be read"),
        (["data", "check", "."], ".: has no files in any of the known formats: ListOps (label TAB expression"),
    ],
)
def test_what_the_user_got_wrong_is_one_line_and_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(arguments, capsys)


def test_train_alone_helps_and_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    captured = capsys.readouterr()
    assert "usage: nestree train RECIPE" in captured.out
    assert captured.err.startswith("nestree: name a recipe, such as ")


def test_our_own_faults_are_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestree.cli.recipes.recipe_names", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # Python prints it and exits with 1
        main(["recipes"])


def test_recipes_and_encoders_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert main(["models"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in (*recipe_names(), *ENCODERS))


def test_an_accelerator_that_is_not_there_is_one_line_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["train", "listops-grc", *TINY, "--trainer.accelerator", "gpu", "--run", "run"]) == 2
    assert "--trainer.accelerator gpu" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("run").exists()


def test_a_training_leaves_all_that_is_promised(run: str) -> None:
    names = {path.name for path in Path(run).iterdir()}
    assert names == {
        *("config.yaml", "run.json", "weights.safetensors", "last.ckpt", "logs"),
        *("evaluation.json", "report.md", "accuracy.png", "training.png"),
        *("confusion-near-iid-grouped.png", "reliability-near-iid-grouped.png"),
    }
    text = (Path(run) / "report.md").read_text()
    assert f"nestree train listops-rir-quick {' '.join(TINY)}" in text
    assert "near-iid 4, 200-300 4" in text


def test_a_finished_run_is_not_trained_further(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (Path(run) / "last.ckpt").read_bytes()
    assert main(["train", "--resume", run]) == 0
    assert "is finished: reached 8 steps" in capsys.readouterr().err
    assert (Path(run) / "last.ckpt").read_bytes() == before
    assert "cannot change when a run is resumed (it is 8)" in fails(
        ["train", "--resume", run, "--encoder.dim", "16"], capsys
    )


def test_resuming_checks_what_is_asked(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--resume must be a run of recipe listops-grc;" in fails(["train", "listops-grc", "--resume", run], capsys)
    assert "--resume continues in the folder of that run" in fails(["train", "--resume", run, "--run", "x"], capsys)
    assert "is a run already" in fails(["train", "listops-grc", "--run", run], capsys)


def test_a_run_is_evaluated(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "evaluate",
        run,
        "--tests",
        "near-iid",
        "200-300",
        "--limit",
        "3",
        "--inference",
        "flat",
        "--threads",
        "1",
    ]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("near-iid", "200-300", "flat", "by length", "by root operator", "by depth"))
    results = json.loads((Path(run) / "evaluation.json").read_text())["results"]
    entry = next(entry for entry in results if (entry["test"], entry["inference"]) == ("200-300", "flat"))
    assert entry["examples"] == 3
    assert set(entry["strata"]) == {"length", "root operator", "depth"}
    assert main([*arguments[:2], "--tests", "near-iid", "--limit", "2", "--inference", "both"]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("grouped", "flat"))
    assert "there is no test of listops 'near'" in fails(["evaluate", run, "--tests", "near"], capsys)
    assert "--limit must be an integer of at least 1" in fails(["evaluate", run, "--limit", "0"], capsys)
    assert "--inference must be one of grouped, flat, both" in fails(["evaluate", run, "--inference", "x"], capsys)


def test_a_run_is_evaluated_with_other_options_of_its_encoder(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["evaluate", run, "--tests", "200-300", "--limit", "4"]
    before = current_results(Run(Path(run)))
    assert main([*asked, "--encoder.arity", "8", "--encoder.partial=0.25", "--encoder.beam_size", "2"]) == 0
    assert "with encoder.arity=8, encoder.partial=0.25" in capsys.readouterr().out  # 2 beams are the run's own
    entry = json.loads((Path(run) / "evaluation.json").read_text())["results"][-1]
    assert entry["encoder_options"] == {"arity": 8, "partial": 0.25}
    assert current_results(Run(Path(run))) == before  # that a report shows
    only = "cannot be changed for an evaluation: only options of the run's encoder can"
    assert f"--data.seed {only}" in fails([*asked, "--data.seed", "2"], capsys)
    assert f"--encoder.name {only}" in fails([*asked, "--encoder.name", "grc"], capsys)
    assert "there is no option '--encoder.arty'" in fails([*asked, "--encoder.arty", "2"], capsys)
    assert "--encoder.partial must be from 0 to 0.5" in fails([*asked, "--encoder.partial", "0.9"], capsys)


def test_a_report_is_made_again(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(run) / "report.md").unlink()
    assert main(["report", run, "--markdown"]) == 0
    assert capsys.readouterr().out == f"{run}/report.md\n"
    assert (Path(run) / "report.md").exists()


EXPRESSION = "[MAX 2 9 [MIN 4 7 ] 0 ]"


def test_inputs_are_predicted(run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["predict", run, EXPRESSION, "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[2] for line in lines] == [EXPRESSION, "3"]
    Path("inputs.txt").write_text(f"\ufeff{EXPRESSION}\r\n\r\n3\n")
    for source in (["--file", "inputs.txt"], ["inputs.txt"]):
        assert main(["predict", run, *source]) == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines() == [lines[0], "\t\t", lines[1]]
        assert captured.err == "1 input of 3 with an empty text: no label\n"
    for words in ([], ["-"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{EXPRESSION}\n3\n".encode())))
        assert main(["predict", run, *words]) == 0
        assert capsys.readouterr().out.splitlines() == lines
    assert main(["predict", run, "--json", EXPRESSION, "3"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(o["input"], o["label"]) for o in objects] == [(line.split("\t")[2], line.split("\t")[0]) for line in lines]
    assert all(0.1 <= o["probability"] <= 1 for o in objects)


def test_an_input_that_cannot_be_read_is_named(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "input 2: token 1 'x' is unknown" in fails(["predict", run, "3", "x"], capsys)
    Path("inputs.txt").write_text("3\n\n[MAX 1 two ]\n")
    assert "inputs.txt:3: token 3 'two' is unknown" in fails(["predict", run, "--file", "inputs.txt"], capsys)
    Path("inputs.txt").write_bytes(b"3\n\xff\n")
    assert "inputs.txt:2: not UTF-8" in fails(["predict", run, "--file", "inputs.txt"], capsys)
    assert "nothing.txt: cannot be read" in fails(["predict", run, "--file", "nothing.txt"], capsys)
    assert "--encoder.inference must be one of" in fails(["predict", run, "3", "--inference", "x"], capsys)


def test_data_is_made_checked_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "make", "200-300", "--size", "5", "--seed", "7", "--export", "x.tsv"]) == 0
    assert "listops/200-300: 5 examples" in capsys.readouterr().out
    assert main(["data", "check", "x.tsv"]) == 0
    assert "ListOps, x.tsv: 5 rows, none damaged" in capsys.readouterr().out
    lines = Path("x.tsv").read_text().splitlines()
    lines[2] = f"{(int(lines[2][0]) + 1) % 10}{lines[2][1:]}"
    Path("x.tsv").write_text("\n".join(lines))
    assert "x.tsv:3: the label is" in fails(["data", "check", "x.tsv"], capsys)
    for made in ("generated on first use", "cached"):  # the first five examples are not the split
        assert main(["data", "list", "--seed", "7"]) == 0
        assert re.search(rf"200-300.*{made}", capsys.readouterr().out)
        assert main(["data", "make", "200-300", "--seed", "7"]) == 0


def test_the_recipe_is_found_among_the_options() -> None:
    assert train._split_recipe(["--run", "x", "recipe", "--report"]) == ("recipe", ["--run", "x", "--report"])
    assert train._split_recipe(["--report", "--run=x", "recipe"]) == ("recipe", ["--report", "--run=x"])
    assert train._split_recipe(["--run", "x"]) == (None, ["--run", "x"])


def test_what_a_report_evaluates_is_what_is_promised() -> None:
    assert (ListOps.first_tests, report.EXAMPLES) == (("near-iid", "200-300", "500-600", "900-1000"), 200)


def test_control_c_saves_and_says_how_to_go_on(cache: Path, tmp_path: Path) -> None:
    """In a terminal, with a progress bar, as a user does it."""
    endless = [*TINY, "--trainer.max_steps", "100000", "--trainer.validate_every", "50000"]
    arguments = ["train", "listops-grc", *endless, "--run", "stopped"]
    main_end, process_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nestree", *arguments],
        stdin=process_end,
        stdout=process_end,
        stderr=process_end,
        env={**os.environ, "NESTREE_CACHE": str(cache), "COLUMNS": "120", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(process_end)
    os.set_blocking(main_end, False)
    shown, deadline = b"", time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        try:
            shown += os.read(main_end, 65536)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            break
        if (tmp_path / "stopped" / "last.ckpt").exists() and b"interrupting" not in shown:
            process.send_signal(signal.SIGINT)
            shown += b"interrupting"
    assert process.wait(timeout=60) == 130
    with contextlib.suppress(OSError):
        shown += os.read(main_end, 1 << 20)
    os.close(main_end)
    text = shown.decode()
    assert "sequences/s" in text
    assert "loss" in text
    assert re.search(r"stopped after step \d+; to continue: nestree train --resume stopped", text)
    assert "Traceback" not in text
    assert json.loads(Path("stopped/run.json").read_text())["state"] == "interrupted"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m nestree recipes | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("recipes")
