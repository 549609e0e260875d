"""What editors and type checkers know of ``nestree.build`` is true."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

import nestree
from nestree.encoders import typed_build
from nestree.encoders.registry import BUILT_IN
from support.tools import tool

ROOT = Path(__file__).parents[2]


def test_the_written_file_is_of_these_encoders() -> None:
    written = Path(typed_build.__file__).read_text(encoding="utf-8")
    assert written == tool("write_typed_build").text(), "run `python tools/write_typed_build.py`"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_of_an_encoder_is_known_with_its_type(name: str) -> None:
    options = BUILT_IN[name]
    hints = get_type_hints(options)
    known = get_type_hints(getattr(typed_build, f"_{options.__name__}"))
    assert known == {field.name: hints[field.name] for field in fields(options)}


def test_a_wrong_option_is_an_error_in_the_editor(tmp_path: Path) -> None:
    right = ['build("rir-ebt-grc", dim=3, beam_size=2)', 'build(str(1), {"dim": 3})', 'build("mean", {"dim": 3})']
    wrong = ['build("rir-ebt-grc", dimm=3)', 'build("grc", beam_size=2)', 'build("grc", dim="3")']
    script = tmp_path / "script.py"
    script.write_text("\n".join(["import nestree", *(f"nestree.{call}" for call in [*right, *wrong])]) + "\n")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(Path(nestree.__file__).parents[1])]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {one["range"]["start"]["line"] for one in found if one["severity"] == "error"}
    first = 1 + len(right)
    assert lines == set(range(first, first + len(wrong)))
