from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import nestree.runs.provenance
from nestree.data.files import read_yaml
from nestree.errors import UserError
from nestree.runs import Run, load
from nestree.runs.history import read_history
from nestree.runs.provenance import peak_memory
from support.training import config, fresh_model, training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    made = training(
        tmp_path_factory.mktemp("runs") / "run", config("rir-grc", encoder={"arity": 3}, trainer={"max_steps": 6})
    )
    made.fit()
    return made.run


def test_a_run_is_enough_to_rebuild_the_model(trained: Run) -> None:
    model = load(trained.path)
    assert not model.training
    for name, tensor in load_file(trained.weights).items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert Run.open(trained.path).config == config("rir-grc", encoder={"arity": 3}, trainer={"max_steps": 6})


def test_a_run_says_where_it_is_from(trained: Run) -> None:
    about = json.loads(trained.about_file.read_text())
    assert about["state"] == "finished"
    assert about["seed"] == 3
    assert about["command"] == "test"
    assert {"python", "nestree", "torch"} <= about["versions"].keys()
    assert about["commit"] is None or len(about["commit"].rstrip("+")) == 40
    assert about["steps"] == 6
    assert about["sequences"] > 6 * 8 - 8
    assert about["peak_memory_bytes"] > 1e6
    assert read_history(trained)[-1].keys() >= {"loss", "validation_accuracy", "learning_rate", "sequences_per_second"}


def test_encoder_options_can_be_changed_on_loading(trained: Run) -> None:
    assert load(trained, inference="flat").encoder.inference == "flat"
    assert load(trained).encoder.inference == "grouped"
    with pytest.raises(UserError, match="encoder rir-grc: there is no option 'inferense'; did you mean inference"):
        load(trained, inferense="flat")
    with pytest.raises(UserError, match=r"^encoder\.inference must be one of grouped, flat"):
        load(trained, inference="round")


def copy_of(run: Run, folder: Path) -> Run:
    """A run whose files can be spoilt."""
    folder.mkdir()
    for path in (run.config_file, run.weights):
        (folder / path.name).write_bytes(path.read_bytes())
    return Run(folder)


def test_weights_that_do_not_fit_are_one_line(trained: Run, tmp_path: Path) -> None:
    spoilt = copy_of(trained, tmp_path / "run")
    tensors = load_file(spoilt.weights)
    save_file(tensors | {"embedding.weight": torch.zeros(2, 2)}, spoilt.weights)
    with pytest.raises(UserError, match=r"does not fit the model: embedding\.weight is \(2, 2\), should be \(16, 8\)"):
        load(spoilt)
    del tensors["embedding.weight"]
    save_file(tensors, spoilt.weights)
    with pytest.raises(UserError, match=r"embedding\.weight is missing"):
        load(spoilt)
    spoilt.weights.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"weights\.safetensors: cannot be read"):
        load(spoilt)
    spoilt.weights.unlink()
    with pytest.raises(UserError, match="has no weights yet"):
        load(spoilt)


def test_a_damaged_configuration_is_one_line(trained: Run, tmp_path: Path) -> None:
    spoilt = copy_of(trained, tmp_path / "run")
    text = spoilt.config_file.read_text()
    spoilt.config_file.write_text(text.replace("arity: 3", "arity: three"))
    with pytest.raises(UserError, match=r"config\.yaml: encoder\.arity must be an integer, not 'three'"):
        load(spoilt.path)
    spoilt.config_file.write_text("seed: [1\n")
    with pytest.raises(UserError, match=r"config\.yaml:\d: not YAML"):
        load(spoilt.path)
    spoilt.config_file.write_text("just words")
    with pytest.raises(UserError, match=r"config\.yaml: not a mapping of options"):
        load(spoilt.path)


def test_only_a_run_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a run folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match="contains no run"):
        load(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "nothing.yaml")


def test_a_new_run_does_not_touch_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="full is not empty"):
        Run.new("r", tmp_path / "full")
    with pytest.raises(UserError, match=r"thesis\.tex is a file"):
        Run.new("r", tmp_path / "full" / "thesis.tex")
    run = Run.new("r", tmp_path / "empty").begin(config())
    with pytest.raises(UserError, match=r"is a run already: name another folder; resume .* continues it"):
        Run.new("r", run.path)
    monkeypatch.chdir(tmp_path)
    first = Run.new("recipe").begin(config())
    second = Run.new("recipe").begin(config())
    assert first.path.parent == second.path.parent == Path("runs")
    assert first.path != second.path


def test_half_written_files_are_swept(trained: Run) -> None:
    left = trained.path / ".last.ckpt.0123.tmp"
    left.write_text("half")
    trained.remove_temporary_files()
    assert not left.exists()
    assert trained.checkpoint.exists()


def test_the_commit_is_only_known_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "run.py").write_text("tracked")
    monkeypatch.setattr(nestree.runs.provenance, "__file__", str(tmp_path / "run.py"))
    git("init", "--quiet")
    (tmp_path / "other").write_text("1")
    git("add", "other")
    git("commit", "--quiet", "--message", "theirs")
    assert nestree.runs.provenance.commit() is None
    git("add", "run.py")
    git("commit", "--quiet", "--message", "ours")
    head = git("rev-parse", "HEAD")
    assert nestree.runs.provenance.commit() == head
    (tmp_path / "run.py").write_text("changed")
    assert nestree.runs.provenance.commit() == f"{head}+"


def test_a_model_of_a_configuration_is_seeded_by_the_caller() -> None:
    torch.manual_seed(1)
    first = fresh_model()
    torch.manual_seed(1)
    second = fresh_model()
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


def test_peak_memory_is_a_processs_own() -> None:
    held = bytearray(400_000_000)
    held[::4096] = b"x" * len(held[::4096])
    found = subprocess.run(
        [sys.executable, "-c", "from nestree.runs.provenance import peak_memory; print(peak_memory())"],
        capture_output=True,
        text=True,
        check=True,
    )
    own = peak_memory()
    assert own is not None
    assert own > len(held) > 0
    assert int(found.stdout) < own - 100_000_000
