"""The cache: damaged files are made again, and stale temporary files are removed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nestree.data.cache import load_or_count
from nestree.data.ragged import RaggedExamples
from nestree.errors import UserError


@pytest.mark.parametrize("changed", ['"b"', "3", "[]", "{}", "{" * 100_000, '{"checksum": 3, "values": {}}', None])
def test_counted_values_are_made_again_if_the_file_is_damaged(changed: str | None, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    assert load_or_count(path, lambda: {"words": ["a"]}) == {"words": ["a"]}
    whole = path.read_text()
    assert load_or_count(path, lambda: {"words": ["other"]}) == {"words": ["a"]}
    path.write_text(whole.replace('"a"', '"b"') if changed is None else changed)
    assert load_or_count(path, lambda: {"words": ["a"]}) == {"words": ["a"]}
    assert path.read_text() == whole


def test_the_description_of_examples_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    examples = RaggedExamples.from_sequences([np.array([3, 4], np.uint8)], [1], name="few", source={"from": "here"})
    examples.save(path)
    path.write_bytes(path.read_bytes().replace(b"here", b"hare"))
    with pytest.raises(UserError, match="damaged"):
        RaggedExamples.load(path)


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    old, new = (tmp_path / f".words.json.{digit * 32}.tmp" for digit in "01")
    other = tmp_path / ".another.tmp"
    for path in (old, new, other):
        path.write_text("x")
    for path in (old, other):
        os.utime(path, (0, 0))
    load_or_count(tmp_path / "words.json", dict)
    assert [path.exists() for path in (old, new, other)] == [False, True, True]
