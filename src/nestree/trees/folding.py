"""Folding large trees: which parts of a tree are drawn, and which are drawn as one."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size

from nestree.checks import check_at_least
from nestree.trees.parsed import ParsedTree

LABEL = 24
"""Maximal width of a token in a drawing, in columns."""


@dataclass(frozen=True)
class Part:
    """A node that is drawn."""

    first: int
    """First leaf."""
    end: int
    """One past the last leaf."""
    level: int
    """Level of the outer tree at which it was merged; 0 for a leaf."""
    children: tuple[int, int] | None
    """Indices into [`View.parts`][]; None for a leaf and for a folded part."""

    @property
    def tokens(self) -> int:
        """Number of leaves below this node."""
        return self.end - self.first

    @property
    def folded(self) -> bool:
        """Whether the nodes below are hidden."""
        return self.children is None and self.tokens > 1


@dataclass(frozen=True)
class View:
    """The parts of a tree that are drawn."""

    parsed: ParsedTree
    parts: tuple[Part, ...]
    """Children before their parents, the root last."""

    @cached_property
    def leaves(self) -> list[int]:
        """Indices of leaves and folded parts, from left to right."""
        shown = [place for place, part in enumerate(self.parts) if part.children is None]
        return sorted(shown, key=lambda place: self.parts[place].first)

    @cached_property
    def heights(self) -> list[int]:
        """Height of each part: the number of merges on the longest path down that is drawn."""
        heights: list[int] = []
        for part in self.parts:
            heights.append(0 if part.children is None else 1 + max(heights[child] for child in part.children))
        return heights

    def label(self, place: int) -> str:
        """Return the text of a leaf or a folded part."""
        part = self.parts[place]
        return f"… {part.tokens} tokens" if part.folded else shorten(printable(self.parsed.words[part.first]))

    def items(self, place: int) -> tuple[list[int], list[int]]:
        """Return the group with this root: indices of its items, left to right, and of its merges, children first."""
        level = self.parts[place].level
        items, merges, waiting = [], [], [place]
        while waiting:
            here = waiting.pop()
            part = self.parts[here]
            if part.children is None or part.level < level:
                items.append(here)
            else:
                merges.append(here)
                waiting.extend(reversed(part.children))
        return items, sorted(merges)

    def framed(self, place: int, level: int) -> bool:
        """Whether an item of a group of ``level`` is drawn as a group, not as a token or several folded groups."""
        return level > 0 and not (self.parts[place].folded and self.parts[place].level == level)

    def group(self, place: int) -> tuple[int, str]:
        """Return the number, from 1, and the name of the group with this root."""
        part = self.parts[place]
        number = self.parsed.groups[part.level].index((part.first, part.end)) + 1
        where = f"token {part.end}" if part.tokens == 1 else f"tokens {part.first + 1}-{part.end}"
        of = f"level {part.level + 1} " if part.level else ""
        return number, f"{of}group {number}: {where}"


def fold(parsed: ParsedTree, *, depth: int | None = None, width: int | None = None) -> View:
    """Choose the parts of a tree that are drawn.

    The levels of the outer tree are unfolded first, from the top down; within a level, the part with the most tokens.

    Args:
        parsed: the tree.
        depth: maximal depth below the root, in merges; None for no limit.
        width: maximal number of leaves and folded parts; None for no limit.

    Raises:
        ValueError: ``depth`` or ``width`` is below 1.
    """
    for name, value in (("depth", depth), ("width", width)):
        if value is not None:
            check_at_least(name, value, 1)
    leaves = parsed.tree.leaves
    spans = [*((leaf, leaf + 1) for leaf in range(leaves)), *parsed.tree.spans()]
    levels = [*[0] * leaves, *parsed.levels()]
    opened: set[int] = set()
    root = len(spans) - 1
    closed: list[tuple[int, int, int, int, int]] = []

    def offer(node: int, below: int) -> None:
        if node >= leaves and (depth is None or below < depth):
            first, end = spans[node]
            heapq.heappush(closed, (-levels[node], first - end, first, node, below))

    offer(root, 0)
    while closed and (width is None or len(opened) + 1 < width):
        *_, node, below = heapq.heappop(closed)
        opened.add(node)
        for child in parsed.tree.merges[node - leaves]:
            offer(child, below + 1)
    return View(parsed, _parts(parsed, spans, levels, opened))


def _parts(parsed: ParsedTree, spans: list[tuple[int, int]], levels: list[int], opened: set[int]) -> tuple[Part, ...]:
    """Return the root and the children of opened nodes, children first."""
    leaves = parsed.tree.leaves
    shown = {len(spans) - 1}.union(*(parsed.tree.merges[node - leaves] for node in opened))
    place: dict[int, int] = {}
    parts: list[Part] = []
    for node in sorted(shown):  # a child has a lower number than its parent
        left, right = parsed.tree.merges[node - leaves] if node in opened else (None, None)
        place[node] = len(parts)
        children = None if left is None or right is None else (place[left], place[right])
        parts.append(Part(*spans[node], levels[node], children))
    return tuple(parts)


def printable(token: str) -> str:
    """Return a token with invisible and control characters escaped; a space becomes ``␣``."""
    return "".join(
        "␣" if c == " " else c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in token
    )


def printable_line(text: str) -> str:
    """Return a text with invisible and control characters escaped, except spaces."""
    return " ".join(printable(word) for word in text.split(" "))


def shorten(text: str, cells: int = LABEL) -> str:
    """Cut a text, with an ellipsis, to at most ``cells`` columns."""
    return text if cell_len(text) <= cells else f"{set_cell_size(text, cells - 1).rstrip()}…"
