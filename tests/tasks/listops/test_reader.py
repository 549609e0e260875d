"""The official files: both column orders, every kind of damage, and the way back."""

import os
from pathlib import Path

import pytest

from nestree.data import RaggedExamples
from nestree.errors import UserError
from nestree.tasks.listops import decode, load_split, read_tsv, write_tsv

EXPRESSION = "( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) ] )"  # 9


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def texts(examples: RaggedExamples) -> list[tuple[str, int]]:
    return [(decode(tokens), label) for tokens, label in (examples[index] for index in range(len(examples)))]


READ = [("[MAX 2 9 [MIN 4 7 ] ]", 9), ("[SM 5 6 ]", 1), ("3", 3)]


@pytest.mark.parametrize(
    "content",
    [
        f"9\t{EXPRESSION}\n1\t( ( ( [SM 5 ) 6 ) ] )\n3\t3\n",
        f"9\t{EXPRESSION}\r\n1\t[SM 5 6 ]\r\n3\t3\r\n",
        f"\ufeff9\t{EXPRESSION}\n1\t[SM 5 6 ]\n3\t3",
        f"Source\tTarget\r\n{EXPRESSION}\t9\r\n( ( ( [SM 5 ) 6 ) ] )\t1\r\n3\t3\r\n",
        f"\ufeffSource\tTarget\n{EXPRESSION}\t9\n[SM 5 6 ]\t1\n3\t3\n",
        f"Target\tSource\n9\t{EXPRESSION}\n1\t[SM 5 6 ]\n3\t3\n",
        f"{EXPRESSION}\t9\n[SM 5 6 ]\t1\n3\t3\n",
    ],
    ids=["official", "crlf", "mark", "lra", "lra-mark", "header-label-first", "expression-first"],
)
def test_every_form_reads_the_same(tmp_path, content):
    examples = read_tsv(write(tmp_path / "some.tsv", content))
    assert texts(examples) == READ
    assert examples.name == "listops/some.tsv"


@pytest.mark.parametrize(
    "content", [f"3\t3\n4\t4\n9\t{EXPRESSION}\n", f"3\t3\n4\t4\n{EXPRESSION}\t9\n", "3\t3\n4\t4\n"]
)
def test_columns_are_told_apart_behind_single_digits(tmp_path, content):
    assert texts(read_tsv(write(tmp_path / "some.tsv", content)))[:2] == [("3", 3), ("4", 4)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "the line is empty; a row has two columns"),
        ("3", "1 column; a row has two columns"),
        ("3\t3\t3", "3 columns; a row has two columns"),
        ("8\t" + EXPRESSION, "the label is 8, but the expression's value is 9"),
        ("x\t" + EXPRESSION, "the label must be a digit from 0 to 9, not 'x'"),
        ("12\t" + EXPRESSION, "the label must be a digit from 0 to 9, not '12'"),
        ("\t" + EXPRESSION, "the label must be a digit from 0 to 9, not ''"),
        ("9\t", "empty: an expression is"),
        ("9\t[MAX 2 9", r"incomplete: 1 \] missing"),
        ("9\t[MAX 2 9 ] ]", r"token 5 '\]' is after the end"),
        ("9\t[MAX 2 nine ]", "token 3 'nine' is unknown: allowed are"),
        ("9\t[MAX 2 9 ) ]", r"token 1 '\[MAX' is where the binary parentheses require '\('"),
        ("9\t[MAX 2 (9) ]", "token 3 .* has a parenthesis attached to it"),
        (b"9\t[MAX \xff 9 ]", "not UTF-8"),
    ],
)
@pytest.mark.parametrize("line", [1, 3])
def test_a_damaged_row_stops_the_read_and_is_named(tmp_path, row, message, line):
    row = row.encode() if isinstance(row, str) else row
    good = b"9\t" + EXPRESSION.encode()
    path = write(tmp_path / "some.tsv", b"\n".join([*[good] * (line - 1), row, good, b""]))
    with pytest.raises(UserError, match=f"^{path}:{line}: {message}") as error:
        read_tsv(path)
    assert "\n" not in str(error.value)


def test_the_header_counts_as_a_line(tmp_path):
    with pytest.raises(UserError, match=":3: the label is 2"):
        read_tsv(write(tmp_path / "lra.tsv", "Source\tTarget\r\n[SM 5 6 ]\t1\r\n[SM 5 6 ]\t2\r\n"))


@pytest.mark.parametrize("content", ["", "Source\tTarget\n"])
def test_a_file_without_rows_is_refused(tmp_path, content):
    with pytest.raises(UserError, match=r"none.tsv: no rows"):
        read_tsv(write(tmp_path / "none.tsv", content))


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "none.tsv", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_tsv(path)
    examples = read_tsv(write(tmp_path / "some.tsv", "3\t3\n"))
    with pytest.raises(UserError, match="cannot be written"):
        write_tsv(examples, tmp_path / "none" / "some.tsv")


def test_written_splits_read_the_same(tmp_path):
    examples = load_split("300-400", seed=3, cache_dir=tmp_path, size=30)
    write_tsv(examples, tmp_path / "out.tsv")
    again = read_tsv(tmp_path / "out.tsv")
    assert texts(again) == texts(examples)
    assert (tmp_path / "out.tsv").read_text().splitlines()[0].split("\t")[1].startswith("( ( ")


@pytest.fixture
def official() -> Path:
    path = Path(os.environ.get("NESTREE_DATA", "")) / "listops" / "test_d20s.first2000.tsv"
    if "NESTREE_DATA" not in os.environ or not path.exists():
        pytest.skip("set NESTREE_DATA to a folder with listops/test_d20s.first2000.tsv")
    return path


def test_the_official_file_reads_with_every_label_right(official):
    examples = read_tsv(official)
    assert (len(examples), len(examples.tokens)) == (2_000, 82_873)


def test_one_changed_label_in_the_official_file_is_named(official, tmp_path):
    lines = official.read_text().splitlines(keepends=True)
    lines[1_233] = f"{(int(lines[1_233][0]) + 1) % 10}{lines[1_233][1:]}"
    with pytest.raises(UserError, match=r":1234: the label is \d, but the expression's value is \d"):
        read_tsv(write(tmp_path / "copy.tsv", "".join(lines)))
