"""The pages that are written from the parsers have every command and every option."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from nestree.cli.main import COMMANDS, main
from nestree.config.config import FIXED
from nestree.encoders.registry import ENCODERS
from nestree.tasks import TASKS
from support.tools import tool

ROOT = Path(__file__).parents[2]
REFERENCE = tool("command_reference")


@pytest.fixture(scope="module")
def commands() -> str:
    return REFERENCE.commands_page()


@pytest.fixture(scope="module")
def options() -> str:
    return REFERENCE.options_page()


def part(page: str, heading: str) -> str:
    """What is under a heading."""
    level = heading.split(" ")[0]
    (found,) = re.findall(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", page, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("command", [*(name for name in COMMANDS if name != "data"), "data make", "data check"])
def test_a_command_has_all_that_its_help_has(command: str, commands: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split()
    assert main([*words, *(["listops-rir"] if words == ["train"] else []), "--help"]) == 0
    shown = capsys.readouterr().out
    named = set(re.findall(r"^  (?:-\w(?: \w+)?, )?(--[\w]+)(?=[ ,\n])", shown, re.MULTILINE)) - {"--help"}
    if words == ["train"]:
        named = {name for name in named if f"{name}." not in shown}
    text = part(commands, f"## nestree {command}")
    assert named == set(re.findall(r"`(--\w+)`", text.partition("| --- |")[2])) & named
    assert len(named) == text.count("| `-")
    for value in re.findall(r"^  (\w+) {2,}", shown.partition("positional arguments:")[2], re.MULTILINE):
        assert f"| `{value.upper()}` |" in text


def test_an_option_has_type_default_and_help(commands: str) -> None:
    row = "| `--limit` | `int` or `null` | `null` | Number of examples per test, a sample; null: all. |"
    assert row in part(commands, "## nestree evaluate")
    assert "[OPTION ...]" in part(commands, "## nestree predict")
    assert "[TEXT ...]" in part(commands, "## nestree predict")


@pytest.mark.parametrize("name", ENCODERS)
def test_every_option_of_an_encoder_is_there(name: str, options: str) -> None:
    text = part(options, f"### `{name}`")
    assert re.findall(r"^\| `(\w+)` ", text, re.MULTILINE) == [one.name for one in fields(ENCODERS[name])]


def test_every_option_of_a_task_and_of_training_is_there(options: str) -> None:
    for name, kind in TASKS.items():
        (heading,) = (line for line in options.splitlines() if line.startswith("### ") and f"`{name}`" in line)
        known = [one.name for one in fields(kind) if one.name != "task"]
        assert re.findall(r"^\| `(\w+)` ", part(options, heading), re.MULTILINE) == known
    for section, kind in FIXED.items():
        (heading,) = (line for line in options.splitlines() if line.startswith("## ") and f"`--{section}.`" in line)
        text = part(options, heading)
        assert re.findall(r"^\| `(\w+)` ", text, re.MULTILINE) == [one.name for one in fields(kind)]


def test_the_site_has_the_pages() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    site = yaml.load(text, Loader=yaml.BaseLoader)
    assert site["hooks"] == ["tools/command_reference.py"]
    assert f"Commands: {REFERENCE.COMMANDS_PAGE}" in text
    assert f"Options of a configuration: {REFERENCE.OPTIONS_PAGE}" in text
