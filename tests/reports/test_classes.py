"""What the reports show of labels: pictures, tables, sentences, and the most confident mistakes."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from nestree.evaluation import Result, Share, evaluate
from nestree.evaluation.bag_of_words import BagOfWords
from nestree.evaluation.measures import ClassMeasures, measure_classes
from nestree.evaluation.record import record
from nestree.reports import class_tables
from nestree.reports.class_plots import confusion_figure, reliability_figure, shortened
from nestree.reports.class_tables import certainty, class_rows, detailed, pair_rows
from nestree.reports.markdown import code, write_report
from nestree.reports.page import render_page
from nestree.reports.tables import show
from nestree.runs import Run
from nestree.tasks.listops import ListOps
from support.training import saved_run

# Drawn here without what the reports do about scripts that the font lacks.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Glyph:UserWarning"),
    pytest.mark.filterwarnings("ignore:Matplotlib currently:UserWarning"),
]

LABELS = ("a very long name of a label", "$5 to $10", "<b>", "हिन्दी", "|", "数", "g", "two\nlines")


def measures(classes: int, examples: int = 300, *, missing: int | None = None, certain: bool = False) -> ClassMeasures:
    """Measures of random answers; no example has the label ``missing``."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, examples)
    labels[labels == missing] = 0
    logits = 3 * rng.normal(size=(examples, classes))
    logits[np.arange(examples), labels] += 40 if certain else 3
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = (LABELS * classes)[:classes] if classes <= len(LABELS) else [f"label {n}" for n in range(classes)]
    return measure_classes(found.astype(np.float32), labels, names=names)


def texts(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


CASES = {
    "2": measures(2),
    "7, one missing": measures(7, missing=3),
    "8": measures(8),
    "10": measures(10, 20_000),
    "15": measures(15, 20_000),
    "50": measures(50),
    "one example": measures(2, 1),
    "certain": measures(4, certain=True),
}


@pytest.mark.parametrize("case", CASES)
def test_pictures_can_be_read(case: str) -> None:
    confusion = confusion_figure(CASES[case])
    assert confusion is not None
    for figure in (confusion, reliability_figure(CASES[case])):
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        for (one, first), (other, second) in combinations(boxes, 2):
            assert not first.padded(-0.5).overlaps(second.padded(-0.5)), f"{one} overlaps {other}"
        for name, box in boxes:
            assert figure.bbox.padded(1).count_contains([(box.x0, box.y0), (box.x1, box.y1)]) == 2, f"{name} is cut off"


def test_a_matrix_has_its_numbers_and_labels() -> None:
    found = CASES["7, one missing"]
    figure = confusion_figure(found)
    assert figure is not None
    assert found.confusion is not None
    shown = [text.get_text() for text in texts(figure)]
    numbers = [str(number) for row in found.confusion for number in row if number]
    assert sorted(text for text in shown if text.isdigit()) == sorted(numbers)
    assert shown.count(shortened(LABELS[0])) == 2
    assert shown.count("$5 to $10") == 2
    fifty = confusion_figure(CASES["50"])
    assert fifty is not None
    assert not any(text.get_text().isdigit() for text in texts(fifty))
    assert confusion_figure(measures(51)) is None
    assert confusion_figure(measures(101, 500)) is None


def test_a_score_without_examples_is_a_dash() -> None:
    found = measure_classes(np.array([[0.9, 0.1, 0.0]], np.float32), np.array([0]))
    assert class_rows(found)[1] == [
        ["0", "1", "1", "100.0", "100.0", "100.0"],
        ["1", "0", "0", "-", "-", "-"],
        ["2", "0", "0", "-", "-", "-"],
    ]


def test_many_labels_are_cut_to_the_most_frequent() -> None:
    found = measures(30)
    rows = class_rows(found, most=5)[1]
    assert len(rows) == 5
    assert min(int(row[1]) for row in rows) >= sorted(one.support for one in found.classes)[-5]
    header, pairs = pair_rows(found)
    assert len(header) == len(pairs[0])
    assert int(pairs[0][2]) >= int(pairs[-1][2])


def result(test: str = "test", *, correct: int = 60, protocol: str = "own", bag: str | None = None) -> Result:
    """A result of 100 examples, the first ``correct`` ones right, maybe with a bag of words."""
    right = np.packbits(np.arange(100) < correct).tobytes().hex()
    counted = None if bag is None else BagOfWords(int(np.unpackbits(_bits(bag)).sum()), 100, bag, 1234, 1.0, "x")
    found = measures(3, 100)
    return Result(
        test, None, Share(test, correct, 100), {}, 9.0, 1.0, 0.5, protocol, right, measures=found, bag_of_words=counted
    )


def _bits(digits: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(digits), np.uint8)


def bag(correct: int) -> str:
    return np.packbits(np.arange(100) < correct).tobytes().hex()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run on a table with words that are markup."""
    monkeypatch.setenv("NESTREE_CACHE", str(tmp_path / "cache"))
    lines = [f'"<i>{word}</i> `a` | b",{label}' for word in "xyz" for label in ("<b>", "no", "$5 $6")] * 4
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    table = str(tmp_path / "t.csv")
    options = {"task": "own", "train": table, "test": table, "text": "text", "label": "label"}
    return saved_run(tmp_path / "own", "ebt-grc", data=options, encoder={"beam_size": 2})


def test_a_result_is_compared_with_baseline_and_bag_of_words(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    better = " ".join(certainty(result(bag=bag(40)), own.task))
    assert "Accuracy 60.0 % (95 % interval 50.2 to 69.1)." in better
    assert "Always answering the most common training label: 50.0 %, below the interval." in better
    assert "trained on 1,234 texts): 40.0 %; the model's accuracy differs by +20.0 points" in better
    assert better.endswith(": better.")
    assert certainty(result(bag=bag(90)), own.task)[-1].endswith(": worse.")
    assert certainty(result(bag=bag(59)), own.task)[-1].endswith("neither clearly better nor worse.")
    assert certainty(result(correct=55), own.task)[1].endswith("within the interval.")
    assert certainty(result(correct=10), own.task)[1].endswith("above the interval.")
    assert certainty(result(), own.task)[-1] == "Bag of words: not measured yet; nestree evaluate does."
    monkeypatch.setattr(class_tables, "is_installed", lambda: False)
    assert "pip install 'nestree[sklearn]'" in certainty(result(), own.task)[-1]
    assert len(certainty(result(), ListOps())) == 2


def test_generated_tests_are_shown_by_one() -> None:
    many = [result(str(number)) for number in range(6)]
    assert len(detailed(many)) == 4
    assert [one.test for one in detailed([replace(one, protocol="generated, curriculum x") for one in many])] == ["0"]
    assert detailed([replace(many[0], measures=None)]) == []


@pytest.mark.parametrize(("width", "there"), [(160, True), (90, False)])
def test_the_terminal_shows_what_fits(width: int, there: bool) -> None:
    console = Console(width=width, record=True, file=StringIO())
    show(console, [result(bag=bag(40))])
    first = console.export_text().splitlines()[2]
    assert all((name in first) is there for name in ("macro", "ECE", "bag"))


def evaluated(run: Run) -> Result:
    """The result of a run on its test, recorded."""
    examples = run.task.load("test")
    found = evaluate(run.model(), examples, test="test", labels=run.task.label_names, protocol=run.protocol)
    record(run, found, seed=0)
    return found


def test_the_page_shows_labels_and_mistakes(own: Run) -> None:
    found = evaluated(own)
    assert found.measures is not None
    for trees in (2, 0):
        page = render_page([own], trees=trees)
        tree = ElementTree.fromstring(page.lstrip().removeprefix("<!doctype html>"))
        (section,) = [one for one in tree.iter("section") if one.get("aria-labelledby") == "classes"]
        shown = " ".join("".join(section.itertext()).split())
        mistakes = [one for one in section.iter("details") if "should be" in "".join(one.itertext())]
        assert len(mistakes) == len(found.measures.mistakes)
        assert "< i > x < / i >" in shown or "<i>" in shown
        assert "<i>" not in page
        drawn = ElementTree.tostring(section, encoding="unicode").count('class="nestree-tree"')
        assert drawn == (len(mistakes) if trees else 0)
        charts = re.findall(r'class="chart" aria-labelledby="classes-0-(\w+)-title', page)
        assert charts == ["confusion", "reliability"]
        assert "precision, recall and F1 by label" in shown


def test_a_page_without_the_tests_files_says_so(own: Run) -> None:
    evaluated(own)
    Path(own.config.data.test).unlink()  # pyright: ignore[reportAttributeAccessIssue]
    page = render_page([Run(own.path)], trees=1)
    assert "t.csv" in page
    assert 'aria-labelledby="classes-0-confusion-title' in page


def test_markdown_shows_labels_and_mistakes(own: Run) -> None:
    found = evaluated(own)
    assert found.measures is not None
    text = write_report(own).read_text()
    for name in ("confusion-test", "reliability-test"):
        assert f"({name}.png)" in text
        assert (own.path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    lines = [line for line in text.splitlines() if "should be" in line]
    assert len(lines) == len(found.measures.mistakes)
    assert lines[0].startswith(f"- {code(found.measures.mistakes[0].predicted)} (")
    assert f"Macro F1: {100 * found.measures.macro_f1:.1f} %" in text


def test_nothing_ends_code_in_markdown() -> None:
    assert code("plain  text\nhere") == "`plain text here`"
    assert code("a `b` ``c``") == "``` a `b` ``c`` ```"
