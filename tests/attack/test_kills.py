"""Trainings that are killed or signalled at any moment resume to the same weights, and leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from attack.long import seconds


def test_killed_trainings_resume_equal(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, script, tmp_path, str(seconds(12)), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    attacks = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"kills: {len(attacks)} trainings attacked, {sum(len(one['codes']) for one in attacks)} processes")
    assert done.returncode == 0, done.stderr
    assert attacks
    assert [one for one in attacks if one["wrong"]] == []
