"""``nestree report``: the page about runs."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nestree.cli.main import main
from nestree.evaluation.evaluate import Result, Share
from nestree.evaluation.record import record
from nestree.reports.gallery import gallery, spread
from nestree.reports.page import names, render_page
from nestree.reports.plots import inline_svg, training_figure
from nestree.runs import Run
from nestree.tasks.listops import ListOps
from nestree.trees.scores import TreeScore
from support.training import saved_run


def result(test: str, length: float, correct: int, *, trees: bool = False) -> Result:
    strata = {
        "length": [Share("11-20", correct, 40)],
        "root operator": [Share("[MIN", correct // 2, 20), Share("[SM", correct - correct // 2, 20)],
        "depth": [Share("1", correct, 40)],
    }
    scores = {kind: TreeScore(0.5, 0.25) for kind in ("model", "random", "left", "right", "balanced", "limit")}
    shown = scores if trees else None
    return Result(test, None, Share(test, correct, 40), strata, length, 2.0, 0.25, "generated", trees=shown)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs with results, logs and trees, one of them with a name that would be markup."""
    folder = tmp_path_factory.mktemp("runs")
    rir = saved_run(folder / "rir", "rir-ebt-grc", encoder={"arity": 4, "beam_size": 2})
    odd = saved_run(folder / "<b>&odd", "ebt-grc", encoder={"beam_size": 2})
    for run, correct in ((rir, 31), (odd, 22)):
        record(run, result("near-iid", 22, correct, trees=run is rir), seed=0)
        record(run, result("200-300", 250, correct - 10), seed=0)
        logs = run.logs / "csv" / "000"
        logs.mkdir(parents=True)
        (logs / "metrics.csv").write_text("step,loss,validation_accuracy\n0,2.0,\n1,1.5,0.25\n2,1.0,0.5\n")
        run.note(sequences_per_second=123.4, peak_memory_bytes=5 * 10**8, train_longest=100, minutes=1.0)
    return rir, odd


@pytest.fixture(autouse=True)
def _few_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = ListOps.load
    monkeypatch.setattr(ListOps, "load", lambda task, split, size=None: load(task, split, size=min(size or 24, 24)))
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def page(runs: tuple[Run, Run]) -> str:
    return render_page(runs, trees=0)


def parsed(page: str) -> ElementTree.Element:
    """The page as XML, which its author writes it as: what does not pair up fails."""
    assert page.lstrip().startswith("<!doctype html>")
    return ElementTree.fromstring(page.lstrip().removeprefix("<!doctype html>"))


def text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def table(page: str, caption: str) -> list[list[str]]:
    (found,) = [table for table in parsed(page).iter("table") if text(table[0]) == caption]
    return [[text(cell) for cell in row] for row in found.iter("tr")]


def test_the_page_is_well_formed_and_needs_nothing(page: str) -> None:
    tree = parsed(page)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in tree.iter():
        for name in ("href", "{http://www.w3.org/1999/xlink}href", "aria-labelledby"):
            for target in (element.get(name) or "").split():
                assert target.removeprefix("#") in ids, target
        assert element.get("src") is None
    assert not list(tree.iter("script"))
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {f"#{name}" for name in ids}


def test_headings_and_tables_can_be_read_aloud(page: str) -> None:
    tree = parsed(page)
    levels = [int(element.tag[1]) for element in tree.iter() if re.fullmatch(r"h\d", str(element.tag))]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    for found in tree.iter("table"):
        assert found[0].tag == "caption"
        assert all(cell.get("scope") for cell in found.iter("th"))
    for chart in tree.iter("{http://www.w3.org/2000/svg}svg"):
        if chart.get("aria-hidden") == "true":  # a swatch of a legend, whose text stands behind it
            assert "swatch" in str(chart.get("class"))
            continue
        assert chart.get("role") == "img"
        assert text(chart[0])
        assert text(chart[1])
    assert tree.get("lang") == "en"


def test_runs_stand_side_by_side(page: str, runs: tuple[Run, Run]) -> None:
    header, *rows = table(page, "Tests")
    accuracy = header.index("accuracy %")
    assert [(row[0], row[1], row[accuracy]) for row in rows] == [
        ("rir", "near-iid", "77.5"),
        ("rir", "200-300", "52.5"),
        ("<b>&odd", "near-iid", "55.0"),
        ("<b>&odd", "200-300", "30.0"),
    ]
    assert ["rir", "training", "", "123.4", "0.50 GB"] in table(
        page, "Measured while training and evaluating, each on its own machine"
    )
    assert ["rir", "near-iid", "22", "20.0", ""] in table(
        page, "Measured while training and evaluating, each on its own machine"
    )
    options = {row[0]: row[1:] for row in table(page, "Options")}
    assert options["encoder.name"] == ["rir-ebt-grc", "ebt-grc"]
    assert options["encoder.arity"] == ["4", ""]
    assert [
        row[0] for row in table(page, "Most probable trees, and trees that need no training, compared with gold trees")
    ][1:] == ["rir", "rir"]
    assert "By root operator" in page
    assert "<b>" not in page
    again = text(next(element for element in parsed(page).iter("section") if element.get("aria-labelledby") == "again"))
    assert all(part in again for part in ("nestree train tiny", "seed3", "python 3.", "recipe: tiny"))


def test_a_run_alone_needs_no_column_for_it(runs: tuple[Run, Run]) -> None:
    header, *rows = table(render_page(runs[:1], trees=0), "Tests")
    assert header == ["test", "examples", "mean length", "accuracy %", "95 % interval", "baseline %"]
    assert [row[0] for row in rows] == ["near-iid", "200-300"]


def test_a_chart_says_which_tests_and_how_many_examples(page: str) -> None:
    captions = [text(caption) for caption in parsed(page).iter("figcaption")]
    assert captions[0] == "Length: 40 examples each of near-iid, 200-300. Bars are 95 % Wilson intervals."
    assert captions[1] == "Each panel combines its tests. Length: 40 examples each of near-iid, 200-300."


def test_tests_stand_as_they_are_drawn(runs: tuple[Run, Run], tmp_path: Path) -> None:
    run = Run(shutil.copytree(runs[0].path, tmp_path / "more"))
    for test, length in (("args-10", 30.0), ("10000", 9000.0), ("lra", 25.0)):
        record(run, result(test, length, 20), seed=0)
    page = render_page([run], trees=0)
    assert [row[0] for row in table(page, "Tests")][1:] == ["near-iid", "200-300", "10000", "args-10", "lra"]
    charts = re.findall(r'<svg role="img" class="chart".*?</svg>', page, flags=re.DOTALL)
    assert len(charts) == 4 * 3 + 1  # a panel each for length, arguments and the Arena; and the training


def test_charts_take_the_colours_of_the_page(page: str) -> None:
    charts = re.findall(r'<svg role="img" class="chart".*?</svg>', page, flags=re.DOTALL)
    assert len(charts) == 5  # accuracy, three strata, training
    for chart in charts:
        assert not re.search(r"#[0-9a-f]{6}\b", chart)
        assert "var(--c1)" in chart
    swatches = re.findall(r'<svg aria-hidden="true" class="swatch".*?</svg>', page, flags=re.DOTALL)
    assert not any(re.search(r"#[0-9a-f]{6}\b", swatch) for swatch in swatches)
    assert len(swatches) == 2 + 3 + 3 * 2  # both runs, baseline, claim and training range; both in each stratum
    history = [{"step": 0.0, "loss": 1.0, "validation_accuracy": 0.5}]
    first, again = (inline_svg(training_figure({"a": history}), name="x", title="<t>", about="&") for _ in range(2))
    assert first == again
    assert text(ElementTree.fromstring(first)[0]) == "<t>"


def test_a_run_without_results_says_how_to_get_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved_run(tmp_path / "bare", "grc")
    run.weights.unlink()
    assert main(["report", str(run.path)]) == 0
    assert capsys.readouterr().out == f"{run.path}/report.html\n"
    shown = text(parsed((run.path / "report.html").read_text(encoding="utf-8")))
    assert f"bare has no results of its current weights yet: run nestree evaluate {run.path}." in shown
    assert "has no weights yet" in shown  # where the trees would be
    assert "There are no training logs." in shown


def test_the_gallery_shows_right_and_wrong_trees(runs: tuple[Run, Run]) -> None:
    specimens, read = gallery(runs[0], "near-iid", each=2)
    assert read == 24
    assert [one.right for one in specimens] == sorted((one.right for one in specimens), reverse=True)
    assert sum(not one.right for one in specimens) == 2
    for one in specimens:
        assert one.gold == str(int(ListOps().load("near-iid").labels[_place(one.words[0])]))
    page = render_page([runs[0]], trees=2)
    trees = re.findall(r'class="nestree-tree" role="img"', page)
    assert len(trees) == len(specimens)
    parsed(page)


def test_specimens_are_spread_from_short_to_long(runs: tuple[Run, Run]) -> None:
    (known, *_), _ = gallery(runs[0], "near-iid", each=1)
    made = [replace(known, words=(("1",) * tokens,)) for tokens in (500, 30, 9, 3, 20, 60)]
    assert [one.tokens for one in spread(made, 3)] == [9, 30, 60]  # of 9, 20, 30, 60
    assert [one.tokens for one in spread(made, 6)] == [3, 9, 20, 30, 60, 500]
    assert [one.tokens for one in spread(made[:1], 3)] == [500]


def _place(words: tuple[str, ...]) -> int:
    task = ListOps()
    examples = task.load("near-iid")
    return next(row for row in range(len(examples)) if tuple(task.words(examples.sequences(row)[0])) == words)


def test_nothing_is_overwritten_unless_told(runs: tuple[Run, Run], capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(run.path) for run in runs]
    assert main(["report", *both, "--trees", "0"]) == 0
    assert capsys.readouterr().out == "report.html\n"
    before = Path("report.html").read_bytes()
    assert b"This page: <code>nestree report" in before
    assert main(["report", *both, "--trees", "0"]) == 2
    assert (
        capsys.readouterr().err == "nestree: report.html exists already: name another file; --overwrite replaces it\n"
    )
    assert Path("report.html").read_bytes() == before
    assert main(["report", both[0], "--trees", "0", "-o", "report.html", "--overwrite"]) == 0
    assert Path("report.html").read_bytes() != before
    assert [path.name for path in Path().iterdir() if path.is_file()] == ["report.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.pdf"], "--output must end in .html, not x.pdf"),
        (["-o", "no/x.html"], "no/x.html: folder no does not exist"),
        (["--trees", "-1"], "--trees must be an integer of at least 0, not -1"),
        (["--markdown", "-o", "x.html"], "--markdown writes report.md into the folder of one run"),
        (["nowhere"], "nowhere is not a run folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    runs: tuple[Run, Run], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs[0].path), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(Path().glob("*.*"))


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    assert names([Run("a/x"), Run("b/x"), Run("c/y")]) == [str(tmp_path / "a/x"), str(tmp_path / "b/x"), "y"]


def test_results_of_other_weights_do_not_count(runs: tuple[Run, Run], tmp_path: Path) -> None:
    copy = Run(shutil.copytree(runs[0].path, tmp_path / "copy"))
    copy.weights.write_bytes(copy.weights.read_bytes() + b" ")
    assert "copy has no results of its current weights yet" in render_page([copy], trees=0)
