"""A tree that an encoder found, with its probability, groups and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestree.trees.tree import Tree

if TYPE_CHECKING:
    import nltk

Span = tuple[int, int]
"""First leaf of a part of the sequence, and one past its last leaf."""


@dataclass(frozen=True)
class ParsedTree:
    """A tree, and its probability among the trees that the encoder kept.

    Notebooks draw it. An encoder sees states, not words: [`with_tokens`][] adds the words. Without them, leaves are
    labelled with their positions, from 1.

    Raises:
        ValueError: ``tokens`` or ``groups`` does not fit the tree; names which.

    Examples:
        >>> ParsedTree(Tree(3, ((1, 2), (0, 3))), 0.5).with_tokens(["a", "b", "c"]).brackets()
        '(a (b c))'
    """

    tree: Tree
    probability: float
    groups: tuple[tuple[Span, ...], ...] = ()
    """Groups of the outer tree, level by level from the leaves up, each level from left to right; the last level is one
    group of everything. Empty without an outer tree."""
    tokens: tuple[str, ...] | None = None
    """Words of the leaves."""

    def __post_init__(self) -> None:
        if self.tokens is not None and len(self.tokens) != self.tree.leaves:
            raise ValueError(f"tokens must be {self.tree.leaves}, one for each leaf, not {len(self.tokens)}")
        if not self.groups:
            return
        spans = {*self.tree.spans(), *((leaf, leaf + 1) for leaf in range(self.tree.leaves))}
        for number, level in enumerate(self.groups):
            ends = [0, *(end for _, end in level)]
            if [first for first, _ in level] != ends[:-1] or ends[-1] != self.tree.leaves:
                raise ValueError(f"groups of level {number} must follow each other over all {self.tree.leaves} leaves")
            if not spans.issuperset(level):
                raise ValueError(f"groups of level {number} must each be a part of the tree")
        if len(self.groups[-1]) != 1:
            raise ValueError(f"groups must end with a level of one group, not {len(self.groups[-1])}")

    @property
    def words(self) -> tuple[str, ...]:
        """Labels of the leaves: the tokens, or the positions if there are none."""
        return self.tokens or tuple(str(leaf) for leaf in range(1, self.tree.leaves + 1))

    def with_tokens(self, tokens: Sequence[str]) -> ParsedTree:
        """Return a copy with these words.

        Raises:
            ValueError: there must be one token per leaf.
        """
        return replace(self, tokens=tuple(tokens))

    def brackets(self) -> str:
        """Return the tree as a bracket string; see [`Tree.brackets`][]."""
        return self.tree.brackets(self.words)

    def levels(self) -> list[int]:
        """Return the level of the outer tree at which each merge was made; 0 is inside a group of tokens."""
        owners = []
        for level in self.groups[:-1]:
            owners.append([number for number, (first, end) in enumerate(level) for _ in range(first, end)])
        inside = ((owner[first] == owner[end - 1] for owner in owners) for first, end in self.tree.spans())
        return [next((level for level, here in enumerate(found) if here), len(owners)) for found in inside]

    def as_dict(self) -> dict[str, Any]:
        """Return the tree as JSON values; [`from_dict`][] is the inverse."""
        words = {} if self.tokens is None else {"tokens": list(self.tokens)}
        return {
            "probability": self.probability,
            "leaves": self.tree.leaves,
            **words,
            "merges": [list(merge) for merge in self.tree.merges],
            "groups": [[list(group) for group in level] for level in self.groups],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ParsedTree:
        """Return the tree of values that [`as_dict`][] returned; other keys are ignored.

        Raises:
            ValueError: a key is missing or the values are not a tree.
        """
        try:
            return cls(
                Tree(values["leaves"], tuple((left, right) for left, right in values["merges"])),
                float(values["probability"]),
                tuple(tuple((first, end) for first, end in level) for level in values["groups"]),
                tuple(values["tokens"]) if "tokens" in values else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a parsed tree must have leaves, merges, probability and groups ({error!r})") from None

    def to_nltk(self) -> nltk.Tree:
        """Return an ``nltk.Tree``, for tools such as svgling.

        Nodes are labelled X inside a group of tokens, and X1, X2, ... at higher levels of the outer tree. A single leaf
        becomes the only child of an X.

        Raises:
            ImportError: nltk is not installed; ``pip install 'nestree[nltk]'`` installs it.
        """
        try:
            from nltk.tree import Tree as Labelled
        except ImportError:
            raise ImportError("nltk is not installed: pip install 'nestree[nltk]'") from None
        nodes: list[Any] = list(self.words)
        for (left, right), level in zip(self.tree.merges, self.levels(), strict=True):
            nodes.append(Labelled(f"X{level}" if level else "X", [nodes[left], nodes[right]]))
        return nodes[-1] if self.tree.merges else Labelled("X", nodes)

    def svg(self, *, depth: int | None = None, width: int | None = 64) -> str:
        """Return a drawing, as an SVG document.

        Args:
            depth: maximal depth that is drawn, in merges below the root; None for no limit.
            width: maximal number of leaves and folded parts; None for no limit.

        Raises:
            ValueError: ``depth`` or ``width`` is below 1.
        """
        from nestree.trees.svg import draw_svg

        return draw_svg([(f"probability {self.probability:.2f}", self)], depth=depth, width=width)

    def _repr_svg_(self) -> str:
        """Called by notebooks."""
        return self.svg()

    def text(self, *, columns: int = 80, depth: int | None = None, width: int | None = 64) -> str:
        """Return a drawing in characters, one line per leaf.

        Args:
            columns: width of the terminal; deeper parts are folded until the drawing fits.
            depth: maximal depth that is drawn, in merges below the root; None: as deep as fits.
            width: maximal number of leaves and folded parts; None for no limit.

        Raises:
            ValueError: ``columns``, ``depth`` or ``width`` is below 1.
        """
        from nestree.trees.terminal import draw_text

        return "\n".join(line.plain.rstrip() for line in draw_text(self, columns=columns, depth=depth, width=width))
