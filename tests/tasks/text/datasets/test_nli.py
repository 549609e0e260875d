"""SNLI and MNLI: gold labels, the words of parses, and lines that are not what they should be."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nestree.errors import UserError
from nestree.tasks.text.datasets.nli import MNLI, SNLI

CAT = {
    "gold_label": "neutral",
    "sentence1": "A cat doesn't sleep.",
    "sentence2": "Cats",
    "sentence1_binary_parse": "( ( A cat ) ( ( ( does n't ) sleep ) . ) )",
    "sentence2_binary_parse": "Cats",
}


def write(path: Path, *rows: Mapping[str, object] | str, end: str = "\n", mark: str = "") -> Path:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text(mark + "".join(text + end for text in texts), encoding="utf-8", newline="")
    return path


def read(path: Path, split: str = "test") -> list[tuple[tuple[str, ...], str]]:
    return [(row.texts, row.label) for row in SNLI.read(path, split)]


def test_texts_are_the_words_of_the_parse(tmp_path):
    path = write(tmp_path / "snli_1.0_test.jsonl", CAT)
    assert read(path) == [(("A cat does n't sleep .", "Cats"), "neutral")]


@pytest.mark.parametrize("parse", [None, "", "( ( A cat )", "( A cat does n't )"])
def test_without_a_whole_parse_the_text_is_the_sentence(tmp_path, parse, caplog):
    path = write(tmp_path / "snli_1.0_test.jsonl", {**CAT, "sentence1_binary_parse": parse})
    assert read(path) == [(("A cat doesn't sleep.", "Cats"), "neutral")]
    damaged = f"{path}: 1 binary parses are damaged; the original sentences are used instead"
    assert caplog.messages == ([damaged] if parse else [])


def test_pairs_without_a_gold_label_are_left_out_and_counted(tmp_path, caplog):
    rows = [CAT, {**CAT, "gold_label": "-"}, {**CAT, "gold_label": "entailment"}, {**CAT, "gold_label": "-"}]
    path = write(tmp_path / "snli_1.0_test.jsonl", *rows)
    assert [label for _, label in read(path)] == ["neutral", "entailment"]
    assert [label for _, label in read(path)] == ["neutral", "entailment"]
    assert caplog.messages == [f"{path}: 2 pairs without a gold label are skipped"]  # once, however often it is read


def test_empty_sentences_are_kept_and_counted(tmp_path, caplog):
    path = write(tmp_path / "snli_1.0_test.jsonl", {**CAT, "sentence2": "", "sentence2_binary_parse": ""})
    assert read(path) == [(("A cat does n't sleep .", ""), "neutral")]
    assert caplog.messages == [f"{path}: 1 empty text becomes a single unknown word"]


def test_line_ends_byte_order_mark_and_blank_lines_do_not_matter(tmp_path):
    path = write(tmp_path / "snli_1.0_test.jsonl", CAT, "", CAT, end="\r\n", mark="\ufeff")
    assert [row.where for row in SNLI.read(path, "test")] == [f"{path}:1", f"{path}:3"]


def without(name: str) -> str:
    return json.dumps({key: value for key, value in CAT.items() if key != name})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"not JSON \("),
        ('{"gold_label": "neu', r"not JSON \("),
        ("[" * 100_000, r"not JSON \("),
        ("[1]", r"a line is one JSON object in braces, not '\[1\]'"),
        ("premise\thypothesis\tlabel", r"not JSON \("),
        (without("gold_label"), "the field gold_label is missing"),
        (without("sentence2"), "the field sentence2 is missing"),
        (json.dumps({**CAT, "sentence1": None}), "the field sentence1 is null, not a text"),
        (json.dumps({**CAT, "gold_label": 1}), "the field gold_label is 1, not a text"),
        (json.dumps({**CAT, "gold_label": "maybe"}), "gold_label must be one of entailment, .* or -, not 'maybe'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "snli_1.0_test.jsonl", CAT, line)
    with pytest.raises(UserError, match=f"^{path}:2: {message}") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_the_two_datasets_are_told_apart_by_their_files(tmp_path):
    (tmp_path / "b").mkdir()
    matched = write(tmp_path / "multinli_1.0_dev_matched.jsonl", CAT)
    mismatched = write(tmp_path / "multinli_1.0_dev_mismatched.jsonl", {**CAT, "gold_label": "entailment"})
    assert SNLI.find(tmp_path) is None
    dev = write(tmp_path / "b" / "snli_1.0_dev.jsonl", CAT)
    assert SNLI.find(tmp_path) == dev
    assert MNLI.find(tmp_path) == matched
    labels = {split: [row.label for row in MNLI.read(matched, split)] for split in MNLI.splits if split != "train"}
    assert labels == {"validation": ["neutral"], "matched": ["neutral"], "mismatched": ["entailment"]}
    assert next(MNLI.read(matched, "mismatched")).where == f"{mismatched}:1"
    with pytest.raises(UserError, match=r"multinli_1.0_train.jsonl: missing; it is needed for the split train"):
        next(MNLI.read(matched, "train"))
