"""The page that adds a cell, followed: its code runs, and a recipe trains with it from outside the package."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nestree

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-cell.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, with the cell in it."""
    (tmp_path / "minimal_cell.py").write_text(blocks()[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_a_cell_takes_fifteen_lines() -> None:
    assert len([line for line in blocks()[0].splitlines() if line]) <= 15


@pytest.mark.usefixtures("folder", "unchecked_shapes")
def test_the_page_runs() -> None:
    names: dict[str, object] = {}
    for block in blocks()[1:]:
        exec(block, names)
        encoder = names["encoder"]
        assert isinstance(encoder, nestree.Encoder)
        encoder(torch.randn(2, 9, 32), [9, 4]).root.sum().backward()
        assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert type(names["same"].inner.cell) is names["MinimalCell"]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_recipe_trains_with_it(folder: Path) -> None:
    run = folder / "run"
    options = ["--data.train_size", "64", "--data.validation_size", "16", "--trainer.max_steps", "2"]
    sizes = ["--encoder.dim", "8", "--encoder.cell", "minimal_cell:MinimalCell", "--model.head_hidden", "8"]
    words = ["train", "listops-rir", "--run", str(run), *sizes, *options, "--trainer.accelerator", "cpu"]
    paths = os.pathsep.join([str(folder), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "nestree", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert "minimal_cell:MinimalCell" in (run / "config.yaml").read_text(encoding="utf-8")
    assert type(nestree.load(run).encoder.inner.cell).__name__ == "MinimalCell"
