"""The snippets of the README and of the pages next to it run, their commands exist, and their tables agree."""

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
WITH_SNIPPETS = ("README.md", "docs/index.md", "docs/encoders.md", "docs/tokens.md", "docs/trees-in-and-out.md")
WITH_COMMANDS = ("README.md", "docs/command-line.md", "docs/training.md")


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", WITH_SNIPPETS)
def test_the_python_snippets_run_one_after_the_other(page: str) -> None:
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for snippet in blocks("python", page):
        exec(snippet, names)
    assert isinstance(names["encoder"], torch.nn.Module)
    if "root" in names:
        assert isinstance(names["root"], torch.Tensor)
        assert names["root"].shape == (2, 64)


def test_the_trained_model_of_the_readme_answers_right(capsys: pytest.CaptureFixture[str]) -> None:
    exec(f"import nestree\n{blocks('python')[-1]}", {})
    assert capsys.readouterr().out.startswith("9\n")


def test_the_first_snippet_is_as_short_as_it_says() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 6


def rows(page: str, header: str) -> list[str]:
    """The rows of the table with this header, without it."""
    lines = iter((ROOT / page).read_text(encoding="utf-8").splitlines())
    assert any(line.startswith(header) for line in lines), f"{page} has no table {header}"
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(line)
    assert found
    return found


def test_the_speeds_of_the_readme_are_those_of_the_documentation() -> None:
    header = "| input | batch | training, sequences/s |"
    assert set(rows("README.md", header)) <= set(rows("docs/speed.md", header))


def commands() -> list[str]:
    texts = [block.replace("\\\n", " ") for page in WITH_COMMANDS for block in blocks("sh", page)]
    lines = [line.partition("#")[0].strip() for text in texts for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("nestree ")})


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_exists(command: str) -> None:
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
