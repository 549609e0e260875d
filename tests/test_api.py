"""The Python API: what the top of the package offers, as somebody meets it in a script or a notebook."""

from __future__ import annotations

import doctest
import io
import json
import os
import pydoc
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from rich.console import Console

import nestree
from nestree.cli.main import main
from nestree.config.config import read_config
from nestree.errors import OptionError
from nestree.recipes import load_recipe

TINY = {
    "encoder.dim": 8,
    "encoder.beam_size": 2,
    "model": {"head_hidden": 8},
    "trainer.threads": 1,
    "data.train_size": 60,
    "data.validation_size": 20,
    "data.validation_longest": 50,
    "data.batch": 8,
    "trainer.max_steps": 4,
    "trainer.validate_every": 2,
    "data.curriculum": "none",
}
ARGUMENTS = [
    *["--encoder.dim=8", "--encoder.beam_size=2", "--model.head_hidden=8", "--trainer.threads=1"],
    *["--data.train_size=60", "--data.validation_size=20", "--data.validation_longest=50", "--data.batch=8"],
    *["--trainer.max_steps=4", "--trainer.validate_every=2", "--data.curriculum=none"],
]
NINE = "[MAX 2 9 [MIN 4 7 ] 0 ]"


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
def shipped() -> nestree.Run:
    """A model that ships with the package."""
    return nestree.Run.open("listops-rir")


def test_everything_is_named_once_and_is_there() -> None:
    assert len(set(nestree.__all__)) == len(nestree.__all__)
    assert all(hasattr(nestree, name) for name in nestree.__all__)
    assert {"train", "load", "build", "Run", "Prediction"} <= set(nestree.__all__)


def test_help_shows_them_with_examples() -> None:
    shown = pydoc.plain(pydoc.render_doc(nestree))
    for line in (
        "build(name:",
        "train(recipe:",
        "load(run:",
        "predict(self, texts:",
        '>>> run = nestree.train("listops',
    ):
        assert line in shown


@pytest.mark.parametrize("method", ["evaluate", "predict", "parse"])
def test_the_examples_of_a_run_come_out_as_they_say(method: str) -> None:
    (test,) = doctest.DocTestFinder(recurse=False).find(
        getattr(nestree.Run, method), method, globs={"Run": nestree.Run}
    )
    assert test.examples
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_a_training_is_the_same_as_on_the_command_line() -> None:
    run = nestree.train("listops-rir", TINY, seed=5, out="python", progress=False)
    assert main(["train", "listops-rir", *ARGUMENTS, "--seed", "5", "--trainer.devices=1", "--run", "line"]) == 0
    line = nestree.Run.open("line")
    assert run.config == line.config
    assert run.weights.read_bytes() == line.weights.read_bytes()
    assert run.about()["command"].startswith("nestree train listops-rir --encoder.dim=8 --encoder.beam_size=2 ")


def test_the_command_that_is_noted_makes_the_run_again() -> None:
    recipe = {**load_recipe("listops-rir").values, "recipe": "mine"}
    run = nestree.train(recipe, TINY, out="first", progress=False)
    assert run.config.recipe == "mine"
    command = run.about()["command"].split()
    assert command[:3] == ["nestree", "train", "first/config.yaml"]
    assert main([*command[1:], "--run", "second"]) == 0
    assert Path("first/weights.safetensors").read_bytes() == Path("second/weights.safetensors").read_bytes()


def test_a_configuration_can_be_trained_and_a_run_gone_on_with() -> None:
    config = read_config(load_recipe("listops-rir").values, source="test")
    run = nestree.train(config, TINY, progress=False)
    assert run.path.parent == Path("runs")
    assert run.about()["steps"] == 4
    more = nestree.train(resume=run, options={"trainer.max_steps": 6}, progress=False)
    assert (more.path, more.about()["steps"]) == (run.path, 6)


def test_where_the_machine_may_choose_it_is_one_process() -> None:
    run = nestree.train("listops-rir", {**TINY, "trainer.devices": None}, progress=False)
    assert run.config.trainer.devices == 1
    assert "--trainer.devices=1" in run.about()["command"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "listops-rirr"}, "there is no recipe 'listops-rirr'"),
        ({"recipe": "listops-rir", "options": {"encoder.dimm": 3}}, "did you mean"),
        ({"recipe": "listops-rir", "options": {"dim": 3}}, "encoder.dim"),
        ({"recipe": "listops-rir", "options": {"encoder": {"dim": 0}}}, "encoder.dim must be an integer of at least 1"),
        ({"recipe": "listops-rir", "options": {"encoder.dim": None}}, "encoder.dim must be an integer"),
        ({"recipe": "listops-rir", "options": {"help": True}}, "help"),
        ({"recipe": "listops-rir", "seed": -1}, "seed must be an integer of at least 0"),
        ({"recipe": {"encoder": {"name": "grc", "dimm": 3}}}, "encoder.dimm"),
        ({}, "name a recipe to train, or a run to resume"),
        ({"resume": "nowhere"}, "nowhere is not a run folder"),
        ({"resume": "listops-rir"}, "ships with the package"),
        ({"recipe": {"encoder": {"name": "grc"}}, "resume": "x"}, "a resumed run keeps its own configuration"),
    ],
)
def test_a_mistake_is_an_ordinary_exception(arguments: dict, message: str) -> None:
    with pytest.raises(nestree.UserError) as error:
        nestree.train(**arguments, progress=False)
    assert isinstance(error.value, ValueError)
    assert message in str(error.value)
    assert not Path("runs").exists()


def test_a_mistake_in_a_recipe_is_told_from_one_in_the_options() -> None:
    Path("mine.yaml").write_text("encoder: {name: grc, dim: 0}", encoding="utf-8")
    with pytest.raises(nestree.UserError, match=r"^mine\.yaml: encoder\.dim must be an integer of at least 1, not 0$"):
        nestree.train("mine.yaml", progress=False)
    with pytest.raises(OptionError) as error:
        nestree.train("listops-rir", {"encoder.dim": 0}, progress=False)
    assert (error.value.option, error.value.where) == ("encoder.dim", "")


def test_progress_appears_and_can_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    run = nestree.train("listops-rir", TINY)
    captured = capsys.readouterr()
    assert "validation accuracy" in captured.err
    assert "finished: reached 4 steps" in captured.err
    assert captured.out == ""
    nestree.train("listops-rir", TINY, progress=False)
    run.evaluate(["near-iid"], limit=3, progress=False)
    assert capsys.readouterr() == ("", "")


def test_bars_are_drawn_where_they_can_be(monkeypatch: pytest.MonkeyPatch, shipped: nestree.Run) -> None:
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True)
    monkeypatch.setattr("nestree.runs.run.messages", lambda *, shown: terminal if shown else Console(quiet=True))
    shipped.predict(["3"] * 5)
    shipped.evaluate(["near-iid"], limit=2, write=False, progress=False)
    assert file.getvalue() == ""
    shipped.predict(["3"] * 5, progress=True)
    assert "predicting" in file.getvalue()
    shipped.evaluate(["near-iid"], limit=2, write=False)
    assert "near-iid" in file.getvalue()


def test_a_thread_can_train() -> None:
    runs: list[nestree.Run] = []
    thread = threading.Thread(target=lambda: runs.append(nestree.train("listops-rir", TINY, progress=False)))
    thread.start()
    thread.join()
    assert runs[0].about()["state"] == "finished"


def test_an_interrupted_training_can_be_gone_on_with(cache: Path) -> None:
    script = f"import nestree\nnestree.train('listops-rir', {{**{TINY}, 'trainer.max_steps': 100_000}}, out='run')\n"
    environment = {**os.environ, "NESTREE_CACHE": str(cache)}
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step "):
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate()[1]
    assert process.returncode != 0
    assert "to continue: nestree train --resume run" in rest
    assert "KeyboardInterrupt" in rest
    steps = nestree.Run.open("run").about()["steps"]
    run = nestree.train(resume="run", options={"trainer.max_steps": steps + 2}, progress=False)
    assert run.about()["steps"] == steps + 2


def test_predictions_are_those_of_the_command_line(shipped: nestree.Run, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [NINE, "[SM 3 4 ]", "5"]
    found = shipped.predict(texts)
    assert [one.label for one in found] == ["9", "7", "5"]
    for one in found:
        assert list(one.probabilities) == [str(digit) for digit in range(10)]
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]
    assert main(["predict", "listops-rir", *texts, "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["label"], one["probability"]) for one in printed] == [
        (one.label, round(one.probability, 6)) for one in found
    ]
    assert shipped.predict([]) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("3", "a list of texts"),
        (["3", "[MAX"], "input 2: incomplete"),
        ([("3", "4")], "input 1: an input of listops is one text, not 2"),
    ],
)
def test_what_is_no_input_is_named(shipped: nestree.Run, texts: list[str], message: str) -> None:
    with pytest.raises(nestree.UserError, match=message):
        shipped.predict(texts)


def test_trees_are_those_of_the_command_line(shipped: nestree.Run, capsys: pytest.CaptureFixture[str]) -> None:
    trees = shipped.parse(NINE)
    assert isinstance(trees[0], nestree.ParsedTree)
    assert main(["parse", "listops-rir", NINE, "--format", "brackets"]) == 0
    assert capsys.readouterr().out.split("\t")[2].strip() == trees[0].brackets()
    (reading,) = shipped.read([NINE], beams=1, inference="flat")
    assert (reading.label, len(reading.sides[0])) == ("9", 1)
    with pytest.raises(ValueError, match="beams"):
        shipped.parse(NINE, beams=0)


def test_of_a_pair_both_texts_have_trees() -> None:
    small = {"trainer.threads": 1, "trainer.max_steps": 2, "data.batch": 4, "data.train_size": 20, "encoder.dim": 8}
    run = nestree.train("logic-rir", {**small, "data.validation_size": 8, "data.curriculum": "none"}, progress=False)
    first, second = run.parse("( not a )", "( a ( and b ) )")
    assert (first[0].tree.leaves, second[0].tree.leaves) == (4, 7)
    assert run.predict([("( not a )", "b")]) == run.predict(["( not a )\tb"])


def test_without_trees_it_is_said() -> None:
    run = nestree.train("listops-grc", {"encoder.name": "s4d", **{k: TINY[k] for k in TINY if "beam" not in k}})
    assert run.predict(["3"])[0].label in "0123456789"
    with pytest.raises(nestree.UserError, match="encoder s4d has no trees"):
        run.parse("3")


def test_an_evaluation_is_recorded_where_that_is_allowed(shipped: nestree.Run) -> None:
    results = shipped.evaluate(["near-iid"], limit=3, inference="both", write=False, progress=False)
    assert [result.inference for result in results] == ["grouped", "flat"]
    assert not Path("runs").exists()
    shipped.evaluate(["near-iid"], limit=3, progress=False)
    assert Path("runs/listops-rir/evaluation.json").is_file()
    with pytest.raises(ValueError, match="limit must be an integer of at least 1"):
        shipped.evaluate(["near-iid"], limit=0, write=False)
    with pytest.raises(nestree.UserError, match="there is no test"):
        shipped.evaluate(["near-idd"], write=False)


def test_the_model_is_loaded_once_and_again_when_its_weights_change() -> None:
    run = nestree.train("listops-rir", TINY, out="run", progress=False)
    model = run.model()
    assert run.model() is model
    assert run.model("flat") is not model
    other = nestree.load(run)
    torch.nn.init.ones_(other.embedding.weight)
    run.save_weights(other)
    os.utime(run.weights, ns=(1, 1))  # also where a file system tells times coarsely
    assert run.model().embedding.weight.unique().tolist() == [1.0]
