"""Sentence polarity: two latin-1 files, read in turn; every tenth line is the test."""

from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.tasks.text.datasets.polarity import POLARITY


def folder(path: Path, *, lines: int = 25, end: str = "\n") -> Path:
    path.mkdir(exist_ok=True)
    for name, word in (("neg", "mis\u00e8re"), ("pos", "caf\u00e9")):
        content = "".join(f"{word} {number}{end}" for number in range(1, lines + 1))
        (path / f"rt-polarity.{name}").write_bytes(content.encode("latin-1"))
    return path


def read(path: Path, split: str) -> list[tuple[str, str]]:
    found = POLARITY.find(path)
    assert found is not None
    return [(row.texts[0], row.label) for row in POLARITY.read(found, split)]


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_lines_of_both_labels_come_in_turn_and_every_tenth_is_the_test(tmp_path, end):
    folder(tmp_path / "below", end=end)
    expected = [
        (f"{word} {n}", label)
        for n in range(1, 26)
        for word, label in (("mis\u00e8re", "negative"), ("caf\u00e9", "positive"))
    ]
    assert read(tmp_path, "test") == [row for row in expected if int(row[0].split()[1]) % 10 == 0]
    assert read(tmp_path, "train") == [row for row in expected if int(row[0].split()[1]) % 10]


@pytest.mark.parametrize("name", ["rt-polarity.neg", "rt-polarity.pos"])
def test_either_file_finds_both_and_both_are_needed(tmp_path, name):
    folder(tmp_path)
    found = POLARITY.find(tmp_path / name)
    assert found is not None
    assert len(list(POLARITY.read(found, "train"))) == 46
    assert sorted(path.name for path in POLARITY.files(found, "test")) == ["rt-polarity.neg", "rt-polarity.pos"]
    (tmp_path / ("rt-polarity.pos" if name.endswith("neg") else "rt-polarity.neg")).unlink()
    with pytest.raises(UserError, match="missing"):
        list(POLARITY.read(found, "train"))


def test_files_of_unequal_length_and_empty_lines_are_read(tmp_path, caplog):
    folder(tmp_path, lines=3)
    (tmp_path / "rt-polarity.pos").write_bytes(b"one\n\n")
    assert [label for _, label in read(tmp_path, "train")] == ["negative", "positive"] * 2 + ["negative"]
    assert caplog.messages == [f"{tmp_path / 'rt-polarity.*'}: 1 empty text becomes a single unknown word"]
