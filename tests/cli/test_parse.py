"""``nestree parse`` and ``nestree evaluate --trees``, in process."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nestree.cli.main import main
from nestree.data.text import Vocabulary, encode_text, words_of
from nestree.encoders import RvNN
from nestree.runs import Run, build_model
from nestree.tasks import TASKS
from nestree.tasks.listops import ListOps
from nestree.trees import ParsedTree, Tree
from support.training import config

EXPRESSION = "[MAX 2 9 [MIN 4 7 ] 0 ]"
WORDS = EXPRESSION.split()


def make_run(folder: Path, encoder_name: str, **sections: dict[str, Any]) -> str:
    """A run with fresh weights."""
    configuration = config(encoder_name, **sections)
    run = Run(folder).begin(configuration, command="test")
    run.save_weights(build_model(configuration, run.task))
    return str(folder)


@pytest.fixture(scope="module")
def rir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "rir", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 3})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _elsewhere(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write nothing outside of the tests' folders, and generate few examples."""
    load = ListOps.load
    monkeypatch.setattr(ListOps, "load", lambda task, split, size=None: load(task, split, size=min(size or 50, 50)))
    monkeypatch.setenv("NESTREE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("nestree: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_tree_is_drawn_without_colours_in_a_pipe(rir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse", rir, EXPRESSION]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.startswith("answer ")
    assert all(part in shown for part in ("tree 1 of ", "9 tokens", "3 groups", "group 3: token 9", "┳"))
    assert [line.rstrip("│ ").rsplit(" ", 1)[-1] for line in shown.splitlines() if "─ " in line and "╭" not in line]


def test_all_beams_are_shown_and_add_up(rir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse", rir, EXPRESSION, "--format", "brackets", "--beams", "9"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) > 1
    assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=1e-3)
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    for row in rows:
        assert Tree.from_brackets(row[2])[1] == tuple(WORDS)
    assert main(["parse", rir, "--beams", "1", EXPRESSION]) == 0
    assert f"--beams {len(rows)} shows all" in capsys.readouterr().out


def test_the_formats_say_the_same(
    rir: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in.txt").write_text(f"{EXPRESSION}\n\n3\n")
    assert main(["parse", rir, "--file", "in.txt", "--format", "json"]) == 0
    first, blank, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["input"], second["input"]) == (EXPRESSION, "3")
    assert blank == {"input": "", "label": None, "probability": None, "reason": "empty text", "sides": [[]]}
    ((plain,),) = first["sides"]
    parsed = ParsedTree.from_dict(plain)
    assert parsed.tokens == tuple(WORDS)
    assert parsed.groups[0] == ((0, 4), (4, 8), (8, 9))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("in.txt").read_bytes())))
    assert main(["parse", rir, "-", "--format", "brackets"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[2] for row in rows] == [parsed.brackets(), "", "3"]
    assert [row[0] for row in rows] == [first["label"], "", second["label"]]
    assert main(["parse", rir, "in.txt"]) == 0
    assert capsys.readouterr().out.count("no answer: empty text") == 1
    assert main(["predict", rir, EXPRESSION]) == 0
    assert capsys.readouterr().out.split("\t")[0] == first["label"]
    assert main(["parse", rir, EXPRESSION, "--inference", "flat", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["sides"][0][0]["groups"] == [[[0, 9]]]


def test_files_get_the_format_of_their_ending_and_are_never_lost(rir: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("t.svg", "t.json", "t.txt"):
        assert main(["parse", rir, EXPRESSION, "-o", name]) == 0
    assert ElementTree.parse("t.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert json.loads(Path("t.json").read_text())["input"] == EXPRESSION
    assert "group 1: tokens 1-4" in Path("t.txt").read_text(encoding="utf-8")
    before = Path("t.txt").read_bytes()
    capsys.readouterr()
    assert "t.txt exists already: name another file; --overwrite replaces it" in fails(
        ["parse", rir, "3", "-o", "t.txt"], capsys
    )
    assert Path("t.txt").read_bytes() == before
    assert "input 1: token 1 'x' is unknown" in fails(["parse", rir, "x", "-o", "t.txt", "--overwrite"], capsys)
    assert Path("t.txt").read_bytes() == before
    assert main(["parse", rir, "3", "-o", "t.txt", "--overwrite", "--format", "brackets"]) == 0
    assert Path("t.txt").read_text().endswith("\t3\n")
    assert {path.name for path in Path().iterdir()} == {"t.svg", "t.json", "t.txt"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["3", "-o", "t.png"], "--output must end in .txt, .json, .svg, not t.png"),
        (["3", "-o", "t.svg", "--format", "json"], "--format must be svg for t.svg, not json"),
        (["3", "-o", "no/t.svg"], "no/t.svg: folder no does not exist"),
        (["3", "--format", "dot"], "--format must be one of tree, brackets, json, svg, not 'dot'"),
        (["3", "2", "--format", "svg"], "svg is for one input at a time"),
        (["3", "--beams", "0"], "--beams must be an integer of at least 1, not 0"),
        (["3", "--width", "0"], "--width must be an integer of at least 1, not 0"),
        (["3", "--file", "x"], "give inputs or --file, not both"),
        (["[MAX", "-o", "t.svg"], "input 1: "),
        ([" ", "-o", "t.svg"], "there is no tree to draw: empty text"),
        (["-3"], "there is no option '-3'; a text that begins with - goes after --"),
        (["--", "-3"], "input 1: token 1 '-3' is unknown"),
        (["t.txt"], "t.txt: there is no such file; if it is meant as a text, put it after --"),
        (["t.csv"], "t.csv is a table; if it is meant as a text, put it after --; --file reads a file with one input"),
        (["."], ". is a folder; if it is meant as a text, put it after --; --file reads a file with one input"),
        (["3", "--encoding", "utf-16"], "--encoding is for files, and none is given"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    rir: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(["parse", rir, *arguments], capsys)
    assert not list(Path().iterdir())


def test_long_inputs_are_folded_in_drawings_only(rir: str, capsys: pytest.CaptureFixture[str]) -> None:
    long = f"[MAX {'1 ' * 300}]"
    assert main(["parse", rir, long, "--width", "20"]) == 0
    shown = capsys.readouterr().out
    assert "… " in shown
    assert len(shown.splitlines()) < 100
    assert main(["parse", rir, long, "--depth", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 14
    assert main(["parse", rir, long, "--format", "brackets", "--width", "20"]) == 0
    assert capsys.readouterr().out.count("(") == 301


def test_pairs_show_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "logic", "ebt-grc", data={"task": "logic"})
    pair = "( a ( or b ) )\t( not a )"
    assert main(["parse", run, pair]) == 0
    shown = capsys.readouterr().out
    assert "side 1, tree 1 of" in shown
    assert "side 2, tree 1 of" in shown
    assert main(["parse", run, pair, "--format", "json"]) == 0
    assert [side[0]["leaves"] for side in json.loads(capsys.readouterr().out)["sides"]] == [7, 4]
    assert "two formulas, separated by a tab" in fails(["parse", run, "a"], capsys)
    assert "--trees needs gold trees, and task logic has none" in fails(
        ["evaluate", run, "--tests", "ops-2", "--trees"], capsys
    )


def test_encoders_without_trees_say_so(
    rir: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "grc", "grc")
    real = RvNN.encode
    monkeypatch.setattr(RvNN, "encode", lambda *a, **more: real(*a, **more)._replace(trees=None))
    assert f"encoder grc has no trees: `nestree predict {run}`" in fails(["parse", run, "3"], capsys)
    assert "--trees needs trees, and encoder grc has none" in fails(
        ["evaluate", run, "--tests", "near-iid", "--trees"], capsys
    )


def test_trees_are_scored_when_asked(rir: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", rir, "--tests", "near-iid", "--limit", "5"]
    assert main([*arguments, "--trees"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("bracket F1", "operator recall", "random", "balanced", "limit"))
    (entry,) = json.loads((Path(rir) / "evaluation.json").read_text())["results"]
    assert set(entry["trees"]) == {"model", "random", "left", "right", "balanced", "limit"}
    assert all(0 <= score["f1"] <= 1 for score in entry["trees"].values())
    assert entry["trees"]["model"]["f1"] <= entry["trees"]["limit"]["f1"]
    assert main(arguments) == 0
    assert "bracket F1" not in capsys.readouterr().out


def test_every_task_names_its_tokens() -> None:
    listops, logic = TASKS["listops"]().open(), TASKS["logic"]().open()
    assert listops.words(*listops.encode(EXPRESSION)) == WORDS
    assert logic.words(logic.encode("( not a )", "b")[0]) == ["(", "not", "a", ")"]
    assert words_of(encode_text("a é", "byte")) == ["a", " ", "\\xc3", "\\xa9"]
    vocabulary = Vocabulary(("good", "film"))
    assert words_of(encode_text("Good odd film", "word", vocabulary), vocabulary) == ["good", "<unknown>", "film"]
