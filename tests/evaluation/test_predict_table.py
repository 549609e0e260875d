"""`nestree train classify` on a user's table, and `nestree predict` on another, as a user meets them."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path

import pandas
import pytest

from nestree.cli.main import main
from nestree.evaluation import wilson
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


def test_labels_that_training_never_saw_count_as_wrong(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text("review,stars\na great film,5\na dull film,\na film,other\n a ,other\n,5\n")
    assert main(["predict", run, "new.csv"]) == 0
    captured = capsys.readouterr()
    answer = next(csv.reader([captured.out.splitlines()[1]]))[2]
    low, high = wilson(int(answer == "5"), 4)
    assert captured.err.splitlines() == [
        "new.csv: 5 rows",
        "1 row of 5 with an empty text: no label",
        f"accuracy {(answer == '5') / 4:.4f} on the 4 rows with a label in 'stars' "
        f"(95 % interval {low:.4f} to {high:.4f})",
        "2 rows with a label that was not in training ('other' 2): counted as wrong",
        "1 row with an empty text and a label: counted as wrong",
        "new.csv: 100.0% of the tokens are known",
    ]


@pytest.mark.parametrize("name", ["new.csv", "new.tsv", "new.jsonl"])
def test_every_row_has_one_answer_in_order(run: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a great film", "", "two\nlines,\tand a tab", " \t ", "dull"]
    if name == "new.tsv":
        texts[2] = texts[2].replace("\t", " ").replace("\n", " ")
        texts[3] = "  "
    written = [{"n": str(n), "review": text} for n, text in enumerate(texts)]
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        if name == "new.jsonl":
            file.write("".join(json.dumps(row) + "\n" for row in written))
        else:
            writer = csv.DictWriter(file, ["n", "review"], delimiter="\t" if name == "new.tsv" else ",")
            writer.writeheader()
            writer.writerows(written)
    assert main(["predict", run, name, "-o", f"out-{name}"]) == 0
    with Path(f"out-{name}").open(newline="", encoding="utf-8") as file:
        found = (
            [json.loads(line) for line in file]
            if name == "new.jsonl"
            else list(csv.DictReader(file, delimiter="\t" if name == "new.tsv" else ","))
        )
    assert [(row["n"], row["review"]) for row in found] == [(row["n"], row["review"]) for row in written]
    nothing = (None, None) if name == "new.jsonl" else ("", "")
    assert [(row["prediction"], row["probability"]) == nothing for row in found] == [False, True, False, True, False]
    capsys.readouterr()
    assert main(["predict", run, name, "--json"]) == 0
    alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row.pop("row") for row in alone] == [1, 2, 3, 4, 5]
    assert [row["label"] for row in alone] == [row["prediction"] or None for row in found]
    assert alone[1] == {"label": None, "probability": None, "reason": "empty text"}
    assert [one.label for one in Run(run).predict(texts)] == [row["label"] for row in alone]


@pytest.mark.parametrize("name", ["new.parquet", "new.xlsx", "new.xlsx#My sheet", "films"])
def test_so_has_every_row_of_other_formats(run: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a great film", "", None, "two\nlines"]
    frame = pandas.DataFrame({"n": range(4), "text": texts})
    if name == "films":
        Path(name).mkdir()
        for number, text in enumerate(texts):
            Path(f"films/{number}.txt").write_text(text or "", encoding="utf-8")
    elif name == "new.parquet":
        frame.to_parquet(name)
    else:
        frame.to_excel("new.xlsx", index=False, sheet_name="My sheet")
    suffix = {"films": ".csv"}.get(name, name[3:8])
    options = ["--text", "text", "--top", "1", "--probabilities"]
    assert main(["predict", run, name, "-o", f"out{suffix}", *options]) == 0
    read = {".csv": pandas.read_csv, ".xlsx": pandas.read_excel}.get(suffix, pandas.read_parquet)
    found = read(f"out{suffix}")
    for column in ("prediction", "probability", "top-1", "top-1-probability", "p(1)", "p(5)"):
        assert found[column].isna().tolist() == [False, True, True, False]
    capsys.readouterr()
    assert main(["predict", run, name, "--json", "--text", "text"]) == 0
    alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] is None for row in alone] == [False, True, True, False]


def test_the_table_has_what_else_is_asked_for(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text('review,p(5)\na great film,mine\n"",mine\n')
    assert main(["predict", run, "new.csv", "--probabilities", "--top", "2"]) == 0
    header, first, second = csv.reader(capsys.readouterr().out.splitlines())
    assert header == [
        *("review", "p(5)", "prediction", "probability"),
        *("top-1", "top-1-probability", "top-2", "top-2-probability", "p(1)", "p(5)-2"),
    ]
    assert first[2:4] == first[4:6]
    assert {first[4], first[6]} == {"1", "5"}
    assert float(first[8]) + float(first[9]) == pytest.approx(1, abs=1e-5)
    assert first[3] == max(first[8:], key=float)
    assert second == ["", "mine", *[""] * 8]
    assert main(["predict", run, "new.csv", "--json", "--probabilities", "--top", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["probabilities"] == {"1": float(first[8]), "5": float(first[9])}
    assert found["top"] == [{"label": first[2], "probability": float(first[3])}]


def test_below_the_threshold_there_is_no_label(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("new.csv")
    assert main(["predict", run, "new.csv", "--json"]) == 0
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    middle = sorted(row["probability"] for row in plain)[30] - 1e-6  # probabilities are rounded
    options = ["--threshold", str(middle), "--abstain", "-unsure"]
    assert main(["predict", run, "new.csv", *options]) == 0
    captured = capsys.readouterr()
    found = list(csv.DictReader(captured.out.splitlines(keepends=True)))
    sure = [row["probability"] >= middle for row in plain]
    expected = [row["label"] if given else "-unsure" for row, given in zip(plain, sure, strict=True)]
    assert [row["prediction"] for row in found] == expected
    assert {"-unsure"} < set(expected)
    unsure = expected.count("-unsure")
    assert f"{unsure} rows of 60 ({unsure / 60:.1%}) below the threshold of {middle:g}: the label '-unsure'" in (
        captured.err
    )
    right = sum(row["stars"] == label for row, label in zip(found, expected, strict=True))
    told = f"accuracy {right / (60 - unsure):.4f} on the {60 - unsure} rows at or above the threshold with a label"
    assert told in captured.err
    texts = [text for text, _ in rows()]
    answers = Run(run).predict(texts, threshold=middle, abstain="-unsure")
    assert [answer.label for answer in answers] == expected
    assert {answer.reason for answer in answers} == {None, "below the threshold"}
    Path("new.txt").write_text("a great film\n")
    assert main(["predict", run, "new.txt", "--threshold", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("\t0.")
    assert captured.err == "1 input of 1 (100.0%) below the threshold of 1: no label\n"


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
        (["new.csv", "more"], "new.csv is a file: give one file and no other inputs"),
        (["new.csv", "--", "more"], "new.csv is a file: give one file and no other inputs"),
        (["new.csv", "--json", "-o", "out.csv"], "--output must end in .jsonl, as with --json, not out.csv"),
        (["text", "--top", "3"], "--top must be at most 2, the number of labels, not 3"),
        (["text", "--top", "0"], "--top must be an integer of at least 1, not 0"),
        (["text", "--threshold", "0"], "--threshold must be a probability above 0 and at most 1, not 0.0"),
        (["text", "--threshold", "50"], "--threshold must be a probability above 0 and at most 1, not 50.0"),
        (["text", "--abstain", "unsure"], "--abstain is the label below a threshold, and none is given"),
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
