"""The beam tree whose last beam is soft in training (OneSoft)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from nestree.buckets import Buckets
from nestree.errors import OptionError
from nestree.layers import Cell, Scorer
from nestree.layers.cell import mask_width
from nestree.recursions.base import STEP, Folded, Leaves, TreeSearch
from nestree.recursions.beam.beam_tree import BeamTree
from nestree.recursions.beam.engine.columns import top
from nestree.recursions.beam.naive import score_dtype
from nestree.recursions.beam.options import BeamSearch, BeamSelection
from nestree.recursions.draws import Draws, Sites, dropout_mask
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import Outer
from nestree.recursions.recompute import Recompute
from nestree.recursions.shapes import (
    BeamScores,
    BesideIndex,
    CandidateIndex,
    CandidateScores,
    FrontierParents,
    FrontierStates,
    GroupIndex,
    Items,
    KeptIndex,
    OnePairIndex,
    OnePairStates,
    Padded,
    SequenceRoots,
)

DEFAULTS = BeamSelection(noise=False)

FRONTIERS = 7
"""Estimate of the tensors of a beam's size that a step saves for the backward pass."""
FEATURES = 28
"""Estimate of the numbers that a cell call saves, as a multiple of D."""


class OneSoftBeamTree(TreeSearch):
    """A beam tree over composed parents; in training the candidates that plain selection drops form one soft beam.

    The best W - 1 candidates are kept. The last beam is the average of all others, weighted by ``softmax(score)``:
    frontiers x, parents p, masks m of the chosen pair, and scores are each averaged, and the frontier becomes

        x'_i = m_i p_i + (1 - c_i) x_i + (c_i - m_i) x_(i+1),    c = the cumulative sum of m.

    This way all candidates get a gradient. At evaluation this is the plain beam tree with the fast engine. In training
    a soft beam is not a tree, and all of its pairs are recomposed at every step: n^2 cell calls for n tokens. Beyond a
    memory budget, activations are recomputed in the backward pass, a few steps at a time; memory grows with n^1.5.

    Source: Ray Chowdhury and Caragea 2023, *Beam Tree Recursive Cells* (arXiv 2305.19999), section 3.
    """

    def __init__(self, cell: Cell, scorer: Scorer, search: BeamSelection = DEFAULTS) -> None:
        """Make a beam tree.

        Args:
            cell: composes a pair.
            scorer: a parent scorer, of the same width as ``cell``.
            search: number of beams, including the soft one, and whether noise affects their selection.

        Raises:
            ValueError: names the argument.
        """
        super().__init__(cell, scorer)
        self.search = search

    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence; see [`Recursion`][].

        Raises:
            ValueError: in training, ``trees`` is set or ``outer`` has an arity.
        """
        if not self.training:
            plain = BeamTree(self.cell, self.scorer, BeamSearch(self.search.beam_size)).eval()
            return plain.recurse(leaves, outer, trees=trees, draws=draws)
        if trees:
            raise ValueError("trees must be False in training: a soft beam is not a tree")
        if outer.arity is not None:
            raise OptionError("outer", "must have no arity: in training soft beams cannot be aligned")
        buckets = Buckets(leaves.lengths.host, rows=STEP)
        parts = zip(buckets.padded(leaves.packed()), buckets.sequences, buckets.of_each, strict=True)
        return Folded(buckets.joined([self._train(*part, draws or Draws()) for part in parts]))

    def _train(self, states: Padded, sequences: list[int], own: list[int], draws: Draws) -> SequenceRoots:
        """Return the expected root of some sequences; a sequence leaves the batch when it is folded."""
        sizes = Lengths.of(own, states.device)
        order = sizes.longest_first()
        rows = torch.tensor(order, device=states.device)
        lengths = [own[row] for row in order]
        states = states[rows]
        sequence = torch.tensor(sequences, device=states.device)[rows]
        search = SoftSearch(self, draws, Sites(sequence, torch.zeros_like(rows), 0), sizes.tensor[rows])
        choosing = sum(length > 1 for length in lengths)
        ended = [states[choosing:, 0]]
        if choosing:
            beams = search.begin(states[:choosing])
            recompute = Recompute(dropout=self.search.noise or mask_width(self.cell) > 0)
            for steps in _spans(lengths[0] - 1):
                size = len(steps) * beams.parents[:, 0].nbytes * (FRONTIERS * self.search.beam_size + FEATURES)
                roots, *parts = recompute(
                    search.run, beams.frontier, beams.parents, beams.scores, lengths, steps, size=size
                )
                ended.append(roots)
                beams = SoftBeams(*parts)
        return torch.cat(list(reversed(ended)))[rows.argsort()]


def _spans(steps: int) -> Iterator[range]:
    """Cut a search into checkpointed spans, sized so that all checkpoints take about as much memory as one span."""
    span = max(1, round(math.sqrt(2 * steps / FRONTIERS)))
    return (range(at, min(at + span, steps)) for at in range(0, steps, span))


@dataclass(frozen=True)
class SoftBeams:
    """The beams of the sequences that are still being folded."""

    frontier: FrontierStates
    """(G, V, N, D)"""
    parents: FrontierParents
    """(G, V, N - 1, D) of all neighbouring pairs."""
    scores: BeamScores
    """(G, V); -inf where a sequence has fewer beams."""

    def first(self, groups: int) -> SoftBeams:
        """Return the beams of the first sequences."""
        return SoftBeams(self.frontier[:groups], self.parents[:groups], self.scores[:groups])


@dataclass(frozen=True)
class SoftSearch:
    """A search in training, with plain autograd; the longest sequences come first."""

    tree: OneSoftBeamTree
    draws: Draws
    sites: Sites
    size: GroupIndex
    """(G,) tokens of each sequence."""

    def begin(self, states: Items) -> SoftBeams:
        """Return one beam per sequence, over its leaves (G, N, D)."""
        mask_index = (
            torch.arange(states.shape[1] - 1, device=states.device).expand(len(states), -1) * self.tree.search.beam_size
        )
        parents = self.compose(states[:, :-1], states[:, 1:], mask_index, 0)
        scores = states.new_zeros(len(states), 1, dtype=score_dtype(states))
        return SoftBeams(states.unsqueeze(1), parents.unsqueeze(1), scores)

    def run(
        self, frontier: FrontierStates, parents: FrontierParents, scores: BeamScores, lengths: list[int], steps: range
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run some steps, from the beams of the sequences that are first in ``lengths``.

        Returns:
            The roots of the sequences that are finished, shortest last, and the fields of the others' beams.
        """
        beams, ended = SoftBeams(frontier, parents, scores), []
        for step in steps:
            choosing = sum(length - step > 2 for length in lengths)
            # The last pair is composed already, and without an alternative it adds nothing to the score.
            weights = beams.scores[choosing:].softmax(-1).to(frontier.dtype)
            ended.append((weights.unsqueeze(1) @ beams.parents[choosing:, :, 0]).squeeze(1))
            if choosing:
                beams = self.step(beams.first(choosing), step)
        return torch.cat(list(reversed(ended))), beams.frontier, beams.parents, beams.scores

    def step(self, beams: SoftBeams, step: int) -> SoftBeams:
        """Merge one pair in every beam of sequences with more than one pair."""
        beam, position, scores = self.candidates(beams, step)
        width, pairs = self.tree.search.beam_size, beams.parents.shape[2]
        hard = min(width - 1, beam.shape[1])
        frontier, kept = self.merge_hard(beams, beam[:, :hard], position[:, :hard])
        left, right, mask_index, columns = self.beside(frontier, position[:, :hard])
        totals = scores[:, :hard]
        if hard < beam.shape[1]:
            soft, total = self.merge_soft(beams, beam[:, hard:], position[:, hard:], scores[:, hard:])
            places = torch.arange(pairs - 1, device=beam.device).expand(len(beam), -1)
            left, right = torch.cat([left, soft[:, :-1]], dim=1), torch.cat([right, soft[:, 1:]], dim=1)
            mask_index = torch.cat([mask_index, places * width + hard], dim=1)
            frontier = torch.cat([frontier, soft.unsqueeze(1)], dim=1)
            totals = torch.cat([totals, total], dim=1)
        fresh = self.compose(left, right, mask_index, step + 1)
        beside, rest = fresh.split([2 * hard, fresh.shape[1] - 2 * hard], dim=1)
        index = columns.unsqueeze(-1).expand(-1, -1, -1, fresh.shape[-1])
        parents = kept.scatter(2, index, beside.unflatten(1, (hard, 2)))[:, :, 1:-1]
        if hard < beam.shape[1]:
            parents = torch.cat([parents, rest.unsqueeze(1)], dim=1)
        return SoftBeams(frontier, parents, totals)

    def candidates(self, beams: SoftBeams, step: int) -> tuple[CandidateIndex, CandidateIndex, CandidateScores]:
        """Return the (beam, position, score), each (G, C), of the W best pairs of each beam, best candidate first."""
        groups, width, pairs = beams.parents.shape[:3]
        real = torch.arange(pairs, device=self.size.device) < (self.size[:groups] - step - 1).view(-1, 1, 1)
        logits = self.tree.scorer(beams.parents).to(beams.scores.dtype).masked_fill(~real, -torch.inf)
        totals = (beams.scores.unsqueeze(-1) + logits.log_softmax(-1)).flatten(1)
        keys, sites = logits.detach(), self.sites.take(slice(0, groups))
        if self.tree.search.noise:
            keys = keys + self.draws.pair_noise(sites, step, width, pairs, keys.dtype)
        picked = top(keys, min(self.tree.search.beam_size, pairs))
        place = (picked + torch.arange(width, device=picked.device).unsqueeze(-1) * pairs).flatten(1)
        keys = totals.detach().gather(1, place)
        if self.tree.search.noise:
            keys = keys + self.draws.candidate_noise(sites, step, picked, keys.dtype).flatten(1)
        place = place.gather(1, top(keys, keys.shape[1], place))
        return place // pairs, place % pairs, totals.gather(1, place)

    def merge_hard(
        self, beams: SoftBeams, beam: KeptIndex, position: KeptIndex
    ) -> tuple[Float[Tensor, "g w p d"], Float[Tensor, "g w n d"]]:
        """Merge the pair at ``position`` (G, W) of each ``beam`` (G, W).

        Returns:
            The frontiers (G, W, N - 1, D), and the parents (G, W, N, D) of their pairs, with an extra column at either
            end. These columns and the two pairs next to the new node hold arbitrary numbers.
        """
        _, count, items, dim = beams.frontier.shape
        table = torch.cat([beams.frontier.flatten(1, 2), beams.parents.flatten(1, 2)], dim=1)
        column, beam, at = torch.arange(items - 1, device=beam.device), beam.unsqueeze(-1), position.unsqueeze(-1)
        moved = beam * items + column + (column > at)
        node = count * items + beam * (items - 1) + at
        rows = torch.where(column == at, node, moved).flatten(1)
        frontier = table.gather(1, rows.unsqueeze(-1).expand(-1, -1, dim)).unflatten(1, (beam.shape[1], items - 1))
        column = torch.arange(items, device=beam.device) - 1
        pair = (column + (column > at)).clamp(0, items - 2)
        rows = (beam * (items - 1) + pair).flatten(1)
        parents = beams.parents.flatten(1, 2).gather(1, rows.unsqueeze(-1).expand(-1, -1, dim))
        return frontier, parents.unflatten(1, (beam.shape[1], items))

    def beside(
        self, frontier: Float[Tensor, "g w n d"], position: KeptIndex
    ) -> tuple[Float[Tensor, "g 2*w d"], Float[Tensor, "g 2*w d"], Integer[Tensor, "g 2*w"], BesideIndex]:
        """Return the pairs next to each new node at ``position`` (G, W) of ``frontier`` (G, W, N, D).

        Returns:
            Left and right items (G, 2 W, D), the indices (G, 2 W) to draw masks for, and the columns (G, W, 2) of their
            parents in the result of [`merge_hard`][].
        """
        items, dim = frontier.shape[2:]
        columns = torch.stack([position, position + 1], dim=-1)
        first = (columns - 1).clamp(0, items - 1)
        second = columns.clamp(0, items - 1)
        left, right = (
            frontier.gather(2, of.unsqueeze(-1).expand(-1, -1, -1, dim)).flatten(1, 2) for of in (first, second)
        )
        beam = torch.arange(position.shape[1], device=position.device).unsqueeze(-1)
        return left, right, ((columns - 1) * self.tree.search.beam_size + beam).flatten(1), columns

    def merge_soft(
        self, beams: SoftBeams, beam: CandidateIndex, position: CandidateIndex, scores: CandidateScores
    ) -> tuple[Items, Float[Tensor, "g 1"]]:
        """Merge the average of candidates (G, C), and return its frontier and score (G, 1)."""
        absent = scores == -torch.inf
        none = absent.all(-1, keepdim=True)
        weights = scores.masked_fill(none, 0).softmax(-1)
        total = (weights * scores.masked_fill(absent, 0)).sum(-1, keepdim=True).masked_fill(none, -torch.inf)
        weights = weights.to(beams.frontier.dtype)
        groups, count, items = beams.frontier.shape[:3]
        of_beams = weights.new_zeros(groups, count).scatter_add(1, beam, weights)
        mask = weights.new_zeros(groups, items - 1).scatter_add(1, position, weights)
        frontier, parents = (
            (of_beams.unsqueeze(1) @ of.flatten(2)).view(groups, *of.shape[2:])
            for of in (beams.frontier, beams.parents)
        )
        m, c = mask.unsqueeze(-1), mask.cumsum(-1).unsqueeze(-1)
        return m * parents + (1 - c) * frontier[:, :-1] + (c - m) * frontier[:, 1:], total

    def compose(self, left: OnePairStates, right: OnePairStates, mask_index: OnePairIndex, step: int) -> OnePairStates:
        """Return the parents of items (G, P, D), with dropout masks drawn for ``mask_index`` (G, P)."""
        cell, masks = self.tree.cell, []
        if width := mask_width(cell):
            group = torch.arange(len(left), device=left.device).unsqueeze(-1).expand_as(mask_index).flatten()
            random_bits = self.draws.random_bits(self.sites.take(group), step, mask_index.flatten(), width)
            mask = dropout_mask(random_bits.view(*mask_index.shape, -1), cell.dropout, left.dtype) / (1 - cell.dropout)
            masks = [mask]
        return cell(left, right, *masks).to(left.dtype)  # autocast may have changed the dtype
