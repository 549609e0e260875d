"""Binary trees from parses: labelled bracket strings and CoNLL-U dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nestree.errors import UserError
from nestree.trees.tree import Tree, tree_from_nodes

_PIECE = re.compile(r"[()]|[^()\s]+")


@dataclass(frozen=True)
class Parse:
    """A sentence and its tree."""

    words: tuple[str, ...]
    tree: Tree


class _Builder:
    """Collects merges; leaves are numbered from 0 up, merges from -1 down."""

    def __init__(self) -> None:
        self.children: dict[int, tuple[int, int]] = {}

    def merge(self, left: int, right: int) -> int:
        self.children[-1 - len(self.children)] = (left, right)
        return -len(self.children)

    def fold(self, parts: Sequence[int]) -> int:
        """Merge neighbours from left to right; a single part is returned unchanged."""
        node = parts[0]
        for part in parts[1:]:
            node = self.merge(node, part)
        return node

    def tree(self, leaves: int, root: int) -> Tree:
        return tree_from_nodes(range(leaves), self.children, root)


def from_labelled_brackets(text: str) -> Parse:
    """Return the tree of a labelled bracket string, as in treebanks: ``(S (NP (DT the) (NN cat)) (VP sat))``.

    Labels are dropped. A constituent with one part is replaced by that part; one with several is merged from the left.

    Raises:
        ValueError: unbalanced parentheses, an empty constituent, or more than one tree; says where.
    """
    builder, words = _Builder(), []
    waiting: list[list[int]] = [[]]
    opened = False
    for number, piece in enumerate(_PIECE.findall(text), start=1):
        if piece == "(":
            waiting.append([])
            opened = True
            continue
        if piece == ")":
            parts = waiting.pop()
            if not waiting:
                raise ValueError(f"bracket string: part {number}, ')', closes nothing")
            if not parts:
                raise ValueError(f"bracket string: the parentheses closed by part {number} are empty")
            waiting[-1].append(builder.fold(parts))
        elif not opened:  # the first piece after a "(" is the label
            waiting[-1].append(len(words))
            words.append(piece)
        opened = False
    if len(waiting) > 1:
        raise ValueError(f"bracket string: {len(waiting) - 1} ')' missing at the end")
    if len(waiting[0]) != 1:
        raise ValueError(f"bracket string: must be one tree, not {len(waiting[0])}")
    return Parse(tuple(words), builder.tree(len(words), waiting[0][0]))


def from_heads(heads: Sequence[int]) -> Tree:
    """Return a binary tree of a dependency tree: a head takes its right dependents, nearest first, then its left ones.

    Args:
        heads: for each word the number of its head, counted from 1; 0 for the root.

    Raises:
        ValueError: not exactly one root, a cycle, or crossing arcs (which no binary tree over neighbours represents).
    """
    if sum(head == 0 for head in heads) != 1 or any(not 0 <= head <= len(heads) for head in heads):
        raise ValueError(f"heads must be numbers from 0 to {len(heads)}, with one 0, not {list(heads)}")
    below: list[list[int]] = [[] for _ in heads]
    for word, head in enumerate(heads):
        if head:
            below[head - 1].append(word)
    order, waiting = [], [list(heads).index(0)]
    while waiting:
        word = waiting.pop()
        order.append(word)
        waiting.extend(below[word])
    if len(order) != len(heads):
        raise ValueError("heads must not form a cycle")
    builder, node = _Builder(), list(range(len(heads)))
    bounds = [(word, word + 1) for word in range(len(heads))]
    for word in reversed(order):
        right = [other for other in below[word] if other > word]
        left = [other for other in reversed(below[word]) if other < word]
        for other in [*right, *left]:
            first, second = sorted((word, other))
            if bounds[first][1] != bounds[second][0]:
                raise ValueError(
                    f"heads must not cross: words {first + 1} and {second + 1} cannot be merged as neighbours"
                )
            node[word] = builder.merge(node[first], node[second])
            bounds[word] = (bounds[first][0], bounds[second][1])
    return builder.tree(len(heads), node[order[0]])


def read_conllu(path: str | Path) -> Iterator[Parse]:
    """Yield the sentences of a CoNLL-U file, with their dependency trees converted to binary trees.

    Multiword ranges (``3-4``) and empty nodes (``5.1``) are skipped; the words of a range have lines of their own.

    Raises:
        UserError: the file cannot be read, or a line or tree is invalid; names file and line.
    """
    words: list[str] = []
    heads: list[int] = []
    for number, line in enumerate([*_lines(path), ""], start=1):
        if line.startswith("#"):
            continue
        if line.strip():
            fields = line.split("\t")
            if fields[0].isdigit():
                if len(fields) < 7 or not fields[6].isdigit():
                    raise UserError(f"{path}, line {number}: a word must have ten fields, the 7th its head's number")
                words.append(fields[1])
                heads.append(int(fields[6]))
        elif words:
            try:
                yield Parse(tuple(words), from_heads(heads))
            except ValueError as error:
                raise UserError(f"{path}, sentence ending at line {number}: {error}") from None
            words, heads = [], []


def read_brackets(path: str | Path, *, labelled: bool = True) -> Iterator[Parse]:
    """Yield the trees of a file with one bracket string per line.

    Args:
        path: path of the file; empty lines are skipped.
        labelled: whether constituents have labels, as in treebanks; false: the format of
            [`Tree.from_brackets`][nestree.trees.tree.Tree.from_brackets].

    Raises:
        UserError: the file cannot be read, or a line is invalid; names file and line.
    """
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            if labelled:
                yield from_labelled_brackets(line)
            else:
                tree, words = Tree.from_brackets(line)
                yield Parse(words, tree)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
