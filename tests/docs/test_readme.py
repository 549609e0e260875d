"""The README's snippets run, and its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_snippets_run_one_after_the_other() -> None:
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for snippet in blocks("python"):
        exec(snippet, names)
    root = names["root"]
    assert isinstance(root, torch.Tensor)
    assert root.shape == (2, 64)


def test_the_first_snippet_is_as_short_as_it_says() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 6


def commands() -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("nestree ")]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_of_the_readme_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    options = [word for word in words if word.startswith("--")]
    # Help is asked for the command, and for a recipe where one is named, as its options depend on it.
    asked = [word for word in words[:2] if not word.startswith("-") and not word.isupper() and "." not in word]
    shown = subprocess.run(
        [sys.executable, "-m", "nestree", *asked, "--help"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    for option in options:
        assert option in shown.stdout


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_file_that_the_readme_shows_is_there() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link
