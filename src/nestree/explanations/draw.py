"""Drawings of explanations: the tree with a mark at every node, as the Sentiment Treebank is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.style import Style
from rich.text import Text

from nestree.errors import OptionError
from nestree.explanations.explain import ExplainedTree, Explanation
from nestree.trees import Span
from nestree.trees.folding import printable_line
from nestree.trees.marks import LabelScale, Mark
from nestree.trees.svg import draw_svg
from nestree.trees.terminal import draw_text


def scale_of(explanation: Explanation, label: str | None = None) -> LabelScale:
    """Return signs and colours of the labels.

    Raises:
        ValueError: there is no label ``label``.
    """
    scale = LabelScale(tuple(explanation.probabilities))
    if label is not None and label not in scale.labels:
        known = ", ".join(scale.labels[:12]) + (" ..." if len(scale.labels) > 12 else "")
        raise OptionError("label", f"must be one of the model's labels ({known}), not {label!r}")
    return scale


def marks_of(side: ExplainedTree, scale: LabelScale, label: str | None = None) -> dict[Span, Mark]:
    """Return the mark of every node, by span: of its own label, or of the probability of ``label``."""
    marks = {}
    for node in side.nodes:
        text = printable_line(side.text(node))
        text = text if len(text) <= 200 else f"{text[:200]} …"
        if label is None:
            marks[node.span] = scale.mark(node.label, node.probability, text)
        else:
            marks[node.span] = scale.mark_of(label, node.probabilities[label], text)
    return marks


def legend_of(scale: LabelScale, label: str | None = None) -> list[Mark]:
    """Return the marks to explain: of every label, or of the probabilities of ``label``."""
    if label is None:
        return scale.legend()
    marks = [scale.mark_of(label, share, "") for share in (0.0, 0.5, 1.0)]
    names = [*(mark.sign for mark in marks[:-1]), f"probability of {label}"]
    return [replace(mark, about=name) for mark, name in zip(marks, names, strict=True)]


def captioned(explanation: Explanation) -> list[tuple[str, ExplainedTree]]:
    """Return the trees with their captions."""
    answer = f"answer {explanation.label} ({explanation.probability:.2f})"
    if len(explanation.sides) == 1:
        return [(answer, explanation.sides[0])]
    return [(f"{answer}, side {number}", side) for number, side in enumerate(explanation.sides, start=1)]


def draw_explanations(
    explanations: Sequence[Explanation],
    *,
    depth: int | None = None,
    width: int | None = None,
    label: str | None = None,
    style: bool = True,
    legend: bool = True,
) -> str:
    """Draw explanations of one model below each other, as one SVG document.

    Args:
        explanations: at least one.
        depth: maximal depth that is drawn, in merges below the root; None for no limit.
        width: maximal number of leaves and folded parts per tree; None for no limit.
        label: show the probability of this label at every node, instead of each node's own label.
        style: include the style sheet; leave it out for a page that has it already.
        legend: explain the marks below the trees, and add the notes.

    Raises:
        ValueError: ``depth`` or ``width`` is below 1, or there is no such label.
    """
    scale = scale_of(explanations[0], label)
    drawn = [pair for one in explanations for pair in captioned(one)]
    return draw_svg(
        [(caption, side.tree) for caption, side in drawn],
        depth=depth,
        width=width,
        style=style,
        marks=[marks_of(side, scale, label) for _, side in drawn],
        legend=legend_of(scale, label) if legend else (),
        notes=explanations[0].notes if legend else (),
    )


def draw_in_terminal(
    explanation: Explanation,
    *,
    columns: int,
    depth: int | None = None,
    width: int | None = None,
    label: str | None = None,
) -> list[Text]:
    """Return the lines of a drawing: answer, trees, legend and notes.

    The arguments are those of [`draw_explanations`][] and ``columns``, the width of the terminal.
    """
    scale = scale_of(explanation, label)
    answer = Text.assemble(
        ("answer ", "dim"), (printable_line(explanation.label), "bold"), f" ({explanation.probability:.2f})"
    )
    lines = [answer]
    for number, side in enumerate(explanation.sides, start=1):
        if len(explanation.sides) > 1:
            lines.append(Text(f"side {number}", style="dim"))
        marks: Mapping[Span, Mark] = marks_of(side, scale, label)
        lines += draw_text(side.tree, columns=columns, depth=depth, width=width, marks=marks)
    shown = []
    for mark in legend_of(scale, label):
        name = "" if mark.about == mark.sign else f" {printable_line(mark.about)}"
        shown += [(f" {mark.sign} ", Style(color=mark.ink, bgcolor=mark.colour)), f"{name}  "]
    return [*lines, Text.assemble(*shown), *(Text(note, style="dim") for note in explanation.notes), Text("")]
