"""The guide to adding an encoder, followed in a copy of the package: one file, one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "adding-an-encoder.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package in which somebody did what the guide says."""
    folder = tmp_path_factory.mktemp("guide")
    package = folder / "nestree"
    shutil.copytree(ROOT / "src" / "nestree", package, ignore=shutil.ignore_patterns("__pycache__"))
    (named,) = re.findall(r"Put it at `src/nestree/(.*?)`", GUIDE)
    (package / named).write_text(blocks("python")[0], encoding="utf-8")
    added, line = (text[1:] for text in blocks("diff")[0].splitlines())
    registry = package / "encoders" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    first_import, last_name = "from nestree.encoders.base", "}\n"
    text = text.replace(first_import, f"{added}\n{first_import}", 1).replace(last_name, f"{line}\n{last_name}", 1)
    registry.write_text(text, encoding="utf-8")
    return folder


def python(folder: Path, *arguments: str) -> str:
    """Run Python with the package of ``folder``, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_built_by_name_trains_a_step_and_has_its_options_on_the_command_line(followed: Path) -> None:
    checks = """
assert type(encoder).__name__ == "Mean" and encoder.dim == 32
assert all(bool(parameter.grad.ne(0).any()) for parameter in model.parameters())
from nestree.cli.main import main
main(["train", "listops-grc", "--encoder.name", "mean", "--help"])
"""
    shown = python(followed, "-c", "\n".join([*blocks("python")[1:], checks]))
    assert "Share of features dropped in training." in shown


def test_it_keeps_to_the_contract(followed: Path) -> None:
    chosen = "mean and (nan or neighbours or gradient or short or saved)"
    shown = python(
        followed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/encoders/test_contract.py", "-k", chosen
    )
    assert "[100%]" in shown


def test_what_the_guide_names_exists() -> None:
    for path in re.findall(r"`((?:src|tests)/[\w/]+(?:\.py)?)`", GUIDE):
        assert (ROOT / path).exists() or path.endswith("mean.py"), path
