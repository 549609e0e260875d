"""The outer tree of recursion in recursion: balanced, k-ary, its shape determined by the sequence's length alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from nestree.checks import Options, check_at_least, check_one_of, check_positive, check_share
from nestree.errors import OptionError
from nestree.trees import Span

ALIGNMENTS = ("sampled", "systematic", "random", "none")


@dataclass(frozen=True)
class GroupOptions(Options):
    """How a sequence is cut into groups."""

    arity: int | None = None
    """Number of items k in a group of the outer tree; null: a single group holds the whole sequence."""
    split_from: int | None = None
    """Only sequences of at least this many items are cut into groups; null: 1.5 times the arity."""
    training_split_from: int | None = None
    """``split_from`` during training, for example lower, to cut shorter sequences too; null: the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arity is not None:
            check_at_least("arity", self.arity, 2)
        for name in ("split_from", "training_split_from"):
            value = getattr(self, name)
            if value is not None:
                check_at_least(name, value, 2)


@dataclass(frozen=True)
class AlignmentOptions(Options):
    """How beams are passed from the groups of one level to the next."""

    alignment: str = ALIGNMENTS[0]
    """How the beams of the next level are chosen from those of each group: sampled, systematic, random or none."""
    temperature: float = 1.0
    """Temperature of beam alignment: scores are divided by it before beams are sampled."""
    sample_at_evaluation: bool = False
    """Sample alignments at evaluation too; false: evaluation is deterministic."""
    partial: float = 0.0
    """Partial folding: number of roots that a group is folded to, as a share of its items, at most 0.5; 0: one root.
    The next level merges them with the roots of neighbouring groups."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("alignment", self.alignment, ALIGNMENTS)
        check_positive("temperature", self.temperature)
        if check_share("partial", self.partial) > 0.5:  # a group of the next level must hold the roots of two
            raise OptionError("partial", f"must be from 0 to 0.5, not {self.partial!r}")


@dataclass(frozen=True)
class Outer(AlignmentOptions, GroupOptions):
    """How a sequence is cut into groups, and how beams are passed from one level to the next.

    Source: Ray Chowdhury and Caragea 2023 (arXiv 2311.04449), sections 3 and 4.
    """

    @property
    def roots(self) -> int:
        """Number of roots that a full group is folded to, unless it is the only group of its sequence."""
        # Rounded first: in floating point 0.29 * 100 is below 29.
        return 1 if self.arity is None else max(1, int(round(self.partial * self.arity, 9)))

    def levels(self, lengths: list[int], *, training: bool) -> list[Level]:
        """Return the levels of the outer trees over sequences of these lengths, from the leaves up.

        A sequence of one item is in no level: it is its own root.
        """
        threshold = self.split_from
        if training and self.training_split_from is not None:
            threshold = self.training_split_from
        return plan_levels(lengths, self.arity, threshold, self.roots)

    def groups(self, lengths: list[int], *, training: bool) -> list[tuple[tuple[Span, ...], ...]]:
        """Return each sequence's groups, level by level from the leaves up, as (first leaf, one past the last).

        A sequence of one item has no groups. Under partial folding a group need not be a subtree, so only the whole
        sequence counts as one.
        """
        if self.roots > 1:
            return [(((0, length),),) if length > 1 else () for length in lengths]
        found: list[list[tuple[Span, ...]]] = [[] for _ in lengths]
        items = [[(leaf, leaf + 1) for leaf in range(length)] for length in lengths]
        for level in self.levels(lengths, training=training):
            above: list[list[Span]] = [[] for _ in lengths]
            taken = [0] * len(lengths)
            for size, sequence in zip(level.size, level.sequence, strict=True):
                below = items[sequence]
                first, last = taken[sequence], taken[sequence] + size - 1
                above[sequence].append((below[first][0], below[last][1]))
                taken[sequence] += size
            for sequence, spans in enumerate(above):
                if spans:
                    items[sequence] = spans
                    found[sequence].append(tuple(spans))
        return [tuple(levels) for levels in found]


@dataclass(frozen=True)
class Level:
    """The groups of one level over a batch; a group's items are consecutive rows of the table of the level below.

    Below level 0 the table holds the leaves of all sequences, concatenated; below a higher level it holds the roots of
    the previous level's groups, in the order of its lists.
    """

    first: list[int]
    """(G,) row of the group's first item in the table below."""
    size: list[int]
    """(G,) number of items."""
    roots: list[int]
    """(G,) number of roots that the group is folded to; each is a row of this level's table."""
    sequence: list[int]
    """(G,) the sequence it belongs to."""
    group: list[int]
    """(G,) its number within the sequence."""
    last: list[bool]
    """(G,) whether it is the only group of its sequence, so that its root is the sequence's."""

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.first)

    @cached_property
    def largest(self) -> int:
        """The largest number of items in a group."""
        return max(self.size)

    @cached_property
    def merges(self) -> list[int]:
        """(G,) number of merges that fold each group."""
        return [size - roots for size, roots in zip(self.size, self.roots, strict=True)]


def plan_levels(lengths: list[int], arity: int | None, split_from: int | None = None, roots: int = 1) -> list[Level]:
    """Return the levels for sequences of these lengths; see [`Outer.levels`][].

    A group of the first level holds ``arity`` tokens and is folded to ``roots`` roots; a group of a higher level holds
    the roots of ``arity // roots`` groups.
    """
    if arity is not None and split_from is None:
        split_from = arity + arity // 2
    levels: list[Level] = []
    rows: list[tuple[int, int, list[int]]] = []  # (sequence, first row below, items of each group below)
    row = 0
    for sequence, length in enumerate(lengths):
        if length > 1:
            rows.append((sequence, row, [1] * length))
        row += length
    cut = arity
    while rows:
        level = Level([], [], [], [], [], [])
        next_rows: list[tuple[int, int, list[int]]] = []
        row = 0
        for sequence, first, below in rows:
            whole = split_from is None or sum(below) < split_from
            step = len(below) if whole or cut is None else cut
            parts = [below[start : start + step] for start in range(0, len(below), step)]
            left = [1] if len(parts) == 1 else [min(roots, sum(part)) for part in parts]
            if len(parts) > 1:
                next_rows.append((sequence, row, left))
            for group, part in enumerate(parts):
                level.first.append(first)
                level.size.append(sum(part))
                level.roots.append(left[group])
                level.sequence.append(sequence)
                level.group.append(group)
                level.last.append(len(parts) == 1)
                first += sum(part)
            row += sum(left)
        levels.append(level)
        rows = next_rows
        cut = None if arity is None else arity // roots
    return levels
