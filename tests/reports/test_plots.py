"""The report's pictures: which tests are in which panel, what stands beside them, and that no labels overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nestree.evaluation.evaluate import Result, Share
from nestree.reports.panel_plots import panel_figure, panels_figure, pool_figures
from nestree.reports.panels import Panel, Series, panels
from nestree.runs import Run
from nestree.tasks.listops import SPLITS, ListOps
from nestree.tasks.text import TextTask
from support.training import config

GROUPS = {
    "length": ["0-10", "11-20", *(f"{first}01-{first + 1}00" for first in range(1, 10)), "1001-2000", "10001-"],
    "root operator": ["[MAX", "[MED", "[MIN", "[SM"],
    "depth": [*"1234567", "8-9", "10-11", "12-14", "15-20", "21-"],
}


def result(test: str, length: float, *, correct: int = 30, examples: int = 40) -> Result:
    strata = {name: [Share(group, correct, examples) for group in groups] for name, groups in GROUPS.items()}
    return Result(test, None, Share(test, correct, examples), strata, length, 1.0, 0.25)


def run(folder: Path, **data: object) -> Run:
    made = Run(folder).begin(config("grc", data=dict(data)), command="test")
    made.note(train_longest=100)
    return made


def series(run: Run, tests: dict[str, float], count: int = 1) -> list[Series]:
    found = [result(test, length) for test, length in tests.items()]
    return [Series(f"series {number}", run, found, number) for number in range(count)]


LISTOPS = {
    "lra": 1030.0, "10000": 9100.0, "args-15": 590.0, "args-10": 450.0, "args-iid": 130.0, "near-iid": 41.0,
    **{f"{first}00-{first + 1}00": 100.0 * first + 43 for first in range(2, 10)},
}  # fmt: skip


@pytest.fixture(scope="module")
def listops(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("runs") / "listops")


def texts(figure: Figure) -> Iterator[Text]:
    figure.draw_without_rendering()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip():
            yield text


def assert_readable(figure: Figure) -> None:
    """No two labels overlap, and all are inside the figure."""
    boxes = {(text.get_text(), number): text.get_window_extent() for number, text in enumerate(texts(figure))}
    assert boxes
    for (one, first), (other, second) in combinations(boxes.items(), 2):
        assert not first.padded(-0.5).overlaps(second.padded(-0.5)), f"{one} overlaps {other}"
    for name, box in boxes.items():
        assert figure.bbox.padded(1).count_contains([(box.x0, box.y0), (box.x1, box.y1)]) == 2, f"{name} is cut off"


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def test_every_test_of_listops_is_in_its_panel(listops: Run) -> None:
    drawn = panels(series(listops, LISTOPS))
    assert [(panel.family.name, panel.tests) for panel in drawn] == [
        ("length", ("near-iid", *(f"{first}00-{first + 1}00" for first in range(2, 10)), "10000")),
        ("arguments", ("args-iid", "args-10", "args-15")),
        ("arena", ("lra",)),
    ]
    assert list(drawn[1].places.values()) == [5, 10, 15]
    assert drawn[0].places["10000"] == 9100
    assert [panel.trained for panel in drawn] == [100, 5, None]
    assert {split.family.name for split in SPLITS.values()} == {"length", "arguments", "arena"}


def test_only_panels_with_results_are_drawn(listops: Run) -> None:
    (panel,) = panels(series(listops, {"args-10": 450.0}))
    assert panel.family.name == "arguments"
    assert panels([]) == panels(series(listops, {})) == []


def test_near_iid_of_another_grammar_is_no_test_of_length(tmp_path: Path) -> None:
    tests = {"near-iid": 500.0, "200-300": 250.0, "args-10": 450.0}
    drawn = panels(series(run(tmp_path, max_args=10, depth=10), tests))
    assert [(panel.family.name, panel.tests, panel.trained) for panel in drawn] == [
        ("near-IID", ("near-iid",), None),
        ("length", ("200-300",), 100),
        ("arguments", ("args-10",), 10),
    ]


def test_other_tasks_have_panels_of_their_own(tmp_path: Path, listops: Run) -> None:
    logic = run(tmp_path / "logic", task="logic")
    (panel,) = panels(series(logic, {"ops-10": 60.0, "ops-2": 20.0, "ops-0": 5.0}))
    assert (panel.tests, list(panel.places.values())) == (("ops-0", "ops-2", "ops-10"), [0, 2, 10])
    assert (panel.family.axis, panel.trained) == ("operators", 6)
    arena = run(tmp_path / "arena", task="listops-lra")
    assert [panel.family.name for panel in panels(series(arena, {"test": 900.0}))] == ["arena"]
    reviews = run(tmp_path / "imdb", task="imdb")
    (panel,) = panels(series(reviews, {"contrast": 200.0, "test": 230.0, "gone": 10.0}))
    assert (panel.family.name, panel.tests) == ("tests", ("test", "contrast", "gone"))
    both = panels([*series(listops, {"args-10": 450.0}), *series(logic, {"ops-2": 20.0})])
    assert [panel.title.partition(":")[0] for panel in both] == ["listops", "logic"]


def test_a_task_whose_files_have_gone_has_a_panel_all_the_same(tmp_path: Path) -> None:
    logic = run(tmp_path / "logic", task="logic", path=str(tmp_path / "gone"))
    (panel,) = panels(series(logic, {"ops-2": 20.0}))
    assert (panel.family.name, panel.tests) == ("tests", ("ops-2",))


def line(figure: Figure, panel: int, height: float) -> list[tuple[float, float]]:
    """The ends of the horizontal lines at a height."""
    found = [(list(line.get_xdata()), set(line.get_ydata())) for line in figure.axes[panel].lines]
    return [(places[0], places[-1]) for places, heights in found if heights == {height} and len(places) == 2]


def test_the_published_claim_ends_where_it_is_made(tmp_path: Path, listops: Run) -> None:
    drawn = panels(series(listops, LISTOPS))
    figure = panels_figure(drawn)
    ((_, end),) = line(figure, 0, 90)
    assert end == 1000
    assert not any(line(figure, number, 90) for number in (1, 2))
    assert any("published for RIR: at least 90 %" in text for text in labels(figure))
    logic = panels(series(run(tmp_path, task="logic"), {"ops-2": 20.0}))
    assert not any("published" in text for text in labels(panels_figure(logic)))


def test_the_range_of_training_is_shaded_to_its_end(listops: Run) -> None:
    figure = panels_figure(panels(series(listops, LISTOPS)))
    ends = [max((patch.get_window_extent().x1 for patch in axes.patches), default=None) for axes in figure.axes]
    for axes, end, trained in zip(figure.axes, ends, (100, 5, None), strict=True):
        place = None if trained is None else axes.transData.transform((trained, 0))[0]
        assert end == pytest.approx(place)


@pytest.mark.parametrize("task", [ListOps, TextTask])
def test_the_baseline_is_called_what_the_task_calls_it(task: type[ListOps | TextTask], listops: Run) -> None:
    drawn = panels(series(listops, {"near-iid": 41.0}))
    # What it is called on texts depends on the answers.
    about = "the most common training label" if task is TextTask else task.baseline_about
    assert isinstance(about, str)
    assert f"always {about}" in labels(panels_figure(drawn, baseline=about))


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("longest", [200.0, 300.0, 1000.0, 9100.0])
def test_no_labels_overlap(listops: Run, count: int, longest: float) -> None:
    drawn = panels(series(listops, {test: length for test, length in LISTOPS.items() if length <= longest}, count))
    figure = panels_figure(drawn, baseline=ListOps.baseline_about, title="listops, 1 hour of training each")
    assert_readable(figure)
    for panel in drawn:
        assert_readable(panel_figure(panel))
    if count == 2:
        for stratum in GROUPS:
            for figure in pool_figures([panel.pooled(stratum) for panel in drawn], label=stratum):
                assert_readable(figure)


@pytest.mark.parametrize(
    "names", [["test"], ["test", "original", "original-validation", "mismatched"], list("abcdefgh")]
)
def test_names_of_own_tests_do_not_overlap(tmp_path: Path, names: Sequence[str]) -> None:
    reviews = run(tmp_path, task="imdb")
    drawn = panels(series(reviews, dict.fromkeys(names, 200.0)))
    assert set(drawn[0].tests) == set(names)
    assert_readable(panels_figure(drawn, baseline="the commonest label"))
    assert_readable(panel_figure(drawn[0]))


def test_operators_have_ticks_at_their_tests(tmp_path: Path) -> None:
    logic = run(tmp_path, task="logic")
    (panel,) = panels(series(logic, {f"ops-{count}": 5.0 * count for count in range(13)}))
    figure = panel_figure(panel)
    assert_readable(figure)
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == [str(count) for count in range(13)]


def test_several_series_at_a_place_stand_apart(listops: Run) -> None:
    panel: Panel = panels(series(listops, {"args-10": 450.0}, 3))[0]
    figure = panel_figure(panel)
    figure.draw_without_rendering()
    markers = [drawn.lines[0] for drawn in figure.axes[0].containers]
    places = [marker.get_transform().transform(marker.get_xydata())[0][0] for marker in markers]
    assert len({round(place) for place in places}) == 3
