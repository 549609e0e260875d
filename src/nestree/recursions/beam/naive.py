"""The naive implementation: beam tree and recursion in recursion as one would write them down, with plain autograd.

One sequence at a time, no padding, every frontier a list of nodes. This is the reference: faster implementations must
give the same outputs and gradients for the same draws.

Source: Ray Chowdhury and Caragea 2023, *Efficient Beam Tree Recursion* (arXiv 2307.10779), section 3, and *Recursion in
Recursion* (arXiv 2311.04449), sections 3 and 4. Cost: O(n^2 W D) time and memory for a group of n items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from nestree.layers import Cell, Scorer
from nestree.layers.cell import mask_width
from nestree.recursions.beam.alignment import align
from nestree.recursions.beam.options import BeamSearch
from nestree.recursions.draws import SearchDraws, Sites, dropout_mask
from nestree.recursions.outer import Outer
from nestree.recursions.shapes import Packed, Score, State
from nestree.trees import Span

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Node:
    """A leaf, or the parent of two nodes; nodes are compared by identity."""

    state: State
    """(D,)"""
    children: tuple[Node, Node] | None = None


@dataclass(frozen=True)
class Beam:
    """A frontier, which is the roots of partial trees from left to right, and its score."""

    score: Score
    """Scalar: sum of the log-probabilities of the merges that led to the frontier."""
    frontier: tuple[Node, ...]


@dataclass
class NaiveRecursion:
    """A search over one sequence: everything except its input."""

    cell: Cell
    scorer: Scorer
    options: BeamSearch
    outer: Outer
    draws: SearchDraws
    training: bool
    sequence: int
    """The sequence's row in the batch, a coordinate of its draws."""
    device: torch.device
    together: Sequence[Span] = ()
    """Spans that must be constituents."""
    places: dict[Node, Span] = field(default_factory=dict)
    """The (first leaf, one past the last) of every node so far."""
    margin: float = field(default=float("inf"))
    """The smallest gap between keys that decided a selection; below rounding error, two implementations may differ."""

    def __call__(self, leaves: Packed) -> list[Beam]:
        """Fold leaves (T, D) to beams with one root each, best beam first."""
        items = [[Beam(leaves.new_zeros((), dtype=score_dtype(leaves)), (Node(leaf),))] for leaf in leaves]
        self.places.update({item[0].frontier[0]: (leaf, leaf + 1) for leaf, item in enumerate(items)})
        level = 0
        while len(items) > 1:
            groups = self.cut(items, level)
            roots = self.outer.roots if len(groups) > 1 else 1
            items = [self.fold(join(group), roots, level, number) for number, group in enumerate(groups)]
            if len(items) > 1:
                items = [self.align(beams, level, number) for number, beams in enumerate(items)]
            level += 1
        return items[0]

    def cut(self, items: list[list[Beam]], level: int) -> list[list[list[Beam]]]:
        """Cut a sequence into groups of at most k leaves, or k roots of the level below; or leave it whole."""
        arity = self.outer.arity
        if arity is None:
            return [items]
        threshold = self.outer.split_from or arity + arity // 2
        if self.training and self.outer.training_split_from is not None:
            threshold = self.outer.training_split_from
        if sum(len(item[0].frontier) for item in items) < threshold:
            return [items]
        count = arity if level == 0 else arity // self.outer.roots
        return [items[start : start + count] for start in range(0, len(items), count)]

    def align(self, beams: list[Beam], level: int, group: int) -> list[Beam]:
        """Fill the W slots of a group from its beams."""
        scores = torch.stack([beam.score for beam in beams]).unsqueeze(0)
        present = torch.tensor([len(beams)], device=scores.device)
        slots = align(
            scores,
            present,
            self.options.beam_size,
            self.outer,
            sites=self.site(level, group),
            draws=self.draws.alignment,
        )
        # Subtract the best score: a shared offset cancels in the softmax, and large sums lose precision.
        return [Beam(beams[slot].score - beams[0].score.detach(), beams[slot].frontier) for slot in slots[0].tolist()]

    def fold(self, beams: list[Beam], roots: int, level: int, group: int) -> list[Beam]:
        """Fold one group's beams to ``roots`` roots each; best noiseless score first."""
        composed: dict[tuple[Node, Node], Node] = {}  # shared by all beams: a pair is composed once
        step = 0
        if self.options.merge_equal:
            equal: dict[tuple[Node, ...], list[Tensor]] = {}
            for beam in beams:
                equal.setdefault(beam.frontier, []).append(beam.score)
            beams = [Beam(torch.stack(scores).logsumexp(0), frontier) for frontier, scores in equal.items()]
        while len(beams[0].frontier) > roots:
            merges = [(beam, 0) for beam in beams]  # a frontier of two has no choice: log-probability 0
            if len(beams[0].frontier) > 2:
                beams, merges = self.select(beams, composed, level, group, step)
            pairs = [(b.frontier[at], b.frontier[at + 1]) for b, at in merges]
            self.compose(list(zip(pairs, range(len(pairs)), strict=True)), composed, level, group, step)
            beams = [
                Beam(
                    new.score,
                    (*old.frontier[:at], composed[old.frontier[at], old.frontier[at + 1]], *old.frontier[at + 2 :]),
                )
                for new, (old, at) in zip(beams, merges, strict=True)
            ]
            step += 1
        return self.best(beams, len(beams), torch.stack([beam.score for beam in beams]))

    def select(
        self, beams: list[Beam], composed: dict[tuple[Node, Node], Node], level: int, group: int, step: int
    ) -> tuple[list[Beam], list[tuple[Beam, int]]]:
        """Return the W best continuations with their scores, and for each the beam and position of the merged pair."""
        logits = self.logits([list(pairwise(beam.frontier)) for beam in beams], composed, level, group, step)
        broken = torch.tensor(
            [[self.crosses(*pair) for pair in pairwise(beam.frontier)] for beam in beams], device=logits.device
        )
        logits = logits.masked_fill(broken, -torch.inf)
        log_probability = logits.log_softmax(-1)
        totals = torch.stack([beam.score for beam in beams]).unsqueeze(-1) + log_probability
        pair_keys, noise = log_probability.detach(), torch.zeros_like(logits)
        if self.draws.noise is not None:
            site, (width, pairs) = self.site(level, group), logits.shape
            pair_keys = logits.detach() + self.draws.noise.pair_noise(site, step, width, pairs, logits.dtype)[0]
            position = torch.arange(pairs, device=self.device).expand(1, width, pairs)
            noise = self.draws.noise.candidate_noise(site, step, position, logits.dtype)[0]
        candidates = [
            (beam, position)
            for beam in range(len(beams))
            for position in sorted(self.best(range(logits.shape[1]), self.options.beam_size, pair_keys[beam]))
            if not broken[beam, position]
        ]
        forests: dict[object, list[tuple[int, int]]] = {}
        for beam, at in candidates:
            forest = self.after(beams[beam].frontier, at, composed) if self.options.merge_equal else (beam, at)
            forests.setdefault(forest, []).append((beam, at))
        scores = [torch.stack([totals[candidate] for candidate in equal]).logsumexp(0) for equal in forests.values()]
        first = [equal[0] for equal in forests.values()]
        keys = torch.stack(scores) + torch.stack([noise[candidate] for candidate in first])
        chosen = self.best(list(zip(scores, first, strict=True)), self.options.beam_size, keys)
        return [Beam(score, ()) for score, _ in chosen], [(beams[beam], at) for _, (beam, at) in chosen]

    def crosses(self, left: Node, right: Node) -> bool:
        """Return whether the parent of two nodes would cross a span that must be a constituent."""
        if not self.together:
            return False
        first, end = self.places[left][0], self.places[right][1]
        return any(first < start < end < stop or start < first < stop < end for start, stop in self.together)

    @staticmethod
    def after(
        frontier: tuple[Node, ...], at: int, composed: dict[tuple[Node, Node], Node]
    ) -> tuple[Node | tuple[Node, Node], ...]:
        """Return a frontier after its pair ``at`` is merged; a pair not composed yet stands for its parent."""
        pair = (frontier[at], frontier[at + 1])
        return (*frontier[:at], composed.get(pair, pair), *frontier[at + 2 :])

    def logits(
        self,
        pairs: list[list[tuple[Node, Node]]],
        composed: dict[tuple[Node, Node], Node],
        level: int,
        group: int,
        step: int,
    ) -> Float[Tensor, "v p"]:
        """Return the logits (V, P) of each beam's neighbouring pairs; each distinct pair is scored once."""
        number = {pair: index for index, pair in enumerate(dict.fromkeys(chain.from_iterable(pairs)))}
        if not self.scorer.reads_parents:
            left, right = (torch.stack([pair[side].state for pair in number]) for side in (0, 1))
            scored = self.scorer(left, right)
        else:
            mask_indices = [
                (pair, at * self.options.beam_size + beam)
                for beam, row in enumerate(pairs)
                for at, pair in enumerate(row)
            ]
            self.compose(mask_indices, composed, level, group, step)
            scored = self.scorer(torch.stack([composed[pair].state for pair in number]))
        return scored.to(score_dtype(scored))[torch.tensor([[number[pair] for pair in row] for row in pairs])]

    def compose(
        self,
        pairs: list[tuple[tuple[Node, Node], int]],
        composed: dict[tuple[Node, Node], Node],
        level: int,
        group: int,
        step: int,
    ) -> None:
        """Compose the pairs that are new; of duplicates, the first one determines the dropout mask.

        Each pair comes with the index that its mask is drawn for: its beam's number or, where all pairs are composed to
        be scored, a combination of beam and position.
        """
        new = {pair: mask_index for pair, mask_index in reversed(pairs) if pair not in composed}
        if not new:
            return
        left, right = (torch.stack([pair[side].state for pair in new]) for side in (0, 1))
        masks = []
        width = mask_width(self.cell)
        if self.draws.dropout is not None and width:
            asking = torch.tensor(list(new.values()), device=left.device)
            sites = self.site(level, group).take(torch.zeros_like(asking))
            random_bits = self.draws.dropout.random_bits(sites, step, asking, width)
            masks = [dropout_mask(random_bits, self.cell.dropout, left.dtype) / (1 - self.cell.dropout)]
        states = self.cell(left, right, *masks)
        for pair, state in zip(new, states, strict=True):
            composed[pair] = node = Node(state, pair)
            self.places[node] = (self.places[pair[0]][0], self.places[pair[1]][1])

    def best(self, items: Sequence[Item], count: int, keys: Float[Tensor, " c"]) -> list[Item]:
        """Return the ``count`` items with the largest keys, largest first; ties go to the earlier item."""
        ordered, order = keys.detach().sort(descending=True, stable=True)
        gaps = (ordered[:-1] - ordered[1:])[:count]
        # Ties come from equal frontiers, whose order is fixed; only the order of distinct keys can change by rounding.
        self.margin = min([self.margin, *gaps[gaps > 0].tolist()])
        return [items[index] for index in order[:count].tolist()]

    def site(self, level: int, group: int) -> Sites:
        """Return the coordinates of one group."""
        sequence, group_number = torch.tensor([[self.sequence], [group]], device=self.device)
        return Sites(sequence, group_number, level)


def join(group: list[list[Beam]]) -> list[Beam]:
    """Make a group's beams from its items' beams: beam b concatenates their b-th frontiers and adds up their scores."""
    return [
        Beam(
            torch.stack([item.score for item in items]).sum(),
            tuple(chain.from_iterable(item.frontier for item in items)),
        )
        for items in zip(*group, strict=True)
    ]


def score_dtype(states: Tensor) -> torch.dtype:
    """Return the dtype that scores are accumulated in: at least float32."""
    return torch.promote_types(states.dtype, torch.float32)
