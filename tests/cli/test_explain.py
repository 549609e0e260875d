"""``nestree explain``, in process."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nestree.cli.main import main
from nestree.explanations.explain import UNTRAINED
from nestree.runs import Run, build_model
from support.training import config

EXPRESSION = "[MAX 2 9 [MIN 4 7 ] 0 ]"
NODES = 2 * len(EXPRESSION.split()) - 1
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    configuration = config("rir-ebt-grc", encoder={"arity": 4, "beam_size": 2})
    run = Run(tmp_path_factory.mktemp("runs") / "rir").begin(configuration, command="test")
    run.save_weights(build_model(configuration, run.task))
    return str(run.path)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def explained(run: str, text: str = EXPRESSION) -> list[dict]:
    return Run.open(run).explain([text])[0].as_dict()["sides"][0]["nodes"]


def test_a_drawing_has_the_sign_of_every_node_and_says_that_they_are_untrained(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", run, EXPRESSION]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    answer, *drawing, _, note, _, _ = shown.split("\n")
    nodes = explained(run)
    assert answer.startswith(f"answer {nodes[-1]['label']} (")
    assert note == UNTRAINED
    of_words = [line for line in drawing if "╭" not in line and "╰" not in line]
    for leaf, line in zip(nodes[: len(EXPRESSION.split())], of_words, strict=True):
        assert f" {leaf['label']}  {leaf['text']}" in line
    drawn = "".join(drawing)
    assert drawn.count("┬") + drawn.count("┳") == len(EXPRESSION.split()) - 1
    for label in {node["label"] for node in nodes}:
        assert drawn.count(f" {label} ") >= sum(node["label"] == label for node in nodes)


@pytest.mark.parametrize(("variable", "coloured"), [(None, True), ("NO_COLOR", False)])
def test_colours_are_for_terminals_that_want_them(
    variable: str | None, coloured: bool, run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    assert main(["explain", run, EXPRESSION]) == 0
    assert ("\x1b[38;2;" in capsys.readouterr().out) is coloured


def test_json_has_every_node_with_all_probabilities(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", run, "--json", EXPRESSION, "7"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["input"], second["input"]) == (EXPRESSION, "7")
    assert len(first["sides"][0]["nodes"]) == NODES
    assert [node["span"] for node in second["sides"][0]["nodes"]] == [[0, 1]]
    assert all(len(node["probabilities"]) == 10 for node in first["sides"][0]["nodes"])


def test_a_picture_is_well_formed_and_has_a_mark_with_a_title_at_every_node(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", run, EXPRESSION, "[SM 1 2 ]", "--svg", "tree.svg", "--html", "tree.html"]) == 0
    assert capsys.readouterr().err == "written to tree.svg\nwritten to tree.html\n"
    root = ElementTree.parse("tree.svg").getroot()
    marks = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect[@class='mark']") is not None]
    titles = [title.text or "" for group in marks if (title := group.find(f"{SVG}title")) is not None]
    wanted = [*explained(run), *explained(run, "[SM 1 2 ]")]
    assert sorted(titles) == sorted(f"{node['text']}: {node['label']} ({node['probability']:.2f})" for node in wanted)
    assert len(marks) == len(wanted) + 10  # the legend
    assert UNTRAINED in {text.text for text in root.iter(f"{SVG}text")}
    wide, high = float(root.get("width", "")), float(root.get("height", ""))
    assert all(float(text.get("x", "")) < wide and float(text.get("y", "")) < high for text in root.iter(f"{SVG}text"))


class Page(HTMLParser):
    """Counts the elements of a page, and checks that they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        assert not any((name in ("src", "href")) or name.startswith("on") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing to close."""


def test_a_page_has_a_row_for_every_node_and_loads_nothing(run: str) -> None:
    assert main(["explain", run, EXPRESSION, "--html", "tree.html"]) == 0
    text = Path("tree.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert (page.count["tr"], page.count["svg"], page.count["style"]) == (NODES + 1, 1, 1)
    assert UNTRAINED in text


def test_texts_in_a_page_are_escaped(tmp_path: Path) -> None:
    from nestree.explanations.explain import ExplainedNode, ExplainedTree, Explanation
    from nestree.explanations.page import explanations_page
    from nestree.trees import ParsedTree, Tree

    node = ExplainedNode((0, 1), "<b>", 0.6, {"<b>": 0.6, "&": 0.4})
    tree = ExplainedTree(ParsedTree(Tree(1, ()), 1.0, (), ("<script>",)), (node,))
    text = explanations_page([("<i>", Explanation((tree,)))], title="<u>")
    assert not any(tag in text for tag in ("<script>", "<i>", "<b>", "<u>"))


def test_one_label_shows_its_probability_at_every_node(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", run, "7", "--label", "3"]) == 0
    share = explained(run, "7")[0]["probabilities"]["3"]
    assert capsys.readouterr().out.split("\n")[1:3] == [
        f" {100 * share:.0f}%  7",
        " 0%    50%    100%  probability of 3  ",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "good"], "--label must be one of the model's labels (0, 1, 2"),
        (["--svg", "tree.png"], "--svg must be a file ending in .svg, not tree.png"),
        (["--html", "there.html"], "there.html exists already: name another file; --overwrite replaces it"),
        (["--svg", "tree.svg", "--json"], "--json must be left out with --svg"),
        (["--width", "0"], "width must be an integer of at least 1, not 0"),
        (["--file", "inputs.txt"], "give inputs or --file, not both"),
        (["--inference", "slow"], "inference must be one of grouped, flat, not 'slow'"),
    ],
)
def test_mistakes_are_a_line(arguments: list[str], message: str, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("there.html").write_text("mine")
    assert main(["explain", run, EXPRESSION, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert Path("there.html").read_text() == "mine"


def test_an_encoder_without_trees_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = config("s4d")
    run = Run(tmp_path / "s4d").begin(configuration, command="test")
    run.save_weights(build_model(configuration, run.task))
    assert main(["explain", str(run.path), "7"]) == 2
    assert "encoder s4d has no trees" in capsys.readouterr().err


def test_the_picture_in_the_documentation_is_what_its_command_draws() -> None:
    docs = Path(__file__).parents[2] / "docs"
    (command,) = re.findall(r"`nestree (explain listops-rir .*?)`", (docs / "trees.md").read_text(encoding="utf-8"))
    assert main(shlex.split(command)) == 0

    def texts(path: Path) -> list[str]:
        return ["".join(text.itertext()) for text in ElementTree.parse(path).getroot().iter(f"{SVG}text")]

    assert texts(Path("explained.svg")) == texts(docs / "explained.svg")
