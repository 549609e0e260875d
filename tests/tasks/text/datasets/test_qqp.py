"""Quora's question pairs: quotes, questions over several lines, both forms of the files, and damage."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.tasks.text.datasets.qqp import HEADER, LABELS, QQP

HEAD = "\t".join(HEADER) + "\n"


def whole(folder: Path, rows: str, **options: str) -> Path:
    path = folder / "quora_duplicate_questions.tsv"
    path.write_text(HEAD + rows, encoding=options.get("encoding", "utf-8"), newline="")
    return path


def read(path: Path | None, split: str = "train") -> list[tuple[str, ...]]:
    assert path is not None
    return [(*row.texts, row.label) for row in QQP.read(path, split)]


@pytest.mark.parametrize(
    ("rows", "first", "second"),
    [
        ("0\t1\t2\tWhy?\tHow?\t0\n", "Why?", "How?"),
        ('0\t1\t2\t"Why ""not""?"\tHow?\t0\n', 'Why "not"?', "How?"),
        ('0\t1\t2\t"Why?\nWhy not?"\t"a\tb"\t0\n', "Why?\nWhy not?", "a\tb"),
        ('0\t1\t2\t"Why?\n\nNot\tso"\tHow?\t0\n', "Why?\n\nNot\tso", "How?"),
        ('0\t1\t2\tWhy?\t"How?\n"\t0\r\n', "Why?", "How?\n"),
        ('0\t1\t2\t"Why" not?\tHow "so"?\t0\n', '"Why" not?', 'How "so"?'),
        ('0\t1\t2\t"Why not?\tHow?\t0\n', '"Why not?', "How?"),
    ],
    ids=["plain", "doubled", "lines-and-tab", "blank-line", "line-of-quote", "quotes-within", "lone-quote"],
)
def test_quotes_are_read_as_they_are_meant(tmp_path, rows, first, second):
    path = whole(tmp_path, rows + "1\t3\t4\tWho?\tWho is it?\t1\n")
    assert read(path) == [(first, second, "different"), ("Who?", "Who is it?", "duplicate")]


def test_a_row_is_named_by_the_line_it_begins_in(tmp_path):
    path = whole(tmp_path, '0\t1\t2\t"a\nb\nc"\td\t0\n\n1\t3\t4\te\tf\t1\n')
    assert [row.where for row in QQP.read(path, "train")] == [f"{path}:2", f"{path}:6"]


question = st.text(st.sampled_from('ab "\t\n?é'), max_size=8)


@settings(max_examples=100)
@given(st.lists(st.tuples(question, question, st.integers(0, 1)), min_size=1, max_size=8))
def test_what_csv_writes_is_read(tmp_path_factory, pairs):
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(
        (number, 2 * number, 2 * number + 1, *pair) for number, pair in enumerate(pairs)
    )
    path = whole(tmp_path_factory.mktemp("qqp"), text.getvalue(), encoding="utf-8-sig")
    assert read(path) == [(first, second, LABELS[label]) for first, second, label in pairs]


def test_every_twentieth_pair_of_the_one_file_is_the_test(tmp_path):
    path = whole(tmp_path, "".join(f"{n}\t1\t2\tq{n}\tr{n}\t{n % 2}\n" for n in range(1, 61)))
    train, test = read(path), read(path, "test")
    assert [first for first, *_ in test] == ["q20", "q40", "q60"]
    assert len(train) == 57
    assert not set(train) & set(test)


def test_glue_has_a_file_for_each_split(tmp_path):
    (tmp_path / "QQP").mkdir()
    (tmp_path / "QQP" / "train.tsv").write_text(f"{HEAD}0\t1\t2\ta\tb\t0\n")
    (tmp_path / "QQP" / "dev.tsv").write_text(f"{HEAD}0\t1\t2\tc\td\t1\n")
    found = QQP.find(tmp_path)
    assert found == tmp_path / "QQP" / "train.tsv"
    assert (read(found), read(found, "test")) == ([("a", "b", "different")], [("c", "d", "duplicate")])
    (tmp_path / "QQP" / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"dev.tsv: missing; it is needed for the split test"):
        read(found, "test")


def test_other_files_of_that_name_are_not_taken_for_it(tmp_path):
    (tmp_path / "train.tsv").write_text("Sentiment\tText\n")
    assert QQP.find(tmp_path) is None


def test_empty_questions_are_kept_and_counted(tmp_path, caplog):
    path = whole(tmp_path, "0\t1\t2\t\tb\t0\n1\t3\t4\ta\t\t1\n")
    assert read(path) == [("", "b", "different"), ("a", "", "duplicate")]
    assert caplog.messages == [f"{path}: 2 empty texts become a single unknown word"]


GOOD = "0\t1\t2\ta\tb\t0\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\t3\t4\ta\tb\n", "5 columns; a row has 6"),
        ("1\t3\t4\ta\tb\tc\t0\n", "7 columns; a row has 6"),
        ("1\t3\t4\ta\tb\t2\n", "is_duplicate must be 0 or 1, not '2'"),
        ("1\t3\t4\ta\tb\t\n", "is_duplicate must be 0 or 1, not ''"),
        ("lost\n", "1 column; a row has 6"),
        ('1\t3\t4\t"a\nlost', "4 columns; a row has 6"),
        ('\tb"\t0\n', "3 columns; a row has 6"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, message):
    path = whole(tmp_path, f"{GOOD}{row}")
    with pytest.raises(UserError, match=f"^{path}:3: {message}") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_damaged_row_does_not_take_those_behind_it_along(tmp_path):
    path = whole(tmp_path, '0\t1\t2\t"a\tb\n' + GOOD * 3)
    with pytest.raises(UserError, match=r":2: 5 columns; a row has 6$"):
        read(path)


def test_a_quote_that_never_ends_takes_linear_time(tmp_path):
    path = whole(tmp_path, '0\t1\t2\t"a\n' + "no row begins here\n" * 200_000)
    with pytest.raises(UserError, match=r":2: 4 columns; a row has 6$"):
        read(path)


def test_a_wrong_header_and_encoding_are_named(tmp_path):
    path = tmp_path / "quora_duplicate_questions.tsv"
    path.write_text(GOOD)
    assert QQP.find(tmp_path) is None
    with pytest.raises(UserError, match=r":1: the first line is not the header id qid1"):
        read(path)
    with pytest.raises(UserError, match=r":2: not UTF-8"):
        read(whole(tmp_path, "0\t1\t2\té\tb\t0\n", encoding="latin-1"))
