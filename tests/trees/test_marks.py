"""Marks: signs and colours of labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from nestree.tasks.text.datasets.sst import FIVE, TWO
from nestree.trees import ParsedTree
from nestree.trees.marks import MIDDLE, SIGN, LabelScale, Mark
from nestree.trees.svg import draw_svg
from nestree.trees.terminal import draw_text
from support.trees import parsed_trees

LABELS = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=30, unique=True)


def channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """The relative luminance as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@given(LABELS, st.floats(0, 1))
def test_every_label_has_a_sign_of_its_own_that_can_be_read_on_its_colour(labels: list[str], share: float) -> None:
    scale = LabelScale(tuple(labels))
    assert len(set(scale.signs.values())) == len(labels)
    assert all(cell_len(sign) <= SIGN for sign in scale.signs.values())
    assert sorted(mark.about for mark in scale.legend()) == sorted(labels)
    for mark in [*scale.legend(), scale.mark(labels[0], share, ""), scale.mark_of(labels[0], share, "")]:
        dark, light = sorted((luminance(mark.colour), luminance(mark.ink)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_sentiment_is_from_red_to_blue_with_the_treebanks_signs() -> None:
    scale = LabelScale(FIVE)
    assert [mark.sign for mark in scale.legend()] == ["--", "-", "0", "+", "++"]
    colours = [channels(scale.colour(label)) for label in FIVE]
    assert [red > blue for red, _, blue in colours] == [True, True, False, False, False]
    assert [blue > red for red, _, blue in colours] == [False, False, False, True, True]
    assert scale.colour("neutral") == MIDDLE
    assert LabelScale(TWO).colour("positive") == scale.colour("very positive")


def test_integers_are_in_order_whatever_their_order() -> None:
    scale = LabelScale(("10", "9", "1"))
    assert [mark.sign for mark in scale.legend()] == ["1", "9", "10"]
    assert scale.positions is not None
    assert (scale.positions["1"], scale.positions["10"]) == (-1, 1)


def test_two_labels_fade_as_they_become_unsure() -> None:
    scale = LabelScale(("ham", "spam"))
    assert scale.colour("ham", 0.5) == scale.colour("spam", 0.5) == MIDDLE
    assert luminance(scale.colour("spam", 1.0)) < luminance(scale.colour("spam", 0.8)) < luminance(MIDDLE)


def test_other_labels_have_a_hue_each() -> None:
    scale = LabelScale(("World", "Sports", "Business and money"))
    assert scale.positions is None
    assert len({scale.colour(label) for label in scale.labels}) == 3
    assert [mark.sign for mark in scale.legend()] == ["World", "Sports", "Busines…"]
    assert LabelScale(("abcdefgh1", "abcdefgh2", "c")).signs == {"abcdefgh1": "#1", "abcdefgh2": "#2", "c": "#3"}


@given(parsed_trees(most=14, words=st.sampled_from("abc")), st.sampled_from(["x", "+", "long"]))
def test_drawings_have_the_mark_of_every_node(parsed: ParsedTree, sign: str) -> None:
    marks = {span: Mark(sign, "#000000", f"{span[0]}:{span[1]}") for span in parsed.tree.all_spans()}
    lines = [line.plain for line in draw_text(parsed, columns=10_000, marks=marks)]
    assert "\n".join(lines).count(f" {sign} ") == len(marks)
    bare = [line.plain for line in draw_text(parsed, columns=10_000)]
    branches = "┬├└┳┗"
    assert [[c for c in line if c in branches] for line in lines] == [
        [c for c in line if c in branches] for line in bare
    ]
    svg = draw_svg([("tree", parsed)], marks=[marks])
    assert all(f"<title>{mark.about}</title>" in svg for mark in marks.values())


def test_a_drawing_with_marks_is_folded_to_fit() -> None:
    tree, words = ParsedTree.from_dict({
        "leaves": 40, "merges": [[0, 1], *([38 + number, number] for number in range(2, 40))], "probability": 1,
        "groups": [],
    }).tree, ("w",) * 40  # fmt: skip
    marks = {span: Mark("+", "#000000", "") for span in tree.all_spans()}
    lines = draw_text(ParsedTree(tree, 1.0, (), words), columns=60, marks=marks)
    assert max(line.cell_len for line in lines) <= 60
    assert "tokens" in lines[0].plain


@pytest.mark.parametrize("label", ["neutral", "positive"])
def test_one_label_has_its_share_as_its_sign(label: str) -> None:
    assert LabelScale(FIVE).mark_of(label, 0.256, "a b") == Mark(
        "26%", LabelScale(FIVE).mark_of("negative", 0.256, "").colour, f"a b: {label} 0.26"
    )
