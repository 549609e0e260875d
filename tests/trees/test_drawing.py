"""Drawings of trees: what is folded, what is written, and that it all fits."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from nestree.trees import ParsedTree, Tree
from nestree.trees.fixed import left_branching, random_tree, right_branching
from nestree.trees.folding import LABEL, View, fold, printable, shorten
from nestree.trees.svg import draw_svg
from nestree.trees.terminal import ascii_only, draw_text
from support.trees import cut, parsed_trees

SVG = "{http://www.w3.org/2000/svg}"
LIMITS = st.none() | st.integers(1, 12)


def texts(root: ElementTree.Element, kind: str) -> list[str]:
    found = [element for element in root.iter(f"{SVG}text") if element.get("class") == kind]
    return [(element.text or "") + "".join(child.tail or "" for child in element) for element in found]


def counted(labels: list[str]) -> int:
    """The tokens that labels of folded parts stand for."""
    return sum(int(label.split()[1]) for label in labels)


@given(parsed_trees(), LIMITS, LIMITS)
def test_folding_loses_no_token(parsed: ParsedTree, depth: int | None, width: int | None) -> None:
    view = fold(parsed, depth=depth, width=width)
    shown = [view.parts[place] for place in view.leaves]
    assert [0, *(part.end for part in shown)] == [*(part.first for part in shown), parsed.tree.leaves]
    spans = {*parsed.tree.spans(), *((leaf, leaf + 1) for leaf in range(parsed.tree.leaves))}
    assert spans.issuperset((part.first, part.end) for part in view.parts)
    for part in view.parts:
        if part.children is not None:
            left, right = (view.parts[child] for child in part.children)
            assert (part.first, left.end, part.end) == (left.first, right.first, right.end)
    assert width is None or len(shown) <= width
    assert depth is None or view.heights[-1] <= depth
    if depth is None:
        assert len(shown) == min(parsed.tree.leaves, width or parsed.tree.leaves)
    if width is None:
        assert view.heights[-1] == min(parsed.tree.height, depth or parsed.tree.height)


@pytest.mark.parametrize(("name", "value"), [("depth", 0), ("width", 0), ("width", -3)])
def test_nothing_can_be_folded_to_nothing(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, not {value}"):
        ParsedTree(left_branching(3), 1.0).svg(**{name: value})


@given(parsed_trees(most=25))
def test_an_svg_is_xml_that_holds_every_token_once(parsed: ParsedTree) -> None:
    root = ElementTree.fromstring(draw_svg([("a < b & c\x00", parsed)]))
    assert texts(root, "token") == [shorten(printable(token)) for token in parsed.words]
    assert texts(root, "fold") == []
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert "a < b & c\\x00" in (root[0].text or "")
    paths = [element.get("class") for element in root.iter(f"{SVG}path")]
    outer = sum(level > 0 for level in parsed.levels())
    assert (paths.count("outer"), paths.count("inner")) == (outer, len(paths) - outer)
    assert len(paths) == parsed.tree.leaves - 1


@given(parsed_trees(), LIMITS, LIMITS)
def test_a_folded_svg_still_counts_every_token(parsed: ParsedTree, depth: int | None, width: int | None) -> None:
    root = ElementTree.fromstring(draw_svg([("x", parsed)], depth=depth, width=width))
    assert len(texts(root, "token")) + counted(texts(root, "fold")) == parsed.tree.leaves


@given(parsed_trees(most=80), LIMITS, LIMITS)
def test_everything_lies_inside_the_picture_and_its_frame(
    parsed: ParsedTree, depth: int | None, width: int | None
) -> None:
    root = ElementTree.fromstring(parsed.svg(depth=depth, width=width))
    _, _, wide, high = (float(number) for number in (root.get("viewBox") or "").split())
    frames = [element.attrib for element in root.iter(f"{SVG}rect") if element.get("class") == "frame"]
    boxes = [tuple(float(frame[name]) for name in ("x", "y", "width", "height")) for frame in frames]
    for x, y, across, down in boxes:
        assert x >= 0
        assert y >= 0
        assert x + across <= wide - 32 + 1e-6
        assert y + down <= high - 32 + 1e-6
    for a in boxes:  # two frames lie beside each other, or one in the other
        for b in boxes:
            apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0]
            a_in_b = b[0] <= a[0] and a[0] + a[2] <= b[0] + b[2] and b[1] <= a[1] and a[1] + a[3] <= b[1] + b[3]
            b_in_a = a[0] <= b[0] and b[0] + b[2] <= a[0] + a[2] and a[1] <= b[1] and b[1] + b[3] <= a[1] + a[3]
            assert apart or a_in_b or b_in_a


def test_every_group_has_a_frame_with_its_name() -> None:
    parsed = ParsedTree(left_branching(7), 1.0)
    assert "frame" not in "".join(re.findall(r'class="(\w+)"', parsed.svg()))
    groups = cut(7, 3)
    parsed = ParsedTree(random_tree(7, random.Random(0), groups), 1.0, groups)
    root = ElementTree.fromstring(parsed.svg())
    names = [element.text for element in root.iter(f"{SVG}title")][1:]
    assert names == ["group 1: tokens 1-3", "group 2: tokens 4-6", "group 3: token 7"]
    drawn = parsed.text()
    assert all(name in drawn for name in names if name)
    assert {"┳", "┬"} <= set(drawn)


@given(parsed_trees(words=st.sampled_from(["a", "[MAX", "漢字", "é"])), st.integers(60, 120))
def test_a_drawing_in_characters_fits_and_loses_nothing(parsed: ParsedTree, columns: int) -> None:
    lines = [line.plain for line in draw_text(parsed, columns=columns)]
    assert max(cell_len(line) for line in lines) <= columns
    folded = [int(number) for line in lines for number in re.findall(r"… (\d+) tokens", line)]
    tokens = sum(bool(re.search(r" (a|\[MAX|漢字|é)( |$)", line)) for line in lines)
    assert tokens + sum(folded) == parsed.tree.leaves


@given(parsed_trees())
def test_frames_are_closed_and_straight(parsed: ParsedTree) -> None:
    lines = parsed.text(width=None, columns=10_000).splitlines()
    corners = [
        {(row, cell_len(line[:at])) for row, line in enumerate(lines) for at, c in enumerate(line) if c == corner}
        for corner in "╭╮╰╯"
    ]
    assert len({len(corner) for corner in corners}) == 1
    assert sorted(column for _, column in corners[0]) == sorted(column for _, column in corners[2])
    assert sorted(column for _, column in corners[1]) == sorted(column for _, column in corners[3])


@pytest.mark.parametrize("make", [left_branching, right_branching])
def test_thousands_of_merges_are_folded_to_fit(make: Callable[[int], Tree]) -> None:
    parsed = ParsedTree(make(3000), 1.0)
    lines = parsed.text(columns=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 50
    assert sum(1 if "…" not in line else counted([line[line.index("…") :]]) for line in lines) == 3000
    assert ElementTree.fromstring(parsed._repr_svg_()) is not None


def test_the_outer_levels_are_opened_first() -> None:
    groups = cut(900, 30)
    view: View = fold(ParsedTree(random_tree(900, random.Random(1), groups), 1.0, groups), width=30)
    assert [part.tokens for part in (view.parts[place] for place in view.leaves)] == [30] * 30


def test_leaves_without_words_show_their_positions() -> None:
    parsed = ParsedTree(left_branching(3), 1.0)
    assert parsed.text() == "┬─┬─ 1\n│ └─ 2\n└─── 3"
    assert parsed.with_tokens(["[MAX", "2", "]"]).text() == "┬─┬─ [MAX\n│ └─ 2\n└─── ]"


def test_tokens_cannot_steer_a_terminal() -> None:
    assert printable("\x1b[31m a\n\u202e\ud800") == "\\x1b[31m␣a\\n\\u202e\\ud800"
    assert shorten("x" * 30) == "x" * (LABEL - 1) + "…"
    assert cell_len(shorten("漢" * 30)) <= LABEL
    assert ascii_only(Text("┳━┬─│ … é")).plain == "#=+-| ~ ?"
