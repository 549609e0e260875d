"""AAN pairs: five columns without header or quoting, and a label that is a float."""

from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.tasks.text.datasets.aan import LRA_RETRIEVAL


def write(path: Path, content: str | bytes, part: str = "test") -> Path:
    path.mkdir(exist_ok=True)
    content = content if isinstance(content, bytes) else content.encode()
    (path / f"new_aan_pairs.{part}.tsv").write_bytes(content)
    return path


def read(path: Path, split: str = "test") -> list[tuple[tuple[str, ...], str]]:
    found = LRA_RETRIEVAL.find(path)
    assert found is not None
    return [(row.texts, row.label) for row in LRA_RETRIEVAL.read(found, split)]


def test_rows_are_label_numbers_and_texts_and_quotes_are_characters(tmp_path):
    write(tmp_path / "a", '1.0\tP01\tP02\tWe "parse\tSo " do we\n0.0\tP01\tP03\tone\ttwo\r\n0\t1\t2\tx\ty\n')
    assert read(tmp_path) == [
        (('We "parse', 'So " do we'), "cites"),
        (("one", "two"), "unrelated"),
        (("x", "y"), "unrelated"),
    ]


def test_each_split_has_its_file(tmp_path):
    for part in ("train", "eval", "test"):
        write(tmp_path, f"1.0\t1\t2\t{part}\tx\n", part)
    assert {split: read(tmp_path, split)[0][0][0] for split in LRA_RETRIEVAL.splits} == {
        "train": "train",
        "validation": "eval",
        "test": "test",
    }
    (tmp_path / "new_aan_pairs.eval.tsv").unlink()
    with pytest.raises(UserError, match=r"new_aan_pairs.eval.tsv: missing; it is needed for the split validation"):
        read(tmp_path, "validation")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"1.0\t1\t2\tone", "4 columns; a row has 5, separated by tabs"),
        (b"1.0\t1\t2\tone\ttwo\tthree", "6 columns; a row has 5"),
        (b"", "1 column; a row has 5"),
        (b"yes\t1\t2\tone\ttwo", "the label must be 0.0 or 1.0, not 'yes'"),
        (b"0.5\t1\t2\tone\ttwo", "the label must be 0.0 or 1.0, not '0.5'"),
        (b"nan\t1\t2\tone\ttwo", "the label must be 0.0 or 1.0, not 'nan'"),
        (b"1.0\t1\t2\tcaf\xe9\ttwo", "not UTF-8"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, message):
    write(tmp_path, b"1.0\t1\t2\ta\tb\n" + row + b"\n")
    with pytest.raises(UserError, match=f"^{tmp_path / 'new_aan_pairs.test.tsv'}:2: {message}") as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_empty_texts_are_kept_and_counted(tmp_path, caplog):
    write(tmp_path, "1.0\t1\t2\t\tb\n")
    assert read(tmp_path) == [(("", "b"), "cites")]
    path = tmp_path / "new_aan_pairs.test.tsv"
    assert caplog.messages == [f"{path}: 1 empty text becomes a single unknown word"]
