"""A result of a model that had a curriculum says so, wherever it stands beside one of a model that had none."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from nestree.comparison.budget import Budget
from nestree.comparison.contender import Contender
from nestree.comparison.plan import Comparison, Plan
from nestree.comparison.results_table import screen_table
from nestree.comparison.rows import rows
from nestree.comparison.run_plan import carry_out
from nestree.evaluation.evaluate_run import evaluate_run
from nestree.reports.card import model_card, training_line
from nestree.reports.markdown import protocol_about, write_report
from nestree.reports.page import render_page
from nestree.runs import Run
from nestree.sweep import trials_table as sweep_table
from support.training import QUIET, config, saved_run, train_here

LABEL = "generated, curriculum sums-first"
LEFT = [
    {"stage": "sums", "attempt": 1, "step": 1_090, "minutes": 0.081, "accuracy": 0.093, "how": "again"},
    {"stage": "sums", "attempt": 2, "step": 2_170, "minutes": 0.16, "accuracy": 0.906, "how": "mark"},
    {"stage": "flat", "attempt": 1, "step": 3_000, "minutes": 0.3, "accuracy": 0.5, "how": "time"},
]
ROWS = [
    ["sums", "1,090", "0.08", "9.3", "started again"],
    ["sums, attempt 2", "2,170", "0.16", "90.6", "reached its mark"],
    ["flat", "3,000", "0.30", "50.0", "ran out of time"],
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def taught(tmp_path: Path) -> Run:
    """A run with a curriculum and a result."""
    run = saved_run(tmp_path / "taught", data={"curriculum": "sums-first"})
    run.write_config(replace(run.config, data=run.config.data.settled()))
    run.note(curriculum=LEFT)
    evaluate_run(run, ["near-iid"], limit=4, console=QUIET)
    return run


@pytest.fixture
def plain(tmp_path: Path) -> Run:
    """One without."""
    run = saved_run(tmp_path / "plain")
    evaluate_run(run, ["near-iid"], limit=4, console=QUIET)
    return run


def test_a_label_is_spelt_out() -> None:
    assert protocol_about("generated") == "generated with the published sampling procedure, not the official files"
    assert protocol_about("generated, curriculum sums-first, curriculum own") == (
        "generated with the published sampling procedure, not the official files; trained with curriculum sums-first "
        "and own, not only on the published distribution"
    )


def test_the_report_says_so_and_when_stages_were_left(taught: Run, plain: Run) -> None:
    text = write_report(taught).read_text()
    assert "trained with curriculum sums-first" in text
    assert f"| near-iid | {LABEL} |" in text
    assert "Curriculum: when each stage ended." in text
    for row in ROWS:
        assert f"| {' | '.join(row)} |" in text
    assert "urriculum" not in write_report(plain).read_text().replace("curriculum: none", "")


def test_the_page_says_so_for_each_run(taught: Run, plain: Run) -> None:
    page = render_page([taught, plain], trees=0)
    assert (
        "taught: Data: generated with the published sampling procedure, not the official files; trained with curriculum"
        in page
    )
    assert '<th scope="row">taught, curriculum sums-first</th>' in page
    assert '<th scope="row">plain</th>' in page
    assert f"<td>{LABEL}</td>" in page
    assert page.count("taught, curriculum sums-first") > 2  # in the charts' legends, too
    assert "Curriculum of taught: when each stage ended" in page
    assert "Curriculum of plain" not in page
    for row in ROWS:
        assert row[0] in page
        assert all(f"<td>{cell}</td>" in page for cell in row[1:])
    assert '<th scope="row">data.curriculum.sums</th><td>mark 0.95, ' in page


def test_the_card_says_so(taught: Run) -> None:
    card = model_card(taught)
    assert "trained with curriculum sums-first" in card
    assert "Curriculum: when each stage ended." in card
    assert "curriculum sums-first" in training_line(taught)


SHARED = (
    *("--encoder.dim=8", "--model.head_hidden=8", "--data.train_size=60", "--data.batch=8", "--data.validation_size=4"),
    *("--trainer.threads=1", "--trainer.devices=1"),
)


@pytest.fixture
def comparison() -> Comparison:
    """A recipe with and without a curriculum, compared."""
    contenders = [
        Contender.parse(f"{label}=listops-grc-quick:data.curriculum={name}")
        for label, name in (("a", "none"), ("b", "sums-first"))
    ]
    plan = Plan(tuple(contenders), Budget.parse("50seq"), SHARED, ("near-iid",), limit=4, command="nestree compare it")
    made = Comparison.begin(plan, "out", console=QUIET)
    assert carry_out(made, console=QUIET, train=train_here)
    return made


def test_a_comparison_says_so_in_the_row(comparison: Comparison) -> None:
    found = rows(comparison)
    assert [row.name for row in found] == ["a", "b, curriculum sums-first"]
    console = Console(file=StringIO(), width=200)
    console.print(screen_table(found, comparison.tests, title="", console=console))
    assert "b, curriculum sums-first" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    text = (comparison.path / "comparison.md").read_text()
    assert "| b, curriculum sums-first |" in text
    assert "Trained with a curriculum, not only on the published distribution: b." in text
    written = json.loads((comparison.path / "comparison.json").read_text())["rows"]
    assert [row["curricula"] for row in written] == [[], ["sums-first"]]
    assert written[1]["results"][0]["protocol"] == LABEL


def test_a_comparison_s_figures_are_kept_for_a_recipe(comparison: Comparison, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("keep", Path(__file__).parents[2] / "tools" / "keep_figures.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    kept = json.loads(tool.keep(comparison, "listops-rir-quick", tmp_path).read_text())
    assert kept["command"] == "nestree compare it"
    assert kept["accuracies"].keys() == {"a", "b, curriculum sums-first"}
    accuracy = rows(comparison)[0].results["near-iid"].total.accuracy
    assert kept["accuracies"]["a"] == {"near-iid": accuracy}
    assert kept["date"] == rows(comparison)[0].about["ended"][:10]
    with pytest.raises(ValueError, match="there is no recipe 'quick'"):
        tool.keep(comparison, "quick", tmp_path)


@pytest.mark.parametrize(
    ("curriculum", "space", "name"),
    [
        ("none", {}, "r"),
        ("sums-first", {}, "r, curriculum sums-first"),
        ("sums-first", {"data.curriculum": None}, "r"),  # it stands in a column then
    ],
)
def test_a_sweep_says_so_in_its_title(curriculum: str, space: dict[str, Any], name: str) -> None:
    made = SimpleNamespace(recipe="r", space=space, base=config(data={"curriculum": curriculum}))
    assert sweep_table._recipe(made) == name  # pyright: ignore[reportArgumentType]
