"""Tables of texts: what is written by Python's own writers is read back, and what is wrong is named with its row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.tasks.text import table as tables
from nestree.tasks.text.table import Table, TableStyle, cell_text, table_format
from nestree.tasks.text.table_writer import TableWriter

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(name: str, content: str | bytes, style: TableStyle | None = None) -> Table:
    data = content.encode() if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return Table(name, style)


def as_csv(rows: list[tuple[str, str]], *, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=quoting).writerows([("text", "label"), *rows])  # type: ignore
    return buffer.getvalue()


def read(table: Table) -> list[tuple[str, ...]]:
    columns = table.columns
    return [tuple(cell_text(record, column) for column in columns) for record in table.records()]


@given(
    rows=ROWS,
    packed=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
    kind=st.sampled_from([("csv", ","), ("tsv", "\t")]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_of_pythons_writer_is_read_back(
    rows: list[tuple[str, str]], packed: bool, mark: str, kind: tuple[str, str], quoting: int
) -> None:
    name = f"any.{kind[0]}{'.gz' * packed}"
    table = written(name, mark + as_csv(rows, delimiter=kind[1], quoting=quoting), TableStyle(quotes=True))
    assert read(table) == rows
    assert table.columns == ("text", "label")


@given(rows=ROWS, mark=st.sampled_from(["", "\ufeff"]), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_any_json_lines_are_read_back(rows: list[tuple[str, str]], mark: str, end: str) -> None:
    rows = [("first", "1"), *rows]
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=len(text) % 2 == 0) for text, label in rows]
    assert read(written("any.jsonl", mark + end.join(lines))) == rows


@given(rows=ROWS, name=st.sampled_from(["x.csv", "x.tsv", "x.jsonl"]), mark=st.sampled_from(["", "\ufeff"]))
def test_a_table_is_written_as_it_was_with_columns_behind(rows: list[tuple[str, str]], name: str, mark: str) -> None:
    rows = [("first", "1"), *rows]
    if name == "x.jsonl":
        content = "\r\n".join(json.dumps({"text": text, "label": label}) for text, label in rows)
    else:
        content = as_csv(rows, delimiter="," if name == "x.csv" else "\t")
    style = TableStyle(quotes=True)
    with tempfile.TemporaryFile() as file:
        table = written(name, mark + content, style)
        writer = TableWriter(table, file, ["guess", "share"])
        for number, record in enumerate(table.records()):
            writer.row(record, [f'a "b"\n,\t{number}', 0.5])
        file.seek(0)
        again = written(f"again-{name}", file.read(), style)
    assert again.columns == ("text", "label", "guess", "share")
    assert again.marked == bool(mark)
    assert read(again) == [(*row, f'a "b"\n,\t{number}', "0.5") for number, row in enumerate(rows)]


def test_a_tsv_without_quoting_is_recognised() -> None:
    plain = 'text\tlabel\n"Good" she said\t1\n"open\t0\n'
    assert read(written("x.tsv", plain)) == [('"Good" she said', "1"), ('"open', "0")]
    quoted = 'text\tlabel\n"a ""b"" c"\t1\n"two\nlines"\t0\n'
    assert read(written("x.tsv", quoted)) == [('a "b" c', "1"), ("two\nlines", "0")]
    assert read(written("x.csv", 'text,label\n"a,1\n', TableStyle(quotes=False))) == [('"a', "1")]
    with io.BytesIO() as file:
        table = written("x.tsv", plain)
        writer = TableWriter(table, file, ["guess"])
        writer.row(next(table.records()), ["a\tb\n"])
        assert file.getvalue().decode() == 'text\tlabel\tguess\n"Good" she said\t1\ta b \n'


def test_blank_lines_are_left_out_and_rows_keep_their_line() -> None:
    table = written("x.csv", 'text,label\r\n\r\n"a\r\nb",1\r\n  \r\nc,0')
    assert [(record.where, record.values["text"]) for record in table.records()] == [
        ("x.csv:3", "a\r\nb"),
        ("x.csv:6", "c"),
    ]
    assert [record.values for record in written("x.csv", "text\na\n\n  \n").records()] == [
        {"text": "a"},
        {"text": "  "},
    ]


def test_values_of_json_are_labels_as_they_are_written() -> None:
    line = '{"a": 5, "b": 5.0, "c": true, "d": null, "e": NaN, "f": ' + "9" * 5000 + "}"
    table = written("x.ndjson", line)
    (record,) = table.records()
    assert [cell_text(record, name) for name in "abcdef"] == ["5", "5.0", "true", "", "NaN", "9" * 5000]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "shift_jis"])
def test_other_encodings(encoding: str) -> None:
    text = "ソ、漢字\nx" if encoding == "shift_jis" else "café\nx"
    table = written("x.csv", as_csv([(text, "1")]).encode(encoding), TableStyle(encoding))
    assert read(table) == [(text, "1")]
    with io.BytesIO() as file:
        writer = TableWriter(table, file, ["guess"])
        for record in table.records():
            writer.row(record, ["y"])
        again = written("again.csv", file.getvalue(), TableStyle(encoding))
        assert read(again) == [(text, "1", "y")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "x.csv: is empty"),
        ("x.jsonl", b"\n", "x.jsonl: is empty"),
        ("x.csv", b"a,b\n1\n", "x.csv:2: 1 column, the header has 2; a field"),
        ("x.csv", b"a,b\n1,2\n1,2,3\n", "x.csv:3: 3 columns, the header has 2"),
        ("x.csv", b'a,b\n1,2\n"1,2\n3,4\n', "x.csv:3: a quote is opened and never closed; quotes false"),
        ("x.csv", b'a,b\n1,"x"y\n', "x.csv:2: text follows a closing quote"),
        ("x.csv", b"a,b\n1,2\r3,4\n", "x.csv:2: a carriage return within the row"),
        ("x.csv", b"a,b\n1,2\n\xe9,4\n", "x.csv:3: not UTF-8; encoding can name another, such as latin-1"),
        ("x.csv", "a,b\n".encode("utf-16"), "x.csv:1: looks like UTF-16; encoding must be utf-16"),
        ("x.csv", b"a,b\n1,2\0\n", "x.csv:2: contains a NUL byte"),
        ("x.csv", b"PK\x03\x04\x00\x00", "x.csv:1: contains a NUL byte"),
        ("x.jsonl", b'{"a": 1}\n{"a": \n', "x.jsonl:2: not JSON at character 7: Expecting value"),
        ("x.jsonl", b'{"a": 1}\n[1]\n', "x.jsonl:2: an array; every line must be a JSON object"),
        ("x.jsonl", b'{"a": 1}\n3\n', "x.jsonl:2: a single value; every line"),
        ("x.jsonl", b"[" * 100_000, "x.jsonl:1: not JSON"),
        ("x.jsonl", b'{"a": 1}\n{"b": 1}\n', "x.jsonl:2: has no 'a', only b"),
        ("x.jsonl", b'{"a": [1]}\n', "x.jsonl:1: 'a' is a list, not a text"),
        ("x.jsonl", b'{"a": {}}\n', "x.jsonl:1: 'a' is an object, not a text"),
    ],
)
def test_what_is_damaged_is_named(name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(written(name, content))
    assert str(caught.value).startswith(message)


def test_what_is_not_there_is_named() -> None:
    written("reviews.csv", "a,b\n")
    Path("folder.csv").mkdir()
    for name, message in {
        "reviws.csv": "reviws.csv: there is no such file; did you mean reviews.csv?",
        "no/where.csv": "no/where.csv: there is no such file",
        "folder.csv": "folder.csv: is a folder; name a file",
    }.items():
        with pytest.raises(UserError) as caught:
            Table(name)
        assert str(caught.value) == message
    with pytest.raises(
        UserError, match=r"x.xlsx: the name must end in .csv, .tsv, .jsonl, .ndjson, optionally followed by"
    ):
        written("x.xlsx", "")
    for content in (b"no gzip", gzip.compress(b"a,b\n" * 9)[:-12]):
        Path("x.csv.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"x.csv.gz: cannot be read \("):
            read(Table("x.csv.gz"))


def test_columns_are_checked() -> None:
    table = written("x.csv", "text, stars ,a,a\n")
    table.check_column("stars", "label")
    for name, message in {
        "star": "a column of x.csv: there is no column 'star'; did you mean stars? (there are text, stars, a, a)",
        "zzz": "a column of x.csv: there is no column 'zzz'; there are text, stars, a, a",
        "a": "one column: x.csv has 2 columns 'a'",
    }.items():
        with pytest.raises(UserError) as caught:
            table.check_column(name, "label")
        assert str(caught.value) == f"label must name {message}"
    with pytest.raises(UserError, match="only 'text;label'; delimiter ';' may separate the columns"):
        written("x.csv", "text;label\n").check_column("text", "text")
    assert written("x.csv", "text;label\na;b\n", TableStyle(delimiter=";")).columns == ("text", "label")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf8000"}, "encoding must be one that Python knows"),
        ({"encoding": "base64"}, "encoding must be one that Python knows"),
        ({"delimiter": "ab"}, "delimiter must be one character"),
        ({"delimiter": '"'}, "delimiter must be one character"),
    ],
)
def test_styles_are_checked(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableStyle(**options)  # type: ignore[arg-type]


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONGEST_ROW", 1000)
    monkeypatch.setattr("nestree.tasks.text.lines.LONGEST", 5000)
    with pytest.raises(UserError, match=r"x.csv:2: the row spans \d+ lines; is a quote left open\?"):
        read(written("x.csv", 'text\n"' + "word\n" * 1000))
    with pytest.raises(UserError, match=r"x.csv:2: the line is longer than"):
        read(written("x.csv", "text\n" + "word" * 2000))
    assert read(written("x.csv", "text\n" + "word" * 1000)) == [("word" * 1000,)]  # one line may be longer than a row


def test_labels_that_the_encoding_has_not_are_named() -> None:
    table = written("x.csv", b"text\na\n", TableStyle("latin-1"))
    writer = TableWriter(table, io.BytesIO(), ["guess"])
    with pytest.raises(UserError, match=r"x.csv:2: '€' in a label cannot be written in latin-1"):
        writer.row(next(table.records()), ["€"])


def test_formats_are_told_by_the_name() -> None:
    names = ("a.CSV", "a.tsv.gz", "a.ndjson", "a.json", "a.gz", "csv")
    assert [table_format(name) for name in names] == ["csv", "tsv", "jsonl", None, None, None]
