"""Draw docs/recursion.svg, the picture of the two-level recursion that the README shows.

python tools/draw_recursion.py [OUTPUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

INNER, OUTER, FRAME, TEXT = "#2a6f97", "#c8553d", "#eef3f7", "#333333"

TOKENS = ["[MAX", "2", "9", "[MIN", "4", "7", "]", "[SM", "3", "8", "]", "]"]
ARITY = 4
# The merges inside each group of four, as (left, right) numbers of the group's leaves (0-3) and earlier merges (4, 5).
INNER_TREES = ([(1, 2), (0, 4), (5, 3)], [(0, 1), (4, 2), (5, 3)], [(0, 1), (2, 3), (4, 5)])
OUTER_TREE = [(0, 1), (3, 2)]

Point = tuple[float, float]


def grow(axes: Axes, leaves: list[Point], merges: list[tuple[int, int]], rise: float, colour: str) -> Point:
    """Draw a binary tree upwards from ``leaves`` and return where its root is."""
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
    return nodes[-1]


def draw(output: Path) -> None:
    """Write the picture."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "nestree"  # the same file on every run
    figure, axes = plt.subplots(figsize=(9, 4.6))
    roots: list[Point] = []
    for group, merges in enumerate(INNER_TREES):
        first = group * ARITY
        start = first + group * 0.6
        tokens = TOKENS[first : first + ARITY]
        axes.add_patch(
            FancyBboxPatch(
                (start - 0.35, -0.45),
                len(tokens) - 0.3,
                3.4,
                boxstyle="round,pad=0.15",
                facecolor=FRAME,
                edgecolor=INNER,
            )
        )
        for place, token in enumerate(tokens):
            axes.text(start + place, -0.3, token, ha="center", va="center", family="monospace", size=12, color=TEXT)
        roots.append(grow(axes, [(start + place, 0.05) for place in range(len(tokens))], merges, 0.8, INNER))
    level = max(y for _, y in roots)
    for x, y in roots:
        axes.plot([x, x], [y, level + 0.75], color=OUTER, linewidth=1.8, zorder=1)
    root = grow(axes, [(x, level + 0.75) for x, _ in roots], OUTER_TREE, 0.8, OUTER)
    axes.text(root[0], root[1] + 0.3, "root", ha="center", size=12, color=OUTER)
    axes.text(5.9, -1.05, f"inner beam trees, one in each group of k = {ARITY}", size=11, color=INNER, ha="center")
    axes.text(
        -0.5, 4.75, "outer tree over the groups' roots,\nk items a group again", size=10.5, color=OUTER, va="bottom"
    )
    axes.set_axis_off()
    axes.set_xlim(-0.8, 12.9)
    axes.set_ylim(-1.2, root[1] + 0.8)
    figure.savefig(output, bbox_inches="tight", metadata={"Date": None}, facecolor="white")
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "recursion.svg")
