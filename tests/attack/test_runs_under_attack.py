"""Attacks: killed trainings resume to the same weights; damaged files, odd inputs and full disks are one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attack.long import seconds


def attacks(script: str, place: Path, length: float) -> list[dict[str, Any]]:
    """Run a script of attacks for that many seconds, and return what it prints."""
    command = [sys.executable, Path(__file__).with_name(script), place, str(length), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found
    return found


def check(script: str, place: Path, length: float) -> None:
    """Run a script of attacks, print the figures, and check that nothing went wrong."""
    found = attacks(script, place, length)
    codes = Counter(one["code"] for one in found)
    memory = max(one.get("memory", 0) for one in found) >> 20
    print(f"{script}: {len(found)} attacks, exit codes {dict(codes)}{f', at most {memory} MB' if memory else ''}")
    assert [one for one in found if one["wrong"]] == []


def test_killed_trainings_resume_equal(tmp_path: Path) -> None:
    found = attacks("kills.py", tmp_path, seconds(12))
    print(f"kills: {len(found)} trainings, {sum(len(one['codes']) for one in found)} processes")
    assert [one for one in found if one["wrong"]] == []


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    check("damage.py", tmp_path, seconds(12))


@pytest.mark.parametrize("script", ["recipes.py", "options.py", "inputs.py", "cache.py", "disk.py"])
def test_anything_works_or_is_one_line(script: str, tmp_path: Path) -> None:
    check(script, tmp_path, seconds(5))
