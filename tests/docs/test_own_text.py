"""The walk in docs/own-text.md, from a table to a served model: its ten commands run in order, on a tiny model."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from nestree.cli.main import main
from nestree.comparison.plan import REFERENCES
from nestree.recipes import recipe_names

PAGE = (Path(__file__).parents[2] / "docs" / "own-text.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^## (\d+)\. .*?^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)

SMALL = "--data.batch 16 --encoder.dim 8 --model.head_hidden 8 --trainer.threads 1 --trainer.devices 1"
APPENDED = {
    "train": f"{SMALL} --data.train_size 160 --trainer.max_epochs 1",
    "compare": f"{SMALL} --budget 64seq",
    "serve": "--port 0",
}
"""Options at the end of a command, by subcommand, so that it takes seconds."""


def words(command: str) -> list[str]:
    """A command's words, without ``nestree``, with those that are appended here."""
    program, subcommand, *rest = shlex.split(command.replace("\\\n", ""))
    assert program == "nestree"
    return [subcommand, *rest, *APPENDED.get(subcommand, "").split()]


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def request() -> bytes:
    """The body that the page sends with curl."""
    (body,) = re.findall(r"^curl .*\\\n  -d '(.*)'$", PAGE, flags=re.MULTILINE)
    return body.encode()


def served(command: str) -> dict[str, object]:
    """Start a server, send it the page's request, end it, and return what it answered."""
    asked = [sys.executable, "-m", "nestree", *words(command)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            (address,) = re.findall(r"http://[\w.:]+", server.stdout.readline())
            body = urllib.request.Request(f"{address}/api/read", request(), {"content-type": "application/json"})
            with urllib.request.urlopen(body, timeout=60) as answer:
                return json.load(answer)
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=60) == 130


def test_the_walk_has_ten_commands() -> None:
    assert [number for number, _ in STEPS] == [str(number) for number in range(1, 11)]
    assert all(step.count("nestree ") == 1 for _, step in STEPS[1:])


@pytest.mark.timeout(900)  # five processes and four libraries are started, on what may be a busy core
def test_every_command_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    write, train, evaluate, report, predict, abstain, explain, compare, share, serve = (step for _, step in STEPS)

    def run(command: str) -> tuple[str, str]:
        capsys.readouterr()
        assert main(words(command)) == 0
        shown = capsys.readouterr()
        return shown.out, shown.err

    subprocess.run(["bash", "-e", "-c", write], check=True)
    assert (len(table("reviews.csv")), len(table("new.csv"))) == (1000, 200)
    (sample,) = re.findall(r"^```text\n(text,label\n.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert Path("reviews.csv").read_text().startswith(sample)

    said = run(train)[1]
    assert "labels      2: " in said
    assert "of the tokens are known" in said
    assert Path("runs/reviews/weights.safetensors").is_file()

    assert re.search(r"bag of words \(TF-IDF.* trained on 160\s+texts\).*differs\s+by", run(evaluate)[0], re.DOTALL)

    run(report)
    page = Path("runs/reviews/report.html").read_text(encoding="utf-8")
    assert all(part in page.lower() for part in ("confusion", "reliability", "mistakes"))

    assert "accuracy 0." in run(predict)[1]
    found = table("predicted.csv")
    assert [(row["text"], row["label"]) for row in found] == [(row["text"], row["label"]) for row in table("new.csv")]
    assert {row["prediction"] for row in found} <= {"good", "bad"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in found)

    answers, remarks = run(abstain)
    assert [line.split("\t")[0] for line in answers.splitlines()] == ["unsure"] * 3
    assert "of the tokens are known" in remarks

    run(explain)
    assert all(word in Path("explained.html").read_text(encoding="utf-8") for word in ("dull", "poor", "good", "bad"))

    run(compare)
    rows = re.findall(r"^\| ([\w-]+) \| \d", Path("compared/comparison.md").read_text(), flags=re.MULTILINE)
    assert rows == ["classify", "classify-bilstm", "bow-sklearn", "baseline"]

    run(share)
    check_pipeline("reviews-hf")

    answer = served(serve)
    assert answer["label"] in ("good", "bad")


def check_pipeline(folder: str) -> None:
    """Check that transformers answers with a folder's model."""
    from transformers import pipeline

    import nestree.huggingface  # noqa: F401 (registers the model)

    (answer,) = pipeline("text-classification", model=folder)("the plot is not dull")
    assert answer["label"] in ("good", "bad")


def test_the_comparison_of_all_models_has_only_what_exists() -> None:
    (command,) = re.findall(r"^nestree compare ([^`]*?) --budget 150s", PAGE, flags=re.MULTILINE)
    contenders = command.replace("\\\n", "").split()
    assert len(contenders) > 5
    assert set(contenders) <= {*recipe_names(), *REFERENCES}
