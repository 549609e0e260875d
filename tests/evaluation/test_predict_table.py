"""`nestree train classify` on a user's table, and `nestree predict` on another, as a user meets them."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.runs import Run

TINY = [
    *["--encoder.dim", "8", "--encoder.beam_size", "2", "--model.head_hidden", "8", "--data.batch", "8"],
    *["--trainer.threads", "1", "--trainer.devices", "1", "--trainer.max_steps", "4", "--trainer.validate_every", "2"],
]


def rows(count: int = 60) -> list[tuple[str, str]]:
    rng = random.Random(0)
    words = {"1": ["awful", "dull"], "5": ["great", "fine"]}
    labels = [rng.choice("15") for _ in range(count)]
    return [(f'a "{rng.choice(words[label])}" film,\nnumber {n}', label) for n, label in enumerate(labels)]


def write(name: str, *, mark: str = "") -> None:
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        file.write(mark)
        csv.writer(file).writerows([("review", "stars"), *rows()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and a run on it."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NESTREE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        write("reviews.csv")
        arguments = ["--data.train", "reviews.csv", "--data.text", "review", "--data.label", "stars", "--run", "run"]
        assert main(["train", "classify", *TINY, *arguments]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The run, seen from another folder."""
    monkeypatch.setenv("NESTREE_CACHE", str(trained / "cache"))
    monkeypatch.chdir(tmp_path)
    return str(trained / "run")


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("nestree: ")
    assert error.count("\n") == 1
    return error


def test_classes_and_their_shares_are_told_and_kept(run: str, trained: Path) -> None:
    kept = json.loads((trained / "run" / "task.json").read_text())
    assert kept["labels"] == ["1", "5"]
    assert "awful" in kept["words"]
    assert Run(run).config.data.train == str(trained / "reviews.csv")  # type: ignore[attr-defined]


def test_a_run_is_evaluated_and_resumed(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", run]) == 0
    captured = capsys.readouterr()
    assert "no test available: evaluating on validation" in captured.err
    assert "validation" in captured.out
    assert main(["train", "--resume", run, "--trainer.max_steps", "6"]) == 0
    assert "finished: reached 6 steps" in capsys.readouterr().err


def test_texts_need_no_data(run: str, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "reviews.csv").rename(trained / "moved.csv")
    try:
        assert main(["predict", run, "a great film", "see reviews.csv"]) == 0
        assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == [
            "a great film",
            "see reviews.csv",
        ]
        said = fails(["evaluate", run, "--tests", "validation"], capsys)
        assert f"--data.train {trained}/reviews.csv: there is no such file; " in said
        assert "if it was moved, change the path in the run's config.yaml" in said
    finally:
        (trained / "moved.csv").rename(trained / "reviews.csv")


def test_a_table_comes_back_with_two_more_columns(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("new.csv", mark="\ufeff")
    assert main(["predict", run, "new.csv", "-o", "out.csv"]) == 0
    assert "new.csv: 60 rows, written to out.csv" in capsys.readouterr().err
    with Path("out.csv").open(newline="", encoding="utf-8-sig") as file:
        header, *found = csv.reader(file)
    assert header == ["review", "stars", "prediction", "probability"]
    assert [tuple(row[:2]) for row in found] == rows()
    assert {row[2] for row in found} <= {"1", "5"}
    assert main(["predict", run, *(text for text, _ in rows()), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row[2] for row in found] == [answer["label"] for answer in answers]
    assert [float(row[3]) for row in found] == pytest.approx([answer["probability"] for answer in answers], abs=2e-6)


def test_parts_of_a_table_are_answered_alike(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("new.csv")
    assert main(["predict", run, "new.csv"]) == 0
    whole = list(csv.reader(capsys.readouterr().out.splitlines()))
    monkeypatch.setattr("nestree.evaluation.predict_table.ROWS", 7)
    assert main(["predict", run, "new.csv"]) == 0
    parts = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert [row[:-1] for row in parts] == [row[:-1] for row in whole]


def test_json_lines_stay_json_lines(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ['{"review": "a great film", "n": 1.50}', '{"n": [1, 2], "review": null }']
    Path("new.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert main(["predict", run, "new.jsonl.gz", "-o", "out.jsonl.gz"]) == 0
    found = gzip.decompress(Path("out.jsonl.gz").read_bytes()).decode().splitlines()
    assert found[0].startswith('{"review": "a great film", "n": 1.50, "prediction": "')
    assert [list(json.loads(line)) for line in found] == [
        ["review", "n", "prediction", "probability"],
        ["n", "review", "prediction", "probability"],
    ]


def test_columns_of_these_names_are_left_alone(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.tsv").write_text("prediction\ttext\nmine\ta great film\n")
    assert main(["predict", run, "new.tsv", "--text", "text"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "prediction\ttext\tprediction-2\tprobability"
    assert captured.out.splitlines()[1].startswith("mine\ta great film\t")
    assert "has a column prediction already; the new one is prediction-2" in captured.err


def test_right_answers_are_counted_where_there_are_labels(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text("review,stars\na great film,5\na dull film,\na film,other\n")
    assert main(["predict", run, "new.csv"]) == 0
    captured = capsys.readouterr()
    answer = next(csv.reader([captured.out.splitlines()[1]]))[2]
    assert f"accuracy {float(answer == '5'):.4f} on the 1 rows with a label in 'stars'" in captured.err


def test_what_the_model_has_learnt_from_is_said(run: str, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", run, str(trained / "reviews.csv"), "-o", "out.csv"]) == 0
    assert "; the model was trained on this table" in capsys.readouterr().err


def test_nothing_is_lost_and_nothing_left_half_written(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("new.csv")
    Path("out.csv").write_text("mine")
    table = ["predict", run, "new.csv"]
    assert "out.csv exists already: name another file; --overwrite replaces it" in fails(
        [*table, "-o", "out.csv"], capsys
    )
    assert Path("out.csv").read_text() == "mine"
    assert main([*table, "--overwrite", "--output=out.csv"]) == 0
    assert Path("out.csv").read_text().startswith("review,stars,prediction")
    assert "must be another file than the table itself" in fails([*table, "-o", "new.csv", "--overwrite"], capsys)
    assert "must be a file in a folder that exists" in fails([*table, "-o", "no/out.csv"], capsys)
    assert "--output must end in .csv" in fails([*table, "-o", "out.jsonl"], capsys)
    with Path("new.csv").open("a") as file:
        file.write("one,2,3\n")
    assert "new.csv:122: 3 columns, the header has 2" in fails([*table, "-o", "bad.csv"], capsys)
    assert sorted(path.name for path in Path().iterdir()) == ["new.csv", "out.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nwe.csv"], "nwe.csv: there is no such file; did you mean new.csv?"),
        (["new.csv", "more"], "new.csv: give one table, and no other inputs"),
        (["new.csv", "--json"], "--json is for single inputs; the table new.csv keeps its format"),
        (
            ["new.csv", "--text", "reviw"],
            "--text must name a column of new.csv: there is no column 'reviw'; did you mean review?",
        ),
        (["new.csv", "--text2", "stars"], "--text2 must be left out: inputs of own are single texts"),
        (["new.csv", "--encoding", "x"], "--encoding must be one that Python knows"),
        (["new.csv", "--encoding", "utf-16"], "new.csv:1: not UTF-16"),
        (["text", "-o", "x"], "--output is for tables"),
    ],
)
def test_what_the_user_got_wrong(
    run: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("new.csv")
    assert message in fails(["predict", run, *arguments], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data.train must name the table to train on"),
        (["--data.train", "nwe.csv"], "--data.train nwe.csv: there is no such file; did you mean new.csv?"),
        (
            ["--data.train", "new.csv"],
            "--data.text must name a column of new.csv: there is no column 'text'; there are review, stars",
        ),
        (["--data.validation_share", "2"], "--data.validation_share must be a number above 0"),
        (["--data.trian", "new.csv"], "there is no option '--data.trian'; did you mean --data.train"),
    ],
)
def test_a_training_that_cannot_begin_is_one_line_and_leaves_nothing(
    run: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("new.csv")
    assert message in fails(["train", "classify", *TINY, *arguments, "--run", "mine"], capsys)
    assert not Path("mine").exists()


def test_options_are_named_as_this_command_has_them(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_bytes(b"review\na\ncaf\xe9\n")
    said = fails(["predict", run, "new.csv", "-o", "out.csv"], capsys)
    assert said == "nestree: new.csv:3: not UTF-8; --encoding cp1252 fits the whole file\n"
    assert main(["predict", run, "new.csv", "-o", "out.csv", "--encoding", "latin-1"]) == 0
    assert b"caf\xe9," in Path("out.csv").read_bytes()


def test_uneven_classes_are_told(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 15 == 0]}\n" for n in range(60)))
    assert main(["train", "classify", *TINY, "--data.train", "new.csv", "--run", "mine"]) == 0
    told = capsys.readouterr().err
    assert "always answering 'a' is correct on" in told
    assert "'a' is 50 of 54 training examples: compare accuracy with that" in told
    assert "classes with fewer than 10 training examples: 'b' 4" in told
