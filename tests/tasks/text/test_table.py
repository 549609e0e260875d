"""Tables of texts: what is written by Python's own writers is read back, and what is wrong is named with its row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestree.errors import UserError
from nestree.tasks.official_files import note
from nestree.tasks.text.table import Table, TableStyle, cell_text, table_format
from nestree.tasks.text.table_writer import TableWriter

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    note.cache_clear()


def written(name: str, content: str | bytes, style: TableStyle | None = None) -> Table:
    data = content.encode() if isinstance(content, str) else content
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return Table(name, style)


def as_csv(rows: list[tuple[str, str]], *, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=quoting).writerows([("text", "label"), *rows])  # type: ignore
    return buffer.getvalue()


def error(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


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
        ("x.csv", b"a,b\n1,2\0\n", "x.csv:2: contains a NUL byte: it is not a text file"),
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
    Path("broken.csv").symlink_to("gone.csv")
    os.mkfifo("pipe.csv")
    for name in ("old.xls", "x.json", "x.txt", "x.xlsx.gz"):
        Path(name).write_text("x")
    for name, message in {
        "reviws.csv": "reviws.csv: there is no such file; did you mean reviews.csv?",
        "no/where.csv": "no/where.csv: there is no such file",
        "broken.csv": "broken.csv: is a link to gone.csv, which does not exist",
        "pipe.csv": "pipe.csv: is neither a file nor a folder; tables are read several times",
        "old.xls": "old.xls: save it as .xlsx or CSV",
        "x.json": "x.json: write one object per line, as .jsonl",
        "x.txt": "x.txt: if its lines are rows, its name must end in .csv or .tsv",
        "x.xlsx.gz": "x.xlsx.gz: the name must end in .csv, .tsv, .jsonl or .ndjson, optionally followed by .gz, "
        "or in .xlsx or .parquet",
    }.items():
        assert error(lambda name=name: Table(name)) == message
    assert error(lambda: read(Table("folder.csv"))).startswith("folder.csv: has no folders with .txt files")


def test_what_a_file_really_is_is_said() -> None:
    book = io.BytesIO()
    openpyxl.Workbook().save(book)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.csv", "text,label\n")
    table = b"text,label\na,1\n"
    for name, content, message in (
        ("x.csv", gzip.compress(table), "x.csv: is gzipped: add .gz to its name"),
        ("x.csv", archive.getvalue(), "x.csv: is a zip archive: unpack it"),
        ("x.tsv", book.getvalue(), "x.tsv: is an Excel workbook: its name must end in .xlsx"),
        ("x.jsonl", b"PAR1....", "x.jsonl: is a Parquet file: its name must end in .parquet"),
        (
            "x.xlsx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "x.xlsx: is an Excel workbook of the old format, or with a pass",
        ),
        ("x.xlsx", table, "x.xlsx: is not an Excel workbook; if it is text, its name must end in .csv, .tsv"),
        ("x.xlsx", archive.getvalue(), "x.xlsx: is a zip archive"),
        ("x.parquet", table, "x.parquet: is not a Parquet file; if it is text"),
        ("x.csv.gz", table, "x.csv.gz: is not gzipped: remove .gz from its name"),
        ("x.csv.gz", gzip.compress(gzip.compress(table)), "x.csv.gz: is gzipped"),
        ("x.csv.gz", gzip.compress(table)[:-12], "x.csv.gz: cannot be read ("),
        *[(name, b"", f"{name}: is empty") for name in ("x.csv", "x.csv.gz", "x.xlsx", "x.parquet")],
        ("x.xlsx", book.getvalue()[:-50], "x.xlsx: is a zip archive"),
        ("x.parquet", b"PAR1" + bytes(50) + b"PAR1", "x.parquet: is damaged, or no Parquet file ("),
    ):
        Path(name).write_bytes(content)
        assert error(lambda name=name: read(Table(name))).startswith(message)


def test_a_file_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("x.csv", "x.xlsx", "x.parquet"):
        Path(name).write_bytes(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", denied)
            assert error(lambda name=name: read(Table(name))) == f"{name}: cannot be read (Permission denied)"


def test_a_name_in_capitals_is_unpacked_too() -> None:
    for name in ("X.CSV.GZ", "x.Csv.Gz"):
        Path(name).write_bytes(gzip.compress(b"text,label\na,1\n"))
        assert read(Table(name)) == [("a", "1")]


@pytest.mark.parametrize(
    ("text", "encoding", "fitting"),
    [
        ("caf\xe9 \u201cA\u201d", "cp1252", "cp1252 fits the whole file"),
        ("caf\xe9 \x81", "latin-1", "latin-1 fits the whole file"),
        ("обзор фильма", "cp1251", "must name the right one, such as cp1251"),
        ("这部电影很好看", "gb18030", "must name the right one, such as cp1251"),
    ],
)
def test_the_encoding_that_is_suggested_fits(text: str, encoding: str, fitting: str) -> None:
    rows = [("plain words, first", "1")] * 3 + [(text, "0")]
    content = as_csv(rows).encode(encoding)
    assert error(lambda: read(written("x.csv", content))).startswith(f"x.csv:5: not UTF-8; encoding {fitting}")
    if fitting.endswith("file"):
        assert read(written("x.csv", content, TableStyle(fitting.split()[0]))) == rows
    content = as_csv(rows).encode()
    assert error(lambda: read(written("x.csv", content, TableStyle("ascii")))).endswith("utf-8 fits the whole file")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_utf_16_with_a_mark_is_read_without_an_option(encoding: str, name: str) -> None:
    table = written(name, as_csv([("é", "1")]).encode(encoding))
    assert (read(table), table.encoding) == ([("é", "1")], encoding)
    with io.BytesIO() as file:
        with TableWriter(table, file, ["guess"]) as writer:
            for record in table.records():
                writer.row(record, ["ß"])
        assert file.getvalue().decode(encoding) == "text,label,guess\r\né,1,ß\r\n"
    content = as_csv([("é", "1")]).encode(encoding)
    said = f"x.csv:1: is {encoding.upper()}; encoding {encoding} reads it"
    assert error(lambda: read(written("x.csv", content, TableStyle("latin-1")))) == said


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(encoding: str) -> None:
    content = as_csv([("some words", "1")]).encode(encoding)
    said = f"x.csv:1: contains NUL bytes; encoding {encoding} reads it"
    assert error(lambda: read(written("x.csv", content))) == said
    assert read(written("x.csv", content, TableStyle(encoding))) == [("some words", "1")]


@pytest.mark.parametrize("delimiter", ["\\t", "tab", "TAB", "\t"])
def test_a_tab_has_names(delimiter: str) -> None:
    assert read(written("x.csv", "text\tlabel\na, b\t1\n", TableStyle(delimiter=delimiter))) == [("a, b", "1")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("sep", ["sep=;", "SEP=;", "sep=\t", "sep=,"])
def test_excels_line_gives_the_delimiter(sep: str, mark: str) -> None:
    sign = sep[-1]
    content = f"{mark}{sep}\r\ntext{sign}label\r\na b{sign}1\r\n"
    table = written("x.csv", content)
    table.check_column("label", "label")
    assert (read(table), [record.where for record in table.records()]) == ([("a b", "1")], ["x.csv:3"])
    with io.BytesIO() as file:
        with TableWriter(table, file, ["guess"]) as writer:
            writer.row(next(table.records()), ["y"])
        end = f"{sep}\r\ntext{sign}label{sign}guess\r\na b{sign}1{sign}y\r\n"
        assert file.getvalue().decode() == mark + end
    wide = written("x.csv", content + f"b{sign}1{sign}2\r\n")
    assert error(lambda: read(wide)).startswith("x.csv:4: 3 columns, the header has 2")
    without = written("x.csv", content, TableStyle(header=False))
    assert [tuple(record.values.items()) for record in without.records()][1] == (("1", "a b"), ("2", "1"))
    assert error(lambda: read(written("x.csv", sep))) == "x.csv: is empty"


@pytest.mark.parametrize(("sign", "shown"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_another_delimiter_is_found_if_the_columns_are(sign: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    table = written("x.csv", f'label{sign}text\n1{sign}"a{sign}b, c"\n')
    for name in ("text", "label"):
        table.check_column(name, name)
    assert read(table) == [("1", f"a{sign}b, c")]
    assert caplog.messages == [f"x.csv: columns are separated by {shown}, as no delimiter is named"]
    assert read(written("x.tsv", "text,label\na,1\n")) == [("a,1",)]  # nothing was asked for
    comma = written("x.tsv", "text,label\na,1\n")
    comma.check_column("text", "text")
    assert read(comma) == [("a", "1")]


def test_a_delimiter_that_is_not_certain_is_only_named() -> None:
    both = written("x.csv", "text;a|text\n")
    assert error(lambda: both.check_column("text", "text")) == (
        "x.csv: there is no column 'text', only 'text;a|text'; delimiter ';' may separate the columns"
    )
    named = written("x.csv", "text;label\n", TableStyle(delimiter="comma"))
    assert "only 'text;label'; delimiter ';' may separate" in error(lambda: named.check_column("text", "text"))
    one = written("x.csv", "text,label;stars\n")
    one.check_column("text", "text")
    assert "there is no column 'stars'" in error(lambda: one.check_column("stars", "label"))
    assert one.columns == ("text", "label;stars")


def test_a_delimiter_between_quoted_columns_is_found() -> None:
    table = written("x.csv", '"text";"label"\n"a ""b""; c";"1"\n')
    for name in ("text", "label"):
        table.check_column(name, name)
    assert read(table) == [('a "b"; c', "1")]
    wrong = written("x.csv", '"text"x,label\n')
    assert error(lambda: wrong.check_column("text", "text")).startswith("x.csv:1: text follows a closing quote")


def test_without_a_header_a_delimiter_must_be_certain() -> None:
    style = TableStyle(header=False)
    both = written("x.csv", "a, b;1\nc, d;2\n", style)
    said = "x.csv: the columns may be separated by ',' or ';'; delimiter must say which"
    assert error(lambda: both.check_column("2", "label")) == said
    tabs = written("x.tsv", "a, b\t1\nc, d\t2\n", style)
    tabs.check_column("2", "label")
    assert [record.values["2"] for record in tabs.records()] == ["1", "2"]
    alone = written("x.csv", "good; bad\ngood; worse\n", style)
    alone.check_column("1", "text")
    assert [record.values["1"] for record in alone.records()] == ["good; bad", "good; worse"]


def test_columns_have_numbers() -> None:
    table = written("x.csv", "words,stars,1\na,5,x\n")
    assert [table.column(name) for name in ("1", "2", "stars")] == ["1", "stars", "stars"]
    for name in ("0", "4", "-1", "²"):
        assert "there is no column" in error(lambda name=name: table.check_column(name, "text"))
    semicolons = written("x.csv", "words;stars\na;5\n")
    for name in ("1", "2"):
        semicolons.check_column(name, "text")
    assert [semicolons.column(name) for name in ("1", "2")] == ["words", "stars"]


def test_a_table_without_a_header() -> None:
    style = TableStyle(header=False)
    table = written("x.csv", "a film,pos\n\nb,neg\n", style)
    assert table.columns == ("1", "2")
    assert [(record.where, *record.values.values()) for record in table.records()] == [
        ("x.csv:1", "a film", "pos"),
        ("x.csv:3", "b", "neg"),
    ]
    said = "label must be the number of a column of x.csv, 1 to 2, as it has no header, not 'label'"
    assert error(lambda: table.check_column("label", "label")) == said
    with io.BytesIO() as file:
        with TableWriter(table, file, ["guess"]) as writer:
            for record in table.records():
                writer.row(record, ["y"])
        assert file.getvalue() == b"a film,pos,y\nb,neg,y\n"
    found = written("x.csv", "a, b, and c;1\nd, e;2\n", style)
    found.check_column("2", "label")
    assert [tuple(record.values.values()) for record in found.records()] == [("a, b, and c", "1"), ("d, e", "2")]
    assert error(lambda: read(written("x.csv", "a,b\nc\n", style))).startswith("x.csv:2: 1 column, the first row has 2")


@pytest.mark.parametrize("content", ["a film,5\nb,4\n", "a film,pos\nb,pos\n", "so this is a film,x\nb,y\n"])
def test_a_missing_header_is_recognised(content: str) -> None:
    first = content.partition("\n")[0].replace(",", ", ")
    assert error(lambda: written("x.csv", content).check_column("text", "text")) == (
        f"x.csv: there is no column 'text', and the first row looks like data ({first}); "
        "header false reads it so; columns are then 1 to 2"
    )
    for header in ("words,stars\na,5\n", "0,1\na,5\n", "words,\na,\n"):
        assert "text must name a column" in error(
            lambda header=header: written("x.csv", header).check_column("text", "text")
        )


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
    assert written("x.csv", "text;label\na;b\n", TableStyle(delimiter=";")).columns == ("text", "label")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf8000"}, "encoding must be one that Python knows"),
        ({"encoding": "base64"}, "encoding must be one that Python knows"),
        ({"delimiter": "ab"}, "delimiter must be one character"),
        ({"delimiter": '"'}, "delimiter must be one character"),
        ({"delimiter": "\\n"}, "delimiter must be one character"),
    ],
)
def test_styles_are_checked(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableStyle(**options)  # type: ignore[arg-type]


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestree.tasks.text.delimited.LONGEST_ROW", 1000)
    monkeypatch.setattr("nestree.tasks.text.lines.LONGEST_LINE", 5000)
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
    names = ("a.CSV", "a.TSV.GZ", "a.ndjson", "a.json", "a.gz", "csv", "a.xlsx", "a.XLSX#S 1", "a.parquet", "a.xlsx.gz")
    kinds = ["csv", "tsv", "jsonl", None, None, None, "xlsx", "xlsx", "parquet", None]
    assert [table_format(name) for name in names] == kinds
    assert table_format("word " * 100_000) is None
