"""Attacks: trainings resume equal; damaged files, odd inputs, full disks and hostile requests do no harm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attack.long import seconds
from nestree.errors import INTERRUPTED

FLAT = 64 * 1024**2
"""By how much the memory of a server may grow while it is attacked, bytes."""


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
    found = attacks("kills.py", tmp_path, seconds(8))
    print(f"kills: {len(found)} trainings, {sum(len(one['codes']) for one in found)} processes")
    assert [one for one in found if one["wrong"]] == []


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    check("damage.py", tmp_path, seconds(8))


@pytest.mark.parametrize("script", ["recipes.py", "options.py", "inputs.py", "cache.py", "disk.py"])
def test_anything_works_or_is_one_line(script: str, tmp_path: Path) -> None:
    check(script, tmp_path, seconds(5))


def test_signals_to_one_of_two_processes_and_killed_parents(tmp_path: Path) -> None:
    """The first attack takes longer than the time in the short form: one training, and one command."""
    found = attacks("processes.py", tmp_path, seconds(1))
    print(f"processes: {len(found)} attacks, exit codes {[one['codes'] for one in found]}")
    assert [one for one in found if one["wrong"]] == []


def test_hostile_requests_are_turned_away(tmp_path: Path) -> None:
    *found, end = attacks("hostile_requests.py", tmp_path, seconds(8))
    statuses = Counter(status for one in found for status in one["status"])
    print(f"requests: {len(found)} attacks, answers {dict(statuses)}, {end['grown'] >> 10} kB more")
    print(f"requests: Ctrl-C ended the server after {end['seconds']:.2f} s")
    assert [one for one in found if any(status >= 500 for status in one["status"])] == []
    assert statuses[200] > 0
    assert end["right"]
    assert end["grown"] < FLAT
    assert end["code"] == INTERRUPTED
    assert end["output"].splitlines()[1:] == [
        "nestree: no file descriptor is free for further connections (ulimit -n)",
        "",
        "nestree: interrupted",
    ]
