"""Trees as SVG: the root on top, groups in frames, the outer tree in another colour.

svgling is not used: it recurses, and so fails at depths of a few hundred merges; it does not align leaves, and writes
no title or description for screen readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

from rich.cells import cell_len

from nestree.trees.folding import Part, View, fold, printable_line
from nestree.trees.marks import Mark
from nestree.trees.parsed import ParsedTree, Span

STEP = 18.0
"""Vertical distance of a merge and its parent, px."""
MARKED_STEP = 26.0
"""The same where nodes have marks, px."""
MARK = 15.0
"""Height of a mark, px."""
SMALL_LETTER = 6.7
"""Width of a letter at 11 px, px, rounded up."""
LETTER = 7.9
"""Width of a letter at 13 px, px, rounded up."""
GAP = 10.0
"""Distance between two leaves, px."""
PADDING = 9.0
"""Distance between a frame and its content, px."""
LEAF = 20.0
"""Height of a line of text, px."""
MARGIN = 16.0
DESCRIBED = 2000
"""Maximal length of the bracket string in the description."""

# No CSS variables: converters and office programs do not support them.
_LIGHT = {
    "paper": "#fff",
    "ink": "#1f2328",
    "inner": "#0a6ebd",
    "outer": "#b3145f",
    "frame": "#8b949e",
    "fold": "#8a5a00",
}
_DARK = {
    "paper": "#15191f",
    "ink": "#e6edf3",
    "inner": "#6cb6ff",
    "outer": "#ff8ac0",
    "frame": "#6e7681",
    "fold": "#e3b341",
}


def _colours(colour: dict[str, str]) -> str:
    rules = [
        ".paper{{fill:{paper}}}",
        "text{{fill:{ink}}}",
        ".fold{{fill:{fold}}}",
        ".inner{{stroke:{inner}}}",
        ".outer{{stroke:{outer}}}",
        ".frame{{fill:{frame};stroke:{frame}}}",
        "path.plain{{stroke:{frame}}}",
    ]
    return "\n".join(f".nestree-tree {rule.format(**colour)}" for rule in rules)


STYLE = f"""
.nestree-tree text{{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}}
.nestree-tree .small{{font-size:11px;opacity:.8}}
.nestree-tree path{{fill:none;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}}
.nestree-tree path.outer{{stroke-width:2.5}}
.nestree-tree .frame{{fill-opacity:.07;stroke-dasharray:4 3}}
.nestree-tree .sign{{font-size:11px}}
{_colours(_LIGHT)}
@media (prefers-color-scheme:dark){{
{_colours(_DARK)}
}}
.nestree-tree text.black{{fill:#000}}
.nestree-tree text.white{{fill:#fff}}
""".strip()
"""CSS of a drawing, with colours for light pages, and dark ones where the reader's system is dark."""


def draw_svg(
    captioned: Sequence[tuple[str, ParsedTree]],
    *,
    depth: int | None = None,
    width: int | None = None,
    style: bool = True,
    marks: Sequence[Mapping[Span, Mark]] = (),
    legend: Sequence[Mark] = (),
    notes: Sequence[str] = (),
) -> str:
    """Draw trees below each other, each under its caption, as one SVG document.

    Each drawn token occurs once, as text. Colours adapt to dark systems; title and description are for screen readers.

    Args:
        captioned: captions and trees, at least one.
        depth: maximal depth that is drawn, in merges below the root; None for no limit.
        width: maximal number of leaves and folded parts per tree; None for no limit.
        style: include [`STYLE`][]; leave it out for a page that has it already.
        marks: for each tree, marks of its nodes by span; none: no marks.
        legend: marks to explain below the trees.
        notes: lines below that.

    Raises:
        ValueError: ``depth`` or ``width`` is below 1.
    """
    marked = marks or [{}] * len(captioned)
    drawings = [
        _Drawing(fold(parsed, depth=depth, width=width), caption, own)
        for (caption, parsed), own in zip(captioned, marked, strict=True)
    ]
    wide = max([*(drawing.size[0] for drawing in drawings), *(SMALL_LETTER * cell_len(note) for note in notes)])
    wide += 2 * MARGIN
    body, top = [], MARGIN
    for drawing in drawings:
        body.append(f'<g transform="translate({_number(MARGIN)} {_number(top)})">{drawing.body()}</g>')
        top += drawing.size[1] + MARGIN
    wide, top = _with_legend(body, legend, notes, wide, top)
    about = "; ".join(f"{printable_line(caption)}, {parsed.tree.leaves} tokens" for caption, parsed in captioned)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="nestree-tree" role="img" width="{_number(wide)}" '
            f'height="{_number(top)}" viewBox="0 0 {_number(wide)} {_number(top)}">',
            f"<title>{escape('Trees: ' if len(captioned) > 1 else 'Tree: ')}{escape(about)}</title>",
            f"<desc>{escape(' | '.join(_description(parsed) for _, parsed in captioned))}</desc>",
            *([f"<style>{STYLE}</style>"] if style else []),
            f'<rect class="paper" width="{_number(wide)}" height="{_number(top)}" rx="6"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _with_legend(
    body: list[str], legend: Sequence[Mark], notes: Sequence[str], wide: float, top: float
) -> tuple[float, float]:
    """Append legend and notes to ``body``, and return the new width and height of the drawing."""
    at, row = MARGIN, top
    badge = _badge_width(legend)
    for mark in legend:
        name = "" if mark.about == mark.sign else printable_line(mark.about)
        long = badge + 6 + SMALL_LETTER * cell_len(name) + GAP
        if at > MARGIN and at + long > wide:
            at, row = MARGIN, row + LEAF + 4
        wide = max(wide, at + long + MARGIN)
        body.append(
            f"<g>{_badge(mark, at + badge / 2, row + LEAF / 2, badge)}"
            f'<text class="small" x="{_number(at + badge + 6)}" y="{_number(row + LEAF / 2 + 4)}">'
            f"{escape(name)}</text></g>"
        )
        at += long
    if legend:
        top = row + LEAF + MARGIN
    for note in notes:
        body.append(f'<text class="small" x="{_number(MARGIN)}" y="{_number(top + 4)}">{escape(note)}</text>')
        top += LEAF
    return wide, top


def _badge_width(marks: Iterable[Mark]) -> float:
    """Return the width of a badge for any of these marks."""
    return SMALL_LETTER * max((cell_len(mark.sign) for mark in marks), default=0) + 8


def _badge(mark: Mark, x: float, y: float, width: float) -> str:
    """Draw a sign on its colour, with its middle at (x, y)."""
    ink = "white" if mark.ink == "#ffffff" else "black"
    return (
        f'<rect class="mark" x="{_number(x - width / 2)}" y="{_number(y - MARK / 2)}" width="{_number(width)}" '
        f'height="{_number(MARK)}" rx="4" fill="{mark.colour}"/>'
        f'<text class="sign {ink}" text-anchor="middle" x="{_number(x)}" y="{_number(y + 4)}">'
        f"{escape(mark.sign)}</text>"
    )


class _Drawing:
    """Layout and SVG elements of one tree, x from its left edge, y down from its upper edge."""

    def __init__(self, view: View, caption: str, marks: Mapping[Span, Mark]) -> None:
        self.view = view
        self.caption = caption
        self.marks = marks
        self.badge = _badge_width(marks.values()) if marks else 0.0
        self.step = MARKED_STEP if marks else STEP
        self.frames = _frames(view)
        self.left, self.right = self._across()
        self.rise, self.floors = self._up()
        self.base = LEAF + self.step + max(self.rise)  # y of the leaves' upper edge
        depth = max((level for _, level in self.frames), default=0)
        wide = max(*self.right, LETTER * cell_len(caption)) + PADDING * depth
        self.size = (wide, self.base + LEAF + (LEAF + PADDING) * depth)
        self.x = self._middles()

    def _across(self) -> tuple[list[float], list[float]]:
        """Return the left and right edges of each part, without frames."""
        parts = self.view.parts
        opening, closing = [0] * len(parts), [0] * len(parts)
        shown = self.view.leaves
        starts = {parts[place].first: place for place in shown}
        ends = {parts[place].end: place for place in shown}
        for place, level in self.frames:  # the inset depends on the level, even if inner frames are not drawn
            first, last = starts[parts[place].first], ends[parts[place].end]
            opening[first], closing[last] = max(opening[first], level), max(closing[last], level)
        left, right = [0.0] * len(parts), [0.0] * len(parts)
        at = 0.0
        for place in shown:
            left[place] = at + PADDING * opening[place]
            right[place] = left[place] + max(LETTER * max(2, cell_len(self.view.label(place))), self.badge)
            at = right[place] + PADDING * closing[place] + GAP
        for place, part in enumerate(parts):
            if part.children is not None:
                left[place], right[place] = left[part.children[0]], right[part.children[1]]
        return left, right

    def _up(self) -> tuple[list[float], list[float]]:
        """Return the heights above the leaves of each part, and of the upper edge of each level's frames."""
        view = self.view
        rise = [self.step * 0.7 if part.folded else 0.0 for part in view.parts]
        floors: list[float] = []
        for level in range(view.parts[-1].level + 1):
            floor = floors[-1] if floors else 0.0
            for place, part in enumerate(view.parts):
                if part.children is not None and part.level == level:
                    below = [rise[child] if view.parts[child].level == level else floor for child in part.children]
                    rise[place] = max(*below, floor) + self.step
            inside = [rise[place] for place, part in enumerate(view.parts) if part.level <= level]
            floors.append(max(inside, default=0.0) + PADDING)
        return rise, floors

    def _middles(self) -> list[float]:
        """Return the x of each part's branch: the middle of a leaf, or halfway between its children's branches."""
        middles: list[float] = []
        for place, part in enumerate(self.view.parts):
            ends = (self.left[place], self.right[place])
            first, second = ends if part.children is None else (middles[child] for child in part.children)
            middles.append((first + second) / 2)
        return middles

    def body(self) -> str:
        """Return the SVG elements: caption, frames, branches and words."""
        caption = f'<text class="small" x="0" y="11">{escape(printable_line(self.caption))}</text>'
        merges = [place for place, part in enumerate(self.view.parts) if part.children is not None]
        return "\n".join(
            [
                caption,
                *(self._frame(place, level) for place, level in self.frames),
                *(self._branch(place) for place in merges),
                *(self._leaf(place) for place in self.view.leaves),
                *(self._mark(place) for place in range(len(self.view.parts)) if self.marks),
            ]
        )

    def _frame(self, place: int, level: int) -> str:
        """Draw the frame of a group, with its number below; ``level`` is that of the group it belongs to."""
        number, name = self.view.group(place)
        inset = PADDING * level
        x, wide = self.left[place] - inset, self.right[place] - self.left[place] + 2 * inset
        top = self.base - self.floors[level - 1]
        bottom = self.base + LEAF + (LEAF + PADDING) * level - PADDING
        whole = name.split(":")[0]
        label = whole if LETTER * cell_len(whole) < wide else str(number)
        return (
            f'<g><title>{escape(name)}</title><rect class="frame" x="{_number(x)}" y="{_number(top)}" '
            f'width="{_number(wide)}" height="{_number(bottom - top)}" rx="6"/>'
            f'<text class="small" text-anchor="middle" x="{_number(x + wide / 2)}" y="{_number(bottom - 6)}">'
            f"{escape(label)}</text></g>"
        )

    def _line(self, part: Part) -> str:
        """Return the class of a part's lines, which have no hue where marks have one."""
        return ("outer" if part.level else "inner") + (" plain" if self.marks else "")

    def _branch(self, place: int) -> str:
        """Draw the branches from a merge to its two children."""
        part = self.view.parts[place]
        left, right = part.children or (place, place)
        y, first, second = (_number(self.base - self.rise[node]) for node in (place, left, right))
        return (
            f'<path class="{self._line(part)}" '
            f'd="M{_number(self.x[left])} {first}V{y}H{_number(self.x[right])}V{second}"/>'
        )

    def _mark(self, place: int) -> str:
        """Draw the mark of a part, on its branch; that of a token above the token."""
        part = self.view.parts[place]
        mark = self.marks[part.first, part.end]
        y = self.base - self.rise[place] - (4 if part.tokens == 1 else 0)
        title = escape(printable_line(mark.about))
        return f"<g><title>{title}</title>{_badge(mark, self.x[place], y, self.badge)}</g>"

    def _leaf(self, place: int) -> str:
        """Draw a token, or a triangle with the number of tokens that are folded."""
        part, x = self.view.parts[place], self.x[place]
        words = self.view.parsed.words[part.first : part.end]
        label = self.view.label(place)
        whole = printable_line(" ".join(words[:100])) + (" …" if len(words) > 100 else "")
        title = "" if whole == label else f"<title>{escape(whole)}</title>"
        text = (
            f'<text class="{"fold" if part.folded else "token"}" text-anchor="middle" x="{_number(x)}" '
            f'y="{_number(self.base + LEAF - 5)}">{title}{escape(label)}</text>'
        )
        if not part.folded:
            return text
        apex, base = _number(self.base - self.rise[place]), _number(self.base + 2)
        half = (self.right[place] - self.left[place]) / 2 - 2
        return (
            f'<path class="{self._line(part)}" '
            f'd="M{_number(x)} {apex}L{_number(x - half)} {base}H{_number(x + half)}Z"/>{text}'
        )


def _frames(view: View) -> list[tuple[int, int]]:
    """Return the roots of the groups with frames, from outside in, each with the level of the group it belongs to."""
    found, waiting = [], [len(view.parts) - 1]
    while waiting:
        root = waiting.pop(0)
        level = view.parts[root].level
        for place in view.items(root)[0]:
            if view.framed(place, level):
                found.append((place, view.parts[place].level + 1))
                waiting.append(place)
    return found


def _description(parsed: ParsedTree) -> str:
    """Return the tree as a bracket string of limited length, and the numbers of groups."""
    brackets = printable_line(parsed.brackets())
    if len(brackets) > DESCRIBED:
        brackets = f"{brackets[:DESCRIBED]} …"
    groups = [f"{len(level)} groups" for level in parsed.groups[:-1]]
    return f"{brackets}; {', then '.join(groups)}" if groups else brackets


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
