"""`nestree train classify` on a table without a header, and `nestree predict` on tables of every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from nestree.cli.main import main
from nestree.tasks.text.own import OwnOptions

TINY = [
    *["--encoder.dim", "8", "--encoder.beam_size", "2", "--model.head_hidden", "8", "--data.batch", "8"],
    *["--trainer.threads", "1", "--trainer.devices", "1", "--trainer.max_steps", "2", "--trainer.validate_every", "2"],
]
FRAME = pandas.DataFrame(
    {"text": [f"a {('dull', 'fine')[n % 2]} film{', really' * (n % 3)}, {n}" for n in range(20)], "label": [1, 5] * 10}
)


def trained(run: str, *arguments: str) -> OwnOptions:
    from nestree.runs import Run

    assert main(["train", "classify", *TINY, "--run", run, *arguments]) == 0
    data = Run(run).config.data
    assert isinstance(data, OwnOptions)
    return data


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_every_format_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_excel("reviews.xlsx", index=False)
    FRAME.to_parquet("reviews.parquet")
    for n, (text, label) in enumerate(FRAME.itertuples(index=False)):
        Path(f"films/{label}").mkdir(parents=True, exist_ok=True)
        Path(f"films/{label}/{n:02}.txt").write_text(text)
    trained("run", "--data.train", "reviews.xlsx")
    readers: dict[str, Callable[..., pandas.DataFrame]] = {"xlsx": pandas.read_excel, "parquet": pandas.read_parquet}
    found = {}
    for name, kind in (("reviews.xlsx", "xlsx"), ("reviews.parquet", "parquet"), ("films", "csv"), ("films", "")):
        capsys.readouterr()
        output = ["-o", f"out.{kind}"] if kind else []
        assert main(["predict", "run", name, *output, "--overwrite"]) == 0
        captured = capsys.readouterr()
        assert "20 rows" in captured.err
        assert "on the 20 rows with a label in 'label'" in captured.err
        if not kind:
            assert captured.out == Path("out.csv").read_text()
            continue
        found[name] = readers.get(kind, pandas.read_csv)(f"out.{kind}")
        assert found[name].columns.tolist() == [
            *(["text", "label", "file"] if name == "films" else ["text", "label"]),
            *["prediction", "probability"],
        ]
    assert found["reviews.xlsx"]["text"].tolist() == FRAME["text"].tolist()
    pandas.testing.assert_frame_equal(found["reviews.parquet"][["text", "label"]], FRAME)
    guesses = [found[name].sort_values("text")["prediction"].astype(str).tolist() for name in found]
    assert guesses[0] == guesses[1] == guesses[2]
    assert main(["predict", "run", "reviews.xlsx", "-o", "xlsx.csv"]) == 0
    assert pandas.read_csv("xlsx.csv")["label"].tolist() == FRAME["label"].tolist()
    assert main(["predict", "run", "reviews.xlsx", "-o", "out.tsv"]) == 2
    assert "--output must end in .xlsx" in capsys.readouterr().err


@pytest.mark.parametrize("delimiter", ["\\t", "tab", "\t", None])
def test_a_table_without_a_header_is_learnt_from(delimiter: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_csv("x.csv", sep="\t", header=False, index=False)
    named = [] if delimiter is None else ["--data.delimiter", delimiter]
    columns = ["--data.header", "false", "--data.text", "1", "--data.label", "2"]
    data = trained("run", "--data.train", "x.csv", *columns, *named)
    assert (data.header, data.text, data.label) == (False, "1", "2")
    capsys.readouterr()
    assert main(["predict", "run", "x.csv", "-o", "out.csv"]) == 0
    assert "on the 20 rows with a label in '2'" in capsys.readouterr().err
    found = pandas.read_csv("out.csv", sep="\t", header=None)
    assert found[[0, 1]].to_numpy().tolist() == FRAME.to_numpy().tolist()
    assert found.shape == (20, 4)


def test_options_are_named_as_flags(capsys: pytest.CaptureFixture[str]) -> None:
    FRAME.to_csv("x.csv", header=False, index=False)
    assert main(["train", "classify", "--data.train", "x.csv"]) == 2
    assert capsys.readouterr().err == (
        "nestree: x.csv: there is no column 'text', and the first row looks like data (a dull film, 0, 1); "
        "--data.header false reads it so; columns are then 1 to 2\n"
    )
