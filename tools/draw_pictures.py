"""Draw the pictures of the documentation: recursion.svg, partial.svg, beams.svg and replay.svg.

python tools/draw_pictures.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

INNER, OUTER, FRAME, TEXT, FAINT = "#2a6f97", "#c8553d", "#eef3f7", "#333333", "#b9c3cb"

TOKENS = ["[MAX", "2", "9", "[MIN", "4", "7", "]", "[SM", "3", "8", "]", "]"]
ARITY = 4
# The merges inside each group of four, as (left, right) numbers of the group's leaves (0-3) and earlier merges (4, 5).
INNER_TREES = ([(1, 2), (0, 4), (5, 3)], [(0, 1), (4, 2), (5, 3)], [(0, 1), (2, 3), (4, 5)])
OUTER_TREE = [(0, 1), (3, 2)]

# Groups of six that are folded to three roots each: the merges, and the roots from left to right; and those above.
PARTIAL_ARITY = 6
PARTIAL_TREES = (([(0, 1), (6, 2), (3, 4)], (7, 8, 5)), ([(1, 2), (6, 3), (7, 4)], (0, 8, 5)))
PARTIAL_OUTER_TREE = [(1, 2), (6, 3), (0, 7), (8, 4), (9, 5)]

# Three beams over five tokens: their frontiers after each step, and the accumulated log-probabilities.
BEAM_TOKENS = ["[MIN", "4", "7", "]", "0"]
BEAMS = (
    (["[MIN", "(4 7)", "]", "0"], -0.4, ["([MIN (4 7))", "]", "0"], -0.7, ["(([MIN (4 7)) ])", "0"], -0.9),
    (["([MIN 4)", "7", "]", "0"], -1.2, ["(([MIN 4) 7)", "]", "0"], -1.4, ["((([MIN 4) 7) ])", "0"], -1.8),
    (["[MIN", "4", "(7 ])", "0"], -2.3, ["[MIN", "((4 7) ])", "0"], -2.0, ["([MIN ((4 7) ]))", "0"], -2.5),
)

# The node store after a search over five leaves: (place, height, children), the last ones are the beams' roots.
NODES = (
    (0.5, 1, (0, 1)), (1.5, 1, (1, 2)), (2.5, 1, (2, 3)), (3.5, 1, (3, 4)),
    (0.8, 2, (0, 6)), (1.9, 2, (6, 3)), (2.9, 2, (2, 8)), (1.2, 3, (9, 3)), (2.2, 3, (0, 10)),
    (1.7, 4, (12, 4)), (2.7, 4, (13, 4)),
)  # fmt: skip
ROOTS = (14, 15)

Point = tuple[float, float]


def grow(axes: Axes, leaves: list[Point], merges: list[tuple[int, int]], rise: float, colour: str) -> list[Point]:
    """Draw a binary tree upwards from ``leaves`` and return where its nodes are, the root last."""
    nodes = list(leaves)
    for left, right in merges:
        (x_left, y_left), (x_right, y_right) = nodes[left], nodes[right]
        top = ((x_left + x_right) / 2, max(y_left, y_right) + rise)
        for x, y in (nodes[left], nodes[right]):
            axes.plot(
                [x, x, top[0]], [y, top[1], top[1]], color=colour, linewidth=1.8, solid_joinstyle="round", zorder=2
            )
        axes.plot(*top, "o", color=colour, markersize=7, zorder=3)
        nodes.append(top)
    return nodes


def box(axes: Axes, corner: Point, width: float, height: float, edge: str) -> None:
    """Draw a frame with round corners."""
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.15", facecolor=FRAME, edgecolor=edge))


def group_of(axes: Axes, start: float, tokens: list[str], height: float) -> list[Point]:
    """Draw a group's tokens in their frame, and return where its tree begins."""
    box(axes, (start - 0.35, -0.45), len(tokens) - 0.3, height, INNER)
    for place, token in enumerate(tokens):
        axes.text(start + place, -0.3, token, ha="center", va="center", family="monospace", size=12, color=TEXT)
    return [(start + place, 0.05) for place in range(len(tokens))]


def recursion() -> Figure:
    """Two levels: an inner tree in each group, an outer one over the groups' roots."""
    figure, axes = plt.subplots(figsize=(9, 4.6))
    roots: list[Point] = []
    for group, merges in enumerate(INNER_TREES):
        first = group * ARITY
        start = first + group * 0.6
        tokens = TOKENS[first : first + ARITY]
        roots.append(grow(axes, group_of(axes, start, tokens, 3.4), merges, 0.8, INNER)[-1])
    level = max(y for _, y in roots)
    for x, y in roots:
        axes.plot([x, x], [y, level + 0.75], color=OUTER, linewidth=1.8, zorder=1)
    root = grow(axes, [(x, level + 0.75) for x, _ in roots], OUTER_TREE, 0.8, OUTER)[-1]
    axes.text(root[0], root[1] + 0.3, "root", ha="center", size=12, color=OUTER)
    axes.text(5.9, -1.05, f"inner beam trees, one in each group of k = {ARITY}", size=11, color=INNER, ha="center")
    axes.text(
        -0.5, 4.75, "outer tree over the groups' roots,\nagain k items per group", size=10.5, color=OUTER, va="bottom"
    )
    axes.set_xlim(-0.8, 12.9)
    axes.set_ylim(-1.2, root[1] + 0.8)
    return figure


def partial() -> Figure:
    """Partial folding: three roots of every group of six, and the level above goes on with them."""
    figure, axes = plt.subplots(figsize=(9, 5.4))
    roots: list[Point] = []
    for group, (merges, left) in enumerate(PARTIAL_TREES):
        first = group * PARTIAL_ARITY
        start = first + group * 0.6
        tokens = TOKENS[first : first + PARTIAL_ARITY]
        nodes = grow(axes, group_of(axes, start, tokens, 2.9), merges, 0.6, INNER)
        roots += [nodes[root] for root in left]
    level = max(y for _, y in roots) + 1.0
    for x, y in roots:
        axes.plot([x, x], [y, level], color=OUTER, linewidth=1.8, zorder=1)
        axes.plot(x, y, "o", color=INNER, markersize=7, zorder=3)
    root = grow(axes, [(x, level) for x, _ in roots], PARTIAL_OUTER_TREE, 0.6, OUTER)[-1]
    axes.text(root[0], root[1] + 0.3, "root", ha="center", size=12, color=OUTER)
    axes.text(
        5.9, -1.05, f"groups of k = {PARTIAL_ARITY}, folded to {PARTIAL_ARITY // 2} roots each",
        size=11, color=INNER, ha="center",
    )  # fmt: skip
    axes.text(-0.5, root[1] - 0.4, "two groups' roots\nform the next group", size=10.5, color=OUTER, va="bottom")
    axes.set_xlim(-0.8, 12.4)
    axes.set_ylim(-1.2, root[1] + 0.8)
    return figure


def beams() -> Figure:
    """Three beams, step by step: frontiers and scores."""
    figure, axes = plt.subplots(figsize=(9, 3.6))
    columns = (0.0, 2.9, 6.1, 9.4)
    axes.text(columns[0], 3.55, "one beam, score 0", size=11, color=OUTER)
    box(axes, (columns[0], 1.85), 1.9, 0.5, INNER)
    axes.text(columns[0] + 0.95, 2.1, "  ".join(BEAM_TOKENS), ha="center", va="center", family="monospace", size=9)
    for step, left in enumerate(columns[1:]):
        axes.text(left, 3.55, f"after {step + 1} merge{'s' * (step > 0)}", size=11, color=OUTER)
        for beam, states in enumerate(BEAMS):
            frontier, score = states[2 * step], states[2 * step + 1]
            bottom = 2.75 - 1.0 * beam
            colour = INNER if beam == 0 else FAINT
            box(axes, (left, bottom), 2.5, 0.45, colour)
            text = "  ".join(str(part) for part in frontier)  # pyright: ignore[reportGeneralTypeIssues]
            axes.text(left + 1.25, bottom + 0.3, text, ha="center", va="center", family="monospace", size=8.5)
            axes.text(left + 1.25, bottom + 0.02, f"score {score}", ha="center", va="center", size=8, color=OUTER)
    for left in columns[1:]:
        axes.annotate("", (left - 0.2, 2.1), (left - 0.7, 2.1), arrowprops={"arrowstyle": "->", "color": TEXT})
    axes.text(
        6.0, 0.05, "last: the only pair that is left, then the roots' average, weighted by softmax(score)",
        ha="center", size=11, color=INNER,
    )  # fmt: skip
    axes.set_xlim(-0.3, 12.2)
    axes.set_ylim(-0.2, 4.0)
    return figure


def replay() -> Figure:
    """The node store: what the search made, and what of it is replayed."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    places: list[Point] = [(float(leaf), 0.0) for leaf in range(len(BEAM_TOKENS))]
    places += [(x, float(height)) for x, height, _ in NODES]
    children = {len(BEAM_TOKENS) + number: node[2] for number, node in enumerate(NODES)}
    kept: set[int] = set(range(len(BEAM_TOKENS)))
    waiting: list[int] = list(ROOTS)
    while waiting:
        node = waiting.pop()
        kept.add(node)
        waiting.extend(children.get(node, ()))
    for parent, pair in children.items():
        for child in pair:
            (x0, y0), (x1, y1) = places[parent], places[child]
            colour, width = (INNER, 1.6) if parent in kept else (FAINT, 1.0)
            axes.plot([x0, x1], [y0, y1], color=colour, linewidth=width, zorder=1)
    for node, (x, y) in enumerate(places):
        colour = OUTER if node in ROOTS else INNER if node in kept else FAINT
        axes.plot(x, y, "o", color=colour, markersize=9, zorder=2)
    for leaf, token in enumerate(BEAM_TOKENS):
        axes.text(leaf, -0.35, token, ha="center", family="monospace", size=11, color=TEXT)
    for height in range(1, 5):
        axes.axhline(height, xmin=0.0, xmax=0.66, color=FRAME, linewidth=12, zorder=0)
        axes.text(4.7, height, f"height {height}: one matrix product", va="center", size=10.5, color=TEXT)
    axes.text(1.2, 4.35, "two beams' roots", size=11, color=OUTER)
    axes.text(4.7, 0, "leaves", va="center", size=10.5, color=TEXT)
    axes.text(
        4.7, -0.45, "blue: replayed, with gradients\ngrey: searched, then dropped", size=10.5, color=INNER, va="top"
    )
    axes.set_xlim(-0.5, 7.6)
    axes.set_ylim(-1.2, 4.7)
    return figure


def main(folder: Path) -> None:
    """Write all pictures, the same files on every run."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "nestree"
    for picture in (recursion, partial, beams, replay):
        figure = picture()
        for axes in figure.axes:
            axes.set_axis_off()
        figure.savefig(
            folder / f"{picture.__name__}.svg", bbox_inches="tight", metadata={"Date": None}, facecolor="white"
        )
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs")
