"""The guides to encoders and tasks of other packages, followed: one is installed, and every command knows its names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nestree.runs import Run
from support.packages import blocks, install

ROOT = Path(__file__).parents[2]
GUIDE = "adding-an-encoder.md"
TINY = [
    *["--encoder.dim", "8", "--data.batch", "4", "--data.validation_size", "8", "--model.head_hidden", "8"],
    *["--trainer.max_steps", "2", "--trainer.validate_every", "2", "--trainer.devices", "1", "--trainer.threads", "1"],
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the packages of both guides are installed."""
    target = tmp_path_factory.mktemp("target")
    install(GUIDE, target)
    install("tasks.md", target)
    return target


def python(installed: Path, *arguments: str, folder: Path = ROOT, **environment: str) -> str:
    """Run Python with the installed packages, and return what it prints."""
    paths = os.pathsep.join([str(ROOT / "src"), str(installed)])
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "NESTREE_CACHE": str(installed / "cache"), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_encoder_is_built_by_name_and_trains_a_step(installed: Path) -> None:
    checks = """
assert type(encoder).__name__ == "Mean" and encoder.dim == 32
assert all(bool(parameter.grad.ne(0).any()) for parameter in model.parameters())
"""
    built = [block for block in blocks(GUIDE, "python")[1:] if "nestree.build" in block]
    assert len(built) == 1
    python(installed, "-c", "\n".join([*built, checks]))


def test_the_command_line_knows_an_encoder_of_another_package(installed: Path, tmp_path: Path) -> None:
    nestree = ["-m", "nestree"]
    shown = python(installed, *nestree, "train", "listops-grc", "--encoder.name", "mean", "--help")
    assert "Share of features dropped in training." in shown
    assert re.search(r"^. mean ", python(installed, *nestree, "models"), flags=re.MULTILINE)
    run = str(tmp_path / "run")
    small = ["--data.train_size", "20", "--data.validation_longest", "50"]
    python(installed, *nestree, "train", "listops-grc", "--encoder.name", "mean", *small, *TINY, "--run", run)
    assert Run(run).about()["steps"] == 2
    assert python(installed, *nestree, "predict", run, "[MAX 2 9 ]").endswith("[MAX 2 9 ]\n")


def test_the_command_line_knows_a_task_of_another_package(installed: Path, tmp_path: Path) -> None:
    rows = [
        f"{'test' if number % 4 == 0 else 'train'}\t{('bad', 'good')[number % 2]}\tit is {number} km/h fast"
        for number in range(80)
    ]
    (tmp_path / "bicycles.tsv").write_text("\n".join(rows) + "\n")
    nestree, run = ["-m", "nestree"], str(tmp_path / "run")
    chosen = ["--data.task", "bicycles", "--data.path", str(tmp_path)]
    python(installed, *nestree, "train", "listops-grc", *chosen, *TINY, "--run", run)
    assert Run(run).about()["steps"] == 2
    predicted = python(installed, *nestree, "predict", run, "it is fast", folder=tmp_path)
    assert predicted.split("\t")[0] in ("bad", "good")
    listed = python(installed, *nestree, "data", "list", "--path", str(tmp_path))
    assert "bicycles" in listed


def test_a_module_that_the_environment_names_registers(tmp_path: Path) -> None:
    install(GUIDE, tmp_path)
    for metadata in tmp_path.glob("*.dist-info/entry_points.txt"):
        metadata.unlink()
    (registering,) = (block for block in blocks(GUIDE, "python") if "register(" in block)
    (tmp_path / "my_module.py").write_text(registering)
    arguments = ["-m", "nestree", "train", "listops-grc", "--encoder.name", "mean", "--help"]
    assert "Share of features dropped" in python(tmp_path, *arguments, NESTREE_MODULES="my_module")


def test_it_keeps_to_the_contract(installed: Path) -> None:
    chosen = "mean and (nan or neighbours or gradient or short or saved)"
    shown = python(
        installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/encoders/test_contract.py", "-k", chosen
    )
    assert "[100%]" in shown


def test_what_the_guide_names_exists() -> None:
    text = (ROOT / "docs" / GUIDE).read_text(encoding="utf-8")
    for path in re.findall(r"`(?:python )?((?:src|tests|tools)/[\w/]+(?:\.py)?)`", text):
        assert (ROOT / path).exists(), path
