"""Counterfactual and contrast reviews: their folders, header, quotes, and what damage is called."""

from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.tasks.text.datasets.reviews import CONTRAST, COUNTERFACTUAL, COUNTERFACTUAL_ALL

HEADER = "Sentiment\tText\n"


def folder(path: Path) -> Path:
    for part in ("new", "orig"):
        (path / part).mkdir(parents=True)
        for name in ("train", "dev", "test"):
            (path / part / f"{name}.tsv").write_text(f"{HEADER}Positive\t{part} {name}\n")
    return path


def read(dataset, path: Path, split: str = "test") -> list[tuple[str, str]]:
    found = dataset.find(path)
    assert found is not None
    return [(row.texts[0], row.label) for row in dataset.read(found, split)]


def test_each_split_has_its_file(tmp_path):
    folder(tmp_path / "some" / "where")
    assert {split: read(COUNTERFACTUAL, tmp_path, split)[0][0] for split in COUNTERFACTUAL.splits} == {
        "train": "new train",
        "validation": "new dev",
        "test": "new test",
        "original": "orig test",
    }
    assert read(COUNTERFACTUAL_ALL, tmp_path, "original-train") == [("orig train", "positive")]
    assert "original-train" not in COUNTERFACTUAL.splits  # its reviews are in IMDB's training split


@pytest.mark.parametrize("file", ["new/dev.tsv", "orig/train.tsv"])
def test_a_file_of_it_is_enough_to_find_it(tmp_path, file):
    assert COUNTERFACTUAL.find(folder(tmp_path) / file) == tmp_path


def test_other_folders_called_new_are_not_taken_for_it(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "test.tsv").write_text("a\tb\n")
    assert COUNTERFACTUAL.find(tmp_path) is None
    assert COUNTERFACTUAL.find(tmp_path / "new" / "test.tsv") is None


def test_contrast_files_are_found_and_read(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "test_contrast.tsv").write_text(f"{HEADER}Negative\tchanged\n")
    (tmp_path / "a" / "dev_original.tsv").write_text(f"{HEADER}Positive\tas it was\n")
    assert read(CONTRAST, tmp_path) == [("changed", "negative")]
    assert read(CONTRAST, tmp_path, "original-validation") == [("as it was", "positive")]
    with pytest.raises(UserError, match=r"dev_contrast.tsv: cannot be read"):
        read(CONTRAST, tmp_path, "validation")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("plain", "plain"),
        ('"with ""quotes"" inside"', 'with "quotes" inside'),
        ('"Fine" it was', '"Fine" it was'),
        ('"', '"'),
        (" kept ", " kept "),
    ],
)
def test_quotes_are_those_of_a_field_that_needed_them(tmp_path, field, text):
    (tmp_path / "test_contrast.tsv").write_text(f"{HEADER}Positive\t{field}\n")
    assert read(CONTRAST, tmp_path) == [(text, "positive")]


def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path):
    (tmp_path / "test_contrast.tsv").write_bytes(b"\xef\xbb\xbfSentiment\tText\r\nPositive\tfun\r\n")
    assert read(CONTRAST, tmp_path) == [("fun", "positive")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"Positive", "1 column; a row has 2, separated by tabs"),
        (b"Positive\ta\tb", "3 columns; a row has 2"),
        (b"", "1 column; a row has 2"),
        (b"Neutral\tso so", "the sentiment must be Positive or Negative, not 'Neutral'"),
        (b"Positive\tcaf\xe9", "not UTF-8"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, message):
    path = tmp_path / "test_contrast.tsv"
    path.write_bytes(HEADER.encode() + b"Positive\tfun\n" + row + b"\n")
    with pytest.raises(UserError, match=f"^{path}:3: {message}") as error:
        read(CONTRAST, tmp_path)
    assert "\n" not in str(error.value)


def test_another_header_is_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "new" / "dev.tsv").write_text("Text\tSentiment\nfun\tPositive\n")
    with pytest.raises(UserError, match=r"dev.tsv:1: the header must be Sentiment TAB Text"):
        read(COUNTERFACTUAL, tmp_path, "validation")


def test_empty_reviews_are_kept_and_counted(tmp_path, caplog):
    (tmp_path / "test_contrast.tsv").write_text(f"{HEADER}Positive\t\nNegative\t \n")
    assert read(CONTRAST, tmp_path) == [("", "positive"), (" ", "negative")]
    assert caplog.messages == [f"{tmp_path / 'test_contrast.tsv'}: 2 empty texts become a single unknown word"]
