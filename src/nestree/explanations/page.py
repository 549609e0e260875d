"""Explanations as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from nestree.explanations.draw import captioned, draw_explanations, legend_of, scale_of
from nestree.explanations.explain import Explanation
from nestree.trees.folding import printable_line
from nestree.trees.svg import STYLE

CLASSES = 12
"""Maximal number of labels that have a column in the table of nodes."""


def explanations_page(
    named: Sequence[tuple[str, Explanation]],
    *,
    title: str,
    depth: int | None = None,
    width: int | None = None,
    label: str | None = None,
) -> str:
    """Return a page with a drawing and a table of nodes for each (text, explanation), at least one.

    The other arguments are those of [`draw_explanations`][nestree.explanations.draw.draw_explanations].
    """
    scale = scale_of(named[0][1], label)
    labels = [mark.about for mark in scale.legend()]
    entries = []
    for text, one in named:
        drawing = draw_explanations([one], depth=depth, width=width, label=label, style=False, legend=False)
        rows = [
            {
                "text": printable_line(side.text(node)),
                "mark": scale.mark(node.label, node.probability, ""),
                "node": node,
            }
            for _, side in captioned(one)
            for node in reversed(side.nodes)
        ]
        entries.append({"text": printable_line(text), "one": one, "drawing": Markup(drawing), "rows": rows})
    return _template().render(
        title=title,
        style=Markup(STYLE),
        legend=legend_of(scale, label),
        notes=named[0][1].notes,
        labels=labels if len(labels) <= CLASSES else [],
        entries=entries,
    )


@cache
def _template() -> Template:
    loader = PackageLoader("nestree.explanations")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
