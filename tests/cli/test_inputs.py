"""What ``nestree predict`` takes for a text, a file, an option: paths, ``--``, empty and odd texts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.runs import Run, build_model
from support.training import config

TEXTS = ["a great film", "", "a\ttab", "dull"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with fresh weights on texts, byte by byte."""
    folder = tmp_path_factory.mktemp("bytes")
    table = folder / "train.csv"
    table.write_text("text,label\n" + "good,yes\nbad,no\n" * 10)
    configuration = config("grc", data={"task": "own", "train": str(table), "level": "byte"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTREE_CACHE", str(folder / "cache"))
        task = configuration.data.open()
        made = Run(folder / "run").begin(configuration, task, command="test")
        made.save_weights(build_model(configuration, task))
    return str(made.path)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main(["predict", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


def test_every_source_gives_one_answer_per_text(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join(TEXTS).encode()
    Path("new.txt").write_bytes(lines)
    Path("new.json").write_text(json.dumps([TEXTS[0], None, *TEXTS[2:]]))
    Path("wide.txt").write_text("\r\n".join(TEXTS), encoding="utf-16", newline="")
    alone = [answers([run, "--json", "--", text], capsys)[0] for text in TEXTS]
    assert alone[1] == {"input": "", "label": None, "probability": None, "reason": "empty text"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    for source in ([], ["new.txt"], ["new.json"], TEXTS, ["wide.txt", "--encoding", "utf-16"]):
        found = answers([run, "--json", *source], capsys)
        assert [(one["input"], one["label"]) for one in found] == [(one["input"], one["label"]) for one in alone]
    assert [one.label for one in Run(run).predict([TEXTS[0], None, *TEXTS[2:]])] == [one["label"] for one in alone]


def test_after_two_hyphens_everything_is_a_text(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.txt").write_text("one\ntwo\n")
    literal = ["--help is a text", "-1 was great", "--json", "-", "--", "new.txt", "reviews.csv", "."]
    found = answers([run, "--json", "--", *literal], capsys)
    assert [one["input"] for one in found] == literal
    assert [one["input"] for one in answers(["--json", "--", run, "text"], capsys)] == ["text"]
    assert [one["input"] for one in answers([run, "fine", "--json", "--", "-o"], capsys)] == ["fine", "-o"]


@pytest.mark.parametrize("text", ["--help is a text", "-1 was great", "-1", "--jsn", "-x"])
def test_before_them_what_looks_like_an_option_must_be_one(
    run: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(["predict", run, text], capsys)
    assert f"there is no option {text!r}; " in said
    assert "a text that begins with - goes after --" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "missing.txt: there is no such file; if it is meant as a text, put it after --"),
        ("missing.json", "missing.json: there is no such file"),
        ("missing.xlsx", "missing.xlsx: there is no such file"),
        ("link.txt", "link.txt: there is no such file"),
        ("folder", "folder: "),
        ("old.xls", "old.xls: save it as .xlsx or .csv"),
        ("notes", "notes is a file; if it is meant as a text, put it after --; --file notes reads it, each line as"),
        ("old.json", "old.json: element 1 is an object; with one object per line, in a file .jsonl, it is a table"),
        ("one.json", 'one.json: must be an array of texts, such as ["a text", "another"]'),
        ("nested.json", "nested.json: element 2 is an array, not a text"),
        ("lines.json", "lines.json: not one JSON value; JSON lines, one object per line, end in .jsonl"),
        ("latin.txt", "latin.txt:1: not UTF-8; --encoding "),
    ],
)
def test_a_file_is_read_or_refused_with_what_helps(
    run: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("link.txt").symlink_to("nowhere.txt")
    Path("notes").write_text("a\n")
    Path("old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    Path("old.json").write_text('[{"text": "a"}]')
    Path("one.json").write_text('{"text": "a"}')
    Path("nested.json").write_text('["a", ["b"]]')
    Path("lines.json").write_text('{"text": "a"}\n{"text": "b"}\n')
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    assert message in fails(["predict", run, name], capsys)


def test_a_sentence_on_a_file_is_a_text(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["see reviews.csv", "x" * 5000 + ".csv and more", "and/or", "so long" * 2000]
    assert [one["input"] for one in answers([run, "--json", *texts], capsys)] == texts


def test_one_input_is_one_line(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [
        "two\nlines",
        "a\ttab",
        "\x1b[31mred",
        "line\u2028separator\x85",
        "half \ud800",
        "\U0001f469\u200d\U0001f680",
    ]
    assert main(["predict", run, *texts]) == 0
    found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[2] for row in found] == [
        *("two\\nlines", "a\\ttab", "\\x1b[31mred", "line\\u2028separator\\x85", "half \\ud800", texts[-1]),
    ]
    assert main(["predict", run, "a\ttab", " ", "--top", "1", "--probabilities"]) == 0
    first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert first[2:4] == ["a\\ttab", f"{first[0]}={first[1]}"]
    assert [field.split("=")[0] for field in first[4:]] == ["no", "yes"]
    assert second == ["", "", " "]


def test_python_lists_the_most_probable_labels(run: str) -> None:
    found, empty = Run(run).predict(["fine", float("nan")])
    assert found.top(1) == [(found.label, found.probability)]
    assert found.top(2) == sorted(found.probabilities.items(), key=lambda pair: -pair[1])
    with pytest.raises(ValueError, match="k must be at most 2, the number of labels, not 3"):
        found.top(3)
    with pytest.raises(ValueError, match="k must be an integer of at least 1, not 0"):
        empty.top(0)
    assert (empty.label, empty.reason, empty.top(1)) == (None, "empty text", [])
    with pytest.raises(ValueError, match="threshold must be a probability above 0 and at most 1, not 2"):
        Run(run).predict(["fine"], threshold=2)
    with pytest.raises(ValueError, match=r"input 2: must be a text, not 0\.5"):
        Run(run).predict(["fine", 0.5])
    with pytest.raises(ValueError, match="there is no tree: empty text"):
        Run(run).parse(" ")
