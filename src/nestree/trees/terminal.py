"""Trees in the terminal: sideways, one line per leaf, groups in frames, the outer tree in heavy lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from nestree.checks import check_at_least
from nestree.trees.folding import View, fold
from nestree.trees.marks import Mark
from nestree.trees.parsed import ParsedTree, Span

INNER, OUTER, FRAME, FOLDED = "cyan", "bold magenta", "dim", "yellow"

LIGHT = {"fork": "┬", "along": "─", "down": "│", "end": "└"}
HEAVY = {"fork": "┳", "along": "━", "down": "┃", "end": "┗"}


def draw_text(
    parsed: ParsedTree,
    *,
    columns: int = 80,
    depth: int | None = None,
    width: int | None = None,
    marks: Mapping[Span, Mark] | None = None,
) -> list[Text]:
    """Draw a tree at most ``columns`` wide: in narrower steps if needed, then with the deepest parts folded.

    Args:
        parsed: the tree.
        columns: width of the terminal.
        depth: maximal depth that is drawn, in merges below the root; None: as deep as fits.
        width: maximal number of leaves and folded parts; None for no limit.
        marks: marks of all nodes by span, drawn to the left of each; None: no marks.

    Returns:
        The lines; wider than ``columns`` only where a single merge does not fit.

    Raises:
        ValueError: ``columns``, ``depth`` or ``width`` is below 1.
    """
    check_at_least("columns", columns, 1)
    view = fold(parsed, depth=depth, width=width)
    wide, narrow = (_Pens(step, marks or {}) for step in (2, 1))

    def attempt(view: View, pens: _Pens) -> list[Text] | None:
        lines = _block(view, len(view.parts) - 1, pens)
        return lines if max(line.cell_len for line in lines) <= columns else None

    for pens in (wide, narrow):
        if (lines := attempt(view, pens)) is not None:
            return lines
    fitting, too_deep = 1, view.heights[-1]  # bisection for the largest depth that fits
    while too_deep - fitting > 1:
        middle = (fitting + too_deep) // 2
        fits = attempt(fold(parsed, depth=middle, width=width), narrow) is not None
        fitting, too_deep = (middle, too_deep) if fits else (fitting, middle)
    return _block(fold(parsed, depth=fitting, width=width), -1, narrow)


@dataclass(frozen=True)
class _Pens:
    """How branches and marks are drawn."""

    gap: int
    """Columns of a branch between a merge and a mark, or its child."""
    marks: Mapping[Span, Mark] = field(default_factory=dict)

    @cached_property
    def sign(self) -> int:
        """Columns of a mark; 0 without marks."""
        return max((cell_len(mark.sign) for mark in self.marks.values()), default=-2) + 2

    @property
    def step(self) -> int:
        """Columns between a merge and its parent, at least."""
        return self.gap + self.sign

    def stamp(self, view: View, place: int) -> tuple[str, Style]:
        """Return the mark of a part, all equally wide."""
        part = view.parts[place]
        mark = self.marks[part.first, part.end]
        room = self.sign - cell_len(mark.sign)
        text = f"{' ' * (room // 2)}{mark.sign}{' ' * (room - room // 2)}"
        return text, Style(color=mark.ink, bgcolor=mark.colour)


@dataclass(frozen=True)
class _Item:
    """A drawn item of a group; its branch is connected to the first line."""

    place: int
    lines: list[Text]


def _block(view: View, root: int, pens: _Pens) -> list[Text]:
    """Draw the group with this root: its tree on the left, its items on the right."""
    root %= len(view.parts)
    level = view.parts[root].level
    places, merges = view.items(root)
    items = [_Item(place, _item(view, place, level, pens)) for place in places]
    signs, style = (HEAVY, OUTER) if level else (LIGHT, INNER)
    style = "" if pens.marks else style
    # The mark of a group is inside its frame.
    marked = [*merges, *(place for place in places if not view.framed(place, level))] if pens.marks else []
    margin = _margin(view, items, merges, pens, signs, style, marked)
    inside = (line for item in items for line in item.lines)
    return [Text.assemble(branches, line) for branches, line in zip(margin, inside, strict=True)]


def _item(view: View, place: int, level: int, pens: _Pens) -> list[Text]:
    """Draw an item of a group of ``level``: a token, or a group in a frame."""
    if view.framed(place, level):
        return _frame(_block(view, place, pens), view.group(place)[1])
    return [Text(f" {view.label(place)}", style=FOLDED if view.parts[place].folded else "")]


def _frame(lines: list[Text], title: str) -> list[Text]:
    inside = max(cell_len(title) + 2, *(line.cell_len for line in lines)) + 2
    framed = [Text(f"╭─ {title} {'─' * (inside - cell_len(title) - 3)}╮", style=FRAME)]
    for line in lines:
        padding = " " * (inside - line.cell_len - 1)
        framed.append(Text.assemble(("│ ", FRAME), line, padding, ("│", FRAME)))
    framed.append(Text(f"╰{'─' * inside}╯", style=FRAME))
    return framed


def _margin(
    view: View,
    items: list[_Item],
    merges: list[int],
    pens: _Pens,
    signs: dict[str, str],
    style: str,
    marked: list[int],
) -> list[Text]:
    """Draw the branches of a group's merges, one line per line of its items, all equally wide.

    The column of a part is its height; its row is that of its first item. The mark of a part is to the left of it.
    """
    row: dict[int, int] = {}
    column: dict[int, int] = {}
    rows = 0
    for item in items:
        row[item.place], column[item.place] = rows, 0
        rows += len(item.lines)
    for place in merges:
        left, right = _children(view, place)
        row[place], column[place] = row[left], max(column[left], column[right]) + pens.step
    widest = max(column.values(), default=0) + pens.sign
    grid = [[(" ", Style.parse(style))] * widest for _ in range(rows)]
    branch = {name: (sign, Style.parse(style)) for name, sign in signs.items()}
    for place in merges:
        left, right = _children(view, place)
        at = widest - column[place]
        for child in (left, right):
            grid[row[child]][at : widest - column[child]] = [branch["along"]] * (column[place] - column[child])
        for between in range(row[left] + 1, row[right]):
            grid[between][at] = branch["down"]
        grid[row[left]][at], grid[row[right]][at] = branch["fork"], branch["end"]
    for place in marked:
        end = widest - column[place]
        stamp, look = pens.stamp(view, place)
        grid[row[place]][end - pens.sign : end] = [(stamp, look), *[("", look)] * (pens.sign - 1)]
    return [
        Text.assemble(
            *(("".join(text for text, _ in run), look) for look, run in groupby(line, key=lambda cell: cell[1]))
        )
        for line in grid
    ]


def _children(view: View, place: int) -> tuple[int, int]:
    children = view.parts[place].children
    assert children is not None, "a merge is open"
    return children


_ASCII = str.maketrans("┬─│└┳━┃┗╭╮╰╯…␣", "+-|`#=H#....~_")


def ascii_only(line: Text) -> Text:
    """Return a line for a terminal that supports only ASCII; other characters become ``?``."""
    plain = line.copy()
    plain.plain = line.plain.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return plain
