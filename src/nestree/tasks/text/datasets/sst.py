"""The Stanford Sentiment Treebank (Socher et al. 2013): sentences with a label at each node of their trees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nestree.errors import UserError
from nestree.tasks.base import Dataset, OfficialSplit, Row
from nestree.tasks.official_files import beside, files_beside, find, first_line, lines
from nestree.tasks.text.datasets.parses import unescape
from nestree.tasks.treebank import LabelledTree

FIVE = ("very negative", "negative", "neutral", "positive", "very positive")
TWO = ("negative", "positive")
FILES = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
# Split only at ASCII spaces: a few words have a no-break space.
_PIECE = re.compile(r"\(([^ \t()]*)|\)|[^ \t()]+")
_TREE = re.compile(r"\([0-4] +(\([0-4] |[^ \t()])")


DEEPEST = 1_000
"""Maximal depth of a tree; the deepest of the treebank has 30."""
MOST_WORDS = 10_000
"""Maximal number of words of a sentence; the longest has 56."""


@dataclass
class _Node:
    """An open node."""

    label: int
    first: int  # index of its first word in the sentence
    words: int = 0  # number of children that are words
    nodes: int = 0


def labelled_nodes(tree: str) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Return the words of a tree like ``(3 (2 It) (4 works))``, and the nodes in the order in which they are closed.

    A node is (first word, one past the last, label); the root is the last. Escaped brackets and slashes are restored
    (``-LRB-`` is a parenthesis).

    Raises:
        ValueError: the tree is damaged; says at which character.
    """
    words: list[str] = []
    path: list[_Node] = []
    found: list[tuple[int, int, int]] = []
    for piece in _PIECE.finditer(tree):
        text, at = piece[0], f"character {piece.start() + 1}"
        if found and not path:
            raise ValueError(f"{at}: {text[:20]!r} is after the end of the tree")
        if text[0] == "(":
            if piece[1] not in ("0", "1", "2", "3", "4"):
                raise ValueError(f"{at}: a node begins with a label from 0 to 4, not {piece[1][:20]!r}")
            path.append(_Node(int(piece[1]), len(words)))
            if len(path) > DEEPEST:
                raise ValueError(f"{at}: the tree is deeper than {DEEPEST:,} nodes")
        elif not path:
            raise ValueError(f"{at}: {text[:20]!r} is not inside a node")
        elif text != ")":
            words.append(unescape(text))
            if len(words) > MOST_WORDS:
                raise ValueError(f"{at}: the sentence has more than {MOST_WORDS:,} words")
            path[-1].words += 1
        else:
            node = path.pop()
            if (node.words, node.nodes) not in ((1, 0), (0, 2)):
                raise ValueError(
                    f"{at}: closes a node with {node.words} words and {node.nodes} nodes, not one word or two nodes"
                )
            found.append((node.first, len(words), node.label))
            if path:
                path[-1].nodes += 1
    if path or not found:
        raise ValueError(f"character {len(tree) + 1}: the tree is incomplete: {len(path)} nodes are open")
    return words, found


def phrases(tree: str) -> list[tuple[str, int]]:
    """Return (words, label) of each node of a tree, the root last; words are separated by single spaces.

    Raises:
        ValueError: see [`labelled_nodes`][].
    """
    words, nodes = labelled_nodes(tree)
    return [(" ".join(words[first:end]), label) for first, end, label in nodes]


def _five(label: int) -> str | None:
    return FIVE[label]


def _two(label: int) -> str | None:
    return None if label == 2 else TWO[label > 2]


def _find(path: Path) -> Path | None:
    names = list(FILES.values()) if path.is_file() else [FILES["train"]]
    return find(path, names, accept=lambda file: _TREE.match(first_line(file)) is not None)


def _sentences(found: Path, split: str) -> Iterator[tuple[str, list[str], list[tuple[int, int, int]]]]:
    """Yield file and line, words and nodes of every sentence; blank lines are skipped."""
    path = beside(found, FILES, split)
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            words, nodes = labelled_nodes(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        yield f"{path}:{number}", words, nodes


def _trees(found: Path, split: str, *, name: Callable[[int], str | None]) -> Iterator[LabelledTree]:
    """Yield the trees of all sentences; neutral nodes have no label in two classes."""
    for _, words, nodes in _sentences(found, split):
        yield LabelledTree(tuple(words), tuple((first, end, name(label)) for first, end, label in nodes))


def _read(found: Path, split: str, *, name: Callable[[int], str | None], all_phrases: bool) -> Iterator[Row]:
    """Yield sentences, or with ``all_phrases`` the phrases of training sentences; skip labels without a name.

    Phrases are labelled at each occurrence, mostly with the same label, so "the" would be learned 4,000 times.
    Therefore, each pair of phrase and label is yielded only once, at its first occurrence.
    """
    seen: set[tuple[str, int]] = set()
    for where, words, found_nodes in _sentences(found, split):
        nodes = [(" ".join(words[first:end]), label) for first, end, label in found_nodes]
        every = all_phrases and split == "train"
        for text, label in nodes if every else nodes[-1:]:
            label_name = name(label)
            if label_name is None or (text, label) in seen:
                continue
            if every:
                seen.add((text, label))
            yield Row((text,), label_name, where)


_ORIGIN = "train.txt, dev.txt and test.txt of trainDevTestTrees_PTB.zip, nlp.stanford.edu/sentiment"


def _dataset(name: str, *, two: bool, all_phrases: bool) -> Dataset:
    """Return one of the four variants of the treebank."""
    sentences = "sentences that are not neutral" if two else "sentences"
    sizes = (6_920, 872, 1_821) if two else (8_544, 1_101, 2_210)
    train = OfficialSplit(sizes[0], sentences)
    if all_phrases:
        kind = "phrases that are not neutral" if two else "phrases"
        train = OfficialSplit(
            77_616 if two else 159_274, f"distinct {kind} of the training sentences, including whole sentences"
        )
    return Dataset(
        name=name,
        about=f"sentiment of film review sentences, {2 if two else 5} classes"
        + (", trained on their phrases too" if all_phrases else ""),
        origin=_ORIGIN,
        label_names=TWO if two else FIVE,
        splits={
            "train": train,
            "validation": OfficialSplit(sizes[1], sentences),
            "test": OfficialSplit(sizes[2], sentences),
        },
        find=_find,
        files=partial(files_beside, files=FILES),
        read=partial(_read, name=_two if two else _five, all_phrases=all_phrases),
        trees=None if all_phrases else partial(_trees, name=_two if two else _five),
    )


SST5 = _dataset("sst5", two=False, all_phrases=False)
"""Sentences in five classes."""

SST2 = _dataset("sst2", two=True, all_phrases=False)
"""Sentences in two classes."""

SST5_PHRASES = _dataset("sst5-phrases", two=False, all_phrases=True)
"""Five classes, trained on phrases."""

SST2_PHRASES = _dataset("sst2-phrases", two=True, all_phrases=True)
"""Two classes, trained on phrases."""
