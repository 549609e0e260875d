"""Binary trees over the tokens of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ESCAPED = re.compile(r"[()\\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE = re.compile(r"\\([()\\s]|u[0-9a-f]{4})")
_PIECE = re.compile(r"[()]|(?:\\\S|[^()\s])+")


@dataclass(frozen=True)
class Tree:
    """A binary tree as a list of merges.

    Leaves are numbered 0 to ``leaves - 1`` from left to right; merge i makes node ``leaves + i`` of two neighbouring
    earlier nodes. The list is flat, so trees may be of any depth.

    Raises:
        ValueError: the merges do not make one tree, each of two earlier neighbours.

    Examples:
        >>> Tree(leaves=3, merges=((1, 2), (0, 3))).brackets(["a", "b", "c"])
        '(a (b c))'
    """

    leaves: int
    """Number of leaves."""
    merges: tuple[tuple[int, int], ...]
    """(left, right) node numbers of each of the ``leaves - 1`` merges, the root last."""

    def __post_init__(self) -> None:
        used = {child for merge in self.merges for child in merge}
        if len(self.merges) != self.leaves - 1 or used != set(range(2 * self.leaves - 2)):
            raise ValueError(f"{len(self.merges)} merges do not make one tree over {self.leaves} leaves")
        bounds = [(leaf, leaf + 1) for leaf in range(self.leaves)]
        for number, (left, right) in enumerate(self.merges):
            if max(left, right) >= len(bounds) or bounds[left][1] != bounds[right][0]:
                raise ValueError(f"merge {number} joins nodes {left} and {right}, which are not earlier neighbours")
            bounds.append((bounds[left][0], bounds[right][1]))

    def spans(self) -> list[tuple[int, int]]:
        """Return (first leaf, one past the last leaf) of each merge, in the order of the merges."""
        bounds = [(leaf, leaf + 1) for leaf in range(self.leaves)]
        for left, right in self.merges:
            bounds.append((bounds[left][0], bounds[right][1]))
        return bounds[self.leaves :]

    def all_spans(self) -> list[tuple[int, int]]:
        """Return the spans of all nodes: the leaves from left to right, then the merges in order, the root last."""
        return [*((leaf, leaf + 1) for leaf in range(self.leaves)), *self.spans()]

    @property
    def height(self) -> int:
        """Number of merges on the longest path from the root to a leaf."""
        heights = [0] * self.leaves
        for left, right in self.merges:
            heights.append(1 + max(heights[left], heights[right]))
        return heights[-1]

    def brackets(self, tokens: Sequence[str]) -> str:
        r"""Return the tree as a bracket string over ``tokens``, one per leaf.

        Parentheses and backslashes inside a token are escaped with a backslash, a space as ``\s``; other white space
        and control characters as ``\u`` and four hexadecimal digits; [`from_brackets`][] is the inverse.

        Raises:
            ValueError: the number of tokens is not the number of leaves, or a token is empty.
        """
        if len(tokens) != self.leaves:
            raise ValueError(f"tokens must be {self.leaves}, one for each leaf, not {len(tokens)}")
        if "" in tokens:
            raise ValueError(f"token {tokens.index('') + 1} is empty: a bracket string cannot represent it")
        openings, closings = [0] * self.leaves, [0] * self.leaves
        for first, end in self.spans():
            openings[first] += 1
            closings[end - 1] += 1
        return " ".join(
            "(" * opened + _escape(token) + ")" * closed
            for token, opened, closed in zip(tokens, openings, closings, strict=True)
        )

    @classmethod
    def from_brackets(cls, text: str) -> tuple[Tree, tuple[str, ...]]:
        """Return the tree and the tokens of a bracket string as written by [`brackets`][].

        Spaces around parentheses are ignored, so this reads the official files of ListOps and SNLI too.

        Raises:
            ValueError: parentheses do not match, or one pair has not exactly two parts; says where.

        Examples:
            >>> Tree.from_brackets("( a ( b c ) )")
            (Tree(leaves=3, merges=((1, 2), (0, 3))), ('a', 'b', 'c'))
        """
        tokens: list[str] = []
        children: dict[int, tuple[int, int]] = {}  # leaves are numbered from 0 up, merges from -1 down
        waiting: list[list[int]] = [[]]
        for number, piece in enumerate(_PIECE.findall(text), start=1):
            if piece == "(":
                waiting.append([])
                continue
            if piece == ")":
                parts = waiting.pop()
                if not waiting:
                    raise ValueError(f"bracket string: part {number}, ')', closes nothing")
                if len(parts) != 2:
                    raise ValueError(
                        f"bracket string: the parentheses closed by part {number} must have 2 parts, not {len(parts)}"
                    )
                waiting[-1].append(-1 - len(children))
                children[-1 - len(children)] = (parts[0], parts[1])
            else:
                waiting[-1].append(len(tokens))
                tokens.append(_ESCAPE.sub(_unescape, piece))
        if len(waiting) > 1:
            raise ValueError(f"bracket string: {len(waiting) - 1} ')' missing at the end")
        if len(waiting[0]) != 1:
            raise ValueError(f"bracket string: must be one tree, not {len(waiting[0])}")
        return tree_from_nodes(range(len(tokens)), children, waiting[0][0]), tuple(tokens)


def tree_from_nodes(leaves: Sequence[int], children: dict[int, tuple[int, int]], root: int) -> Tree:
    """Return the tree under ``root``, with its nodes renumbered.

    Args:
        leaves: nodes that are leaves, from left to right.
        children: (left, right) nodes of every other node.
        root: the node to start from.
    """
    number = {leaf: position for position, leaf in enumerate(leaves)}
    merges: list[tuple[int, int]] = []
    waiting = [root]
    while waiting:  # depth first, without recursion: a tree may be thousands deep
        node = waiting[-1]
        if node in number:
            waiting.pop()
            continue
        left, right = children[node]
        missing = [child for child in (right, left) if child not in number]
        if missing:
            waiting.extend(missing)
        else:
            number[node] = len(leaves) + len(merges)
            merges.append((number[left], number[right]))
            waiting.pop()
    return Tree(len(leaves), tuple(merges))


def _escape(token: str) -> str:
    def write(found: re.Match[str]) -> str:
        character = found[0]
        if character == " ":
            return r"\s"
        return f"\\{character}" if character in "()\\" else f"\\u{ord(character):04x}"

    return _ESCAPED.sub(write, token)


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    return " " if code == "s" else chr(int(code[1:], 16)) if len(code) > 1 else code
