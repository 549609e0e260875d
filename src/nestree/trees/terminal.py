"""Trees in the terminal: sideways, one line per leaf, groups in frames, the outer tree in heavy lines."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from nestree.checks import check_at_least
from nestree.trees.folding import View, fold
from nestree.trees.parsed import ParsedTree

INNER, OUTER, FRAME, FOLDED = "cyan", "bold magenta", "dim", "yellow"

LIGHT = {"fork": "┬", "along": "─", "down": "│", "end": "└"}
HEAVY = {"fork": "┳", "along": "━", "down": "┃", "end": "┗"}


def draw_text(
    parsed: ParsedTree, *, columns: int = 80, depth: int | None = None, width: int | None = None
) -> list[Text]:
    """Draw a tree at most ``columns`` wide: in narrower steps if needed, then with the deepest parts folded.

    Args:
        parsed: the tree.
        columns: width of the terminal.
        depth: maximal depth that is drawn, in merges below the root; None: as deep as fits.
        width: maximal number of leaves and folded parts; None for no limit.

    Returns:
        The lines; wider than ``columns`` only where a single merge does not fit.

    Raises:
        ValueError: ``columns``, ``depth`` or ``width`` is below 1.
    """
    check_at_least("columns", columns, 1)
    view = fold(parsed, depth=depth, width=width)

    def attempt(view: View, step: int) -> list[Text] | None:
        lines = _block(view, len(view.parts) - 1, step)
        return lines if max(line.cell_len for line in lines) <= columns else None

    for step in (2, 1):
        if (lines := attempt(view, step)) is not None:
            return lines
    fitting, too_deep = 1, view.heights[-1]  # bisection for the largest depth that fits
    while too_deep - fitting > 1:
        middle = (fitting + too_deep) // 2
        fits = attempt(fold(parsed, depth=middle, width=width), 1) is not None
        fitting, too_deep = (middle, too_deep) if fits else (fitting, middle)
    return _block(fold(parsed, depth=fitting, width=width), -1, 1)


@dataclass(frozen=True)
class _Item:
    """A drawn item of a group; its branch is connected to the first line."""

    place: int
    lines: list[Text]


def _block(view: View, root: int, step: int) -> list[Text]:
    """Draw the group with this root: its tree on the left, its items on the right."""
    root %= len(view.parts)
    level = view.parts[root].level
    places, merges = view.items(root)
    items = [_Item(place, _item(view, place, level, step)) for place in places]
    signs, style = (HEAVY, OUTER) if level else (LIGHT, INNER)
    margin = _margin(view, items, merges, step, signs)
    lines = []
    for branches, line in zip(margin, (line for item in items for line in item.lines), strict=True):
        lines.append(Text.assemble((branches, style), line))
    return lines


def _item(view: View, place: int, level: int, step: int) -> list[Text]:
    """Draw an item of a group of ``level``: a token, or a group in a frame."""
    if view.framed(place, level):
        return _frame(_block(view, place, step), view.group(place)[1])
    return [Text(f" {view.label(place)}", style=FOLDED if view.parts[place].folded else "")]


def _frame(lines: list[Text], title: str) -> list[Text]:
    inside = max(cell_len(title) + 2, *(line.cell_len for line in lines)) + 2
    framed = [Text(f"╭─ {title} {'─' * (inside - cell_len(title) - 3)}╮", style=FRAME)]
    for line in lines:
        padding = " " * (inside - line.cell_len - 1)
        framed.append(Text.assemble(("│ ", FRAME), line, padding, ("│", FRAME)))
    framed.append(Text(f"╰{'─' * inside}╯", style=FRAME))
    return framed


def _margin(view: View, items: list[_Item], merges: list[int], step: int, signs: dict[str, str]) -> list[str]:
    """Draw the branches of a group's merges, one string per line of its items, all equally wide.

    The column of a part is its height; its row is that of its first item.
    """
    row: dict[int, int] = {}
    column: dict[int, int] = {}
    rows = 0
    for item in items:
        row[item.place], column[item.place] = rows, 0
        rows += len(item.lines)
    for place in merges:
        left, right = _children(view, place)
        row[place], column[place] = row[left], max(column[left], column[right]) + step
    widest = max(column.values(), default=0)
    grid = [[" "] * widest for _ in range(rows)]
    for place in merges:
        left, right = _children(view, place)
        at = widest - column[place]
        for child in (left, right):
            grid[row[child]][at : widest - column[child]] = signs["along"] * (column[place] - column[child])
        for between in range(row[left] + 1, row[right]):
            grid[between][at] = signs["down"]
        grid[row[left]][at], grid[row[right]][at] = signs["fork"], signs["end"]
    return ["".join(line) for line in grid]


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
