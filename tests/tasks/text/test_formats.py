"""Tables that are not text files: Excel workbooks, Parquet, folders of texts per class, and saved datasets."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from nestree.errors import UserError
from nestree.tasks.official_files import note
from nestree.tasks.text.own import OwnOptions
from nestree.tasks.text.record import text_of
from nestree.tasks.text.table import Table, TableStyle, cell_text
from nestree.tasks.text.table_writer import TableWriter

DAY = datetime.date(2024, 1, 31)
NOON = datetime.datetime(2024, 1, 31, 12)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    note.cache_clear()
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))


def workbook(name: str, rows: Sequence[Sequence[Any]], title: str = "first", *, formulas: bool = False) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
        for cell in sheet[sheet.max_row]:
            if cell.data_type == "f" and not formulas:
                cell.data_type = "s"
    book.save(name)


def read(table: Table) -> list[tuple[str, ...]]:
    return [tuple(cell_text(record, column) for column in table.columns) for record in table.records()]


def error(make: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


def copied(table: Table, kind: str | None = None) -> bytes:
    """Write a copy with two columns, the second of which is empty in the second row."""
    with io.BytesIO() as file:
        with TableWriter(table, file, ["guess", "share"], kind) as writer:
            for number, record in enumerate(table.records()):
                writer.row(record, [f"g{number}", None if number == 1 else 0.5])
        return file.getvalue()


def own(train: str, **options: Any) -> Any:
    return OwnOptions(task="own", train=train, **options).open()


def test_a_workbook_is_read_as_it_is_shown() -> None:
    cells = ["a\nb", 5, 5.0, 0.1 + 0.2, True, DAY, NOON, "007", "=1/0", "#N/A", " é "]
    workbook("x.xlsx", [[f"c{n}" for n in range(len(cells))], [], cells, ["short"]], formulas=True)
    table = Table("x.xlsx")
    shown = ("a\nb", "5", "5", "0.3", "true", "2024-01-31", "2024-01-31T12:00:00", "007", "", "", " é ")
    assert read(table) == [shown, ("short", *[""] * 10)]
    assert [record.where for record in table.records()] == ["x.xlsx:3", "x.xlsx:4"]


def test_pandas_reads_the_same_sheet(caplog: pytest.LogCaptureFixture) -> None:
    frame = pandas.DataFrame({"text": ["a film", "é"], "label": [1, 0]})
    with pandas.ExcelWriter("x.xlsx") as writer:
        frame.to_excel(writer, sheet_name="reviews", index=False)
        frame[::-1].to_excel(writer, sheet_name="other #2", index=False)
    assert read(Table("x.xlsx")) == [("a film", "1"), ("é", "0")]
    other = Table("x.xlsx#other #2")
    assert (read(other), other.shown) == ([("é", "0"), ("a film", "1")], "x.xlsx#other #2")
    assert next(other.records()).where == "x.xlsx#other #2:2"
    assert other.digest() != Table("x.xlsx").digest()
    said = "x.xlsx#none: there is no sheet 'none', only reviews, other #2"
    assert error(lambda: read(Table("x.xlsx#none"))) == said
    assert error(lambda: Table("y.xlsx#none")) == "y.xlsx: there is no such file; did you mean x.xlsx?"
    Path("x.xlsx").rename("x.xlsx#1.xlsx")
    assert read(Table("x.xlsx#1.xlsx")) == [("a film", "1"), ("é", "0")]


def test_a_sheet_has_the_same_columns_as_a_text_file() -> None:
    workbook("x.xlsx", [["a film", "pos", None], ["b", "neg"], ["c", "pos"]])
    said = "text must be the number of a column of x.xlsx, 1 to 2, as it has no header, not 'text'"
    table = Table("x.xlsx", TableStyle(header=False))
    assert (table.columns, read(table)) == (("1", "2"), [("a film", "pos"), ("b", "neg"), ("c", "pos")])
    assert error(lambda: table.check_column("text", "text")) == said
    said = (
        "x.xlsx: there is no column 'text', and the first row looks like data (a film, pos); header false reads it so"
    )
    assert error(lambda: Table("x.xlsx").check_column("text", "text")).startswith(said)
    workbook("wide.xlsx", [["text", "label"], ["a", "b", "c"]])
    assert error(lambda: read(Table("wide.xlsx"))) == "wide.xlsx:2: 3 columns, the header has 2"
    workbook("none.xlsx", [])
    assert error(lambda: read(Table("none.xlsx"))) == "none.xlsx: is empty"


def test_a_copy_of_a_sheet_keeps_the_values() -> None:
    workbook("x.xlsx", [["text", "day", "number"], ["=1+1", DAY, 5], ["b", NOON, 0.25]], "reviews")
    again = pandas.read_excel(io.BytesIO(copied(Table("x.xlsx"))))
    assert again.columns.tolist() == ["text", "day", "number", "guess", "share"]
    assert again["text"].tolist() == ["=1+1", "b"]
    assert again["number"].tolist() == [5, 0.25]
    assert again["day"].tolist() == [pandas.Timestamp(DAY), pandas.Timestamp(NOON)]
    assert again["share"].isna().tolist() == [False, True]
    first = openpyxl.load_workbook(io.BytesIO(copied(Table("x.xlsx#reviews")))).worksheets[0]
    assert (first.title, first["A2"].data_type) == ("reviews", "s")  # not a formula
    as_csv = copied(Table("x.xlsx"), "csv").decode()
    assert as_csv.splitlines()[1:] == ["=1+1,2024-01-31,5,g0,0.5", "b,2024-01-31T12:00:00,0.25,g1,"]
    headless = copied(Table("x.xlsx", TableStyle(header=False)), "csv").decode()
    assert headless.splitlines()[0] == "text,day,number,g0,0.5"
    with TableWriter(Table("x.xlsx"), io.BytesIO(), ["guess"]) as writer:
        record = next(Table("x.xlsx").records())
        assert error(lambda: writer.row(record, ["\x01"])).startswith(
            "x.xlsx:2: '\\x01' cannot be written in a workbook"
        )


def test_a_damaged_workbook_is_named() -> None:
    workbook("x.xlsx", [["text"], ["a"]])
    content = Path("x.xlsx").read_bytes()
    start = content.index(b"xl/worksheets/sheet1.xml") + 40
    Path("x.xlsx").write_bytes(content[:start] + bytes(20) + content[start + 20 :])
    assert error(lambda: read(Table("x.xlsx"))).startswith(
        "x.xlsx: is damaged, or no workbook that openpyxl can read ("
    )


def test_parquet_is_read_in_batches() -> None:
    rows = 3000
    frame = pandas.DataFrame(
        {
            "text": [f"text {n}" for n in range(rows)],
            "kind": pandas.Categorical(["a", "b", None] * (rows // 3)),
            "stars": [1.5, None, 2.0] * (rows // 3),
            "count": range(rows),
            "day": [NOON] * rows,
        }
    )
    frame.to_parquet("x.parquet", row_group_size=700)
    table = Table("x.parquet")
    found = read(table)
    assert table.columns == ("text", "kind", "stars", "count", "day")
    assert len(found) == rows
    assert found[0] == ("text 0", "a", "1.5", "0", "2024-01-31T12:00:00")
    assert found[1][:3] == ("text 1", "b", "")
    assert found[2999][1:3] == ("", "2.0")
    assert [record.where for record in table.records()][-1] == "x.parquet:3000"
    again = pyarrow.parquet.read_table(io.BytesIO(copied(table)))
    assert again.schema.names == [*table.columns, "guess", "share"]
    assert again.drop_columns(["guess", "share"]).to_pylist() == pyarrow.parquet.read_table("x.parquet").to_pylist()
    assert again["guess"].to_pylist() == [f"g{n}" for n in range(rows)]
    assert again["share"].to_pylist() == [0.5, None, *[0.5] * (rows - 2)]
    assert pandas.read_parquet(io.BytesIO(copied(table)))["kind"].dtype == frame["kind"].dtype


def test_parquet_without_rows_is_copied_too() -> None:
    pandas.DataFrame({"text": pandas.Series([], dtype="str")}).to_parquet("x.parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(copied(Table("x.parquet")))).schema.names == ["text", "guess", "share"]
    pyarrow.parquet.write_table(pyarrow.table({"text": [b"x"], "words": [["a"]]}), "x.parquet")
    (record,) = Table("x.parquet").records()
    assert error(lambda: cell_text(record, "text")) == "x.parquet:1: 'text' is bytes, not a text"
    assert error(lambda: cell_text(record, "words")) == "x.parquet:1: 'words' is a list, not a text"
    assert text_of(float("nan"), "", "") is None


def folder(**files: str | bytes) -> None:
    for name, content in files.items():
        path = Path("films", name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_folder_per_class(caplog: pytest.LogCaptureFixture) -> None:
    files = {"pos__2.txt": "good\nfilm\n", "pos__1.TXT": "\ufeffgreat", "neg__1.txt": "", "neg__.hidden.txt": "x"}
    folder(**files, **{"pos__x.csv": "x", "pos__deeper__3.txt": "x", ".git__x.txt": "x", "urls.txt": "x"})
    table = Table("films/")
    assert table.columns == ("text", "label", "file")
    assert read(table) == [("", "neg", "neg/1.txt"), ("great", "pos", "pos/1.TXT"), ("good\nfilm", "pos", "pos/2.txt")]
    assert caplog.messages == ["films: 5 files skipped (hidden, not .txt, or in other folders)"]
    assert next(record.where for record in table.records()) == "films/neg/1.txt"
    assert copied(table).decode().splitlines()[1] == ",neg,neg/1.txt,g0,0.5"
    before = table.digest()
    Path("films/pos/2.txt").write_text("other")
    assert Table("films").digest() != before
    folder(pos__3_txt="")
    Path("films/pos/9.txt").write_bytes(b"a\nb\xe9\n")
    assert error(lambda: read(Table("films"))) == "films/pos/9.txt:2: not UTF-8; encoding cp1252 fits the whole file"
    assert ("a\nbé", "pos", "pos/9.txt") in read(Table("films", TableStyle("cp1252")))


def test_a_folder_without_classes_has_no_labels() -> None:
    folder(**{"b.txt": "two", "a.txt": "one", "other__x.csv": "x"})
    table = Table("films")
    assert (table.columns, read(table)) == (("text", "file"), [("one", "a.txt"), ("two", "b.txt")])
    assert error(lambda: own("films")).startswith("data.label must name a column of films: there is no column 'label'")
    Path("films/a.txt").unlink()
    Path("films/b.txt").unlink()
    assert error(lambda: read(Table("films"))).startswith("films: has no folders with .txt files, one per class")


def test_a_folder_is_learnt_from() -> None:
    folder(**{f"{kind}__{n}.txt": f"{kind} text {n}" for kind in ("pos", "neg") for n in range(20)})
    task = own("films")
    assert (task.label_names, len(task.load("train")), len(task.load("validation"))) == (("neg", "pos"), 36, 4)


def test_a_folder_saved_by_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = datasets.Dataset.from_dict({"text": [f"t {n}" for n in range(20)], "label": [0, 1] * 10}, features=features)
    datasets.disable_progress_bars()
    datasets.DatasetDict(train=rows, test=rows.select(range(4))).save_to_disk("saved")
    task = own("saved", test="saved")
    assert (task.label_names, len(task.load("train")), len(task.load("test"))) == (("bad", "good"), 18, 4)
    one = Table("saved/test")
    assert read(one) == [("t 0", "bad"), ("t 1", "good"), ("t 2", "bad"), ("t 3", "good")]
    assert one.digest() == Table("saved", split="test").digest() != Table("saved", split="train").digest()
    assert copied(one).decode().splitlines()[1] == "t 0,bad,g0,0.5"
    assert error(lambda: read(Table("saved"))) == (
        "saved: has several splits; name the folder of one: saved/train, saved/test"
    )
    assert error(lambda: own("saved", validation="saved")).startswith("saved: has no split 'validation'; name the")
    Path("saved/test/state.json").write_text("{")
    assert error(lambda: read(Table("saved/test"))).startswith("saved/test: cannot be loaded (")
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = "saved: needs Hugging Face datasets: pip install 'nestree[hub]'"
    assert error(lambda: read(Table("saved", split="train"))) == said


@pytest.mark.parametrize(("name", "library"), [("x.xlsx", "openpyxl"), ("x.parquet", "pyarrow")])
def test_what_is_not_installed_is_named(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pandas.DataFrame({"text": ["a"], "label": ["b"]})
    frame.to_excel(name, index=False) if name == "x.xlsx" else frame.to_parquet(name)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet" if library == "pyarrow" else library, None)
    said = f"{name}: needs {library}: pip install 'nestree[tables]'"
    assert error(lambda: read(Table(name))) == said
    assert error(lambda: own(name)) == said


def test_they_are_imported_only_when_a_table_needs_them() -> None:
    heavy = "{'pandas', 'pyarrow', 'openpyxl', 'datasets'}"
    code = f"import sys, nestree.tasks.text, nestree; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_columns_are_named_by_number_in_training() -> None:
    Path("train.csv").write_text("".join(f"{n % 2};good film{', seen' * (n % 3)}, {n}\n" for n in range(20)))
    task = own("train.csv", header=False, text="2", label="1")
    assert (task.label_names, len(task.load("train"))) == (("0", "1"), 18)
    Path("train.csv").write_text("words,stars\n" + "".join(f"a {n},{n % 2}\n" for n in range(20)))
    task = own("train.csv", text="1", label="2")
    assert (task.label_names, [row.texts for row in task.texts.rows("train")][:2]) == (("0", "1"), [("a 0",), ("a 1",)])
    said = "data.label must be a different column: 'text' of named.csv is named twice"
    Path("named.csv").write_text("text,stars\na,b\n")
    assert error(lambda: own("named.csv", text="text", label="1")) == said


@pytest.mark.parametrize("options", [{}, {"header": False}, {"delimiter": "tab"}])
def test_how_a_table_is_read_is_in_its_fingerprint(options: dict[str, Any]) -> None:
    Path("train.csv").write_text("1\t2\n" + "".join(f"a {n}\t{n % 2}\n" for n in range(20)))
    prints = [
        own("train.csv", text="1", label="2", **other).texts.fingerprint() for other in (options, {"quotes": True})
    ]
    assert prints[0] != prints[1]
