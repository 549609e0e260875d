"""The search: beam search over node numbers, for all groups of one level at once, without autograd."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from nestree.recursions.beam.engine.columns import carry, top
from nestree.recursions.beam.engine.composer import Composer
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.merging import Classes, classes_of, parent_code
from nestree.recursions.beam.engine.pairs import Chosen, Neighbours
from nestree.recursions.beam.engine.scoring import Scoring
from nestree.recursions.draws import SearchDraws, Sites
from nestree.recursions.shapes import (
    BeamScores,
    CandidateIndex,
    Frontier,
    KeptIndex,
    KeptRoots,
    KeptScores,
    PairIndex,
    PairLogits,
    ProposedIndex,
    ProposedScores,
    TableIndex,
)


@dataclass(frozen=True)
class SearchResult:
    """The final beams of each group, in the order of the search."""

    nodes: KeptRoots
    """(G, W, R) the roots of each beam; arbitrary beyond the group's number of roots."""
    scores: KeptScores
    """(G, W) accumulated log-probability; -inf where a group has fewer beams."""
    history: Any
    """The choices behind the scores, if the store records: a `History`, or the compiled library's own."""


class Search:
    """Beam search over the groups of one level, those with the most merges first.

    ``frontier`` (G, V, N) holds node numbers, and ``logits`` (G, V, N + 1) the logits of neighbouring pairs, with a
    column of -inf at either end, so that a merge there needs no special case.
    """

    def __init__(
        self,
        scoring: Scoring,
        frontier: Frontier,
        scores: BeamScores,
        sizes: list[int],
        roots: list[int],
        sites: Sites,
        beam_size: int,
        draws: SearchDraws,
    ) -> None:
        """Start a search.

        Args:
            scoring: scores pairs; its store holds the items, and receives the new nodes.
            frontier: (G, V, N) node numbers of each group's items in each beam; any valid number in the padding.
            scores: (G, V) the beams' scores so far.
            sizes: number of items of each group.
            roots: number of roots that each group is folded to; groups are in descending order of merges, then roots.
            sites: the groups' coordinates, for drawing.
            beam_size: W.
            draws: source of noise and dropout masks.
        """
        self.scoring = scoring
        self.store = store = scoring.store
        self.sizes = sizes
        self.size = torch.tensor(sizes, device=frontier.device)
        merges = [size - left for size, left in zip(sizes, roots, strict=True)]
        # The last merge of a group that is folded to one root involves no choice.
        choices = [count - (left == 1) for count, left in zip(merges, roots, strict=True)]
        self.steps = merges[0]
        self.merges, self.choices = ([-count for count in counts] for counts in (merges, choices))
        self.sites = sites
        self.beam_size = beam_size
        self.noise = draws.noise
        self.history = History() if store.record else None
        self.frontier = frontier
        self.scores = scores
        self.codes: CandidateIndex | None = None
        if store.code is not None:
            self._merge_start(store.code)
        most = self.steps * scoring.composed_per_step(beam_size)
        self.composer = Composer(store, sites, most, beam_size=beam_size, dropout=draws.dropout)
        self.pairs: PairIndex | None = None
        """(G, V, N + 1) indices of the pairs; None if nothing needs them."""
        self.logits = self._first_logits()
        groups = len(sizes)
        self.final_nodes = frontier.new_zeros(groups, beam_size, max(roots))
        self.final_scores = scores.new_full((groups, beam_size), -torch.inf)

    def run(self) -> SearchResult:
        """Merge until every beam of every group has its number of roots."""
        for step in range(self.steps):
            self._finish(self._merging(step))
            choosing = bisect_left(self.choices, -step)
            beam, position, scores = self._choose(choosing, step)
            self._merge(beam, position, scores, step)
        self._finish(0)
        if self.history is not None:
            self.history.pairs = self.scoring.count_pairs(self.history)
        return SearchResult(self.final_nodes, self.final_scores, self.history)

    def _merging(self, step: int) -> int:
        """Return the number of groups that merge at ``step``; since they are sorted, these come first."""
        return bisect_left(self.merges, -step)

    def _finish(self, active: int) -> None:
        """Store the results of the groups from ``active`` on, whose frontiers are their roots, and drop them."""
        groups, beams, _ = self.frontier.shape
        if active == groups:
            return
        roots = self.frontier[active:, :, : self.final_nodes.shape[2]]
        self.final_nodes[active:groups, :beams, : roots.shape[2]] = roots
        self.final_scores[active:groups, :beams] = self.scores[active:]
        self.frontier, self.scores, self.logits = self.frontier[:active], self.scores[:active], self.logits[:active]
        if self.codes is not None:
            self.codes = self.codes[:active]
        if self.pairs is not None:
            self.pairs = self.pairs[:active]

    def _choose(self, choosing: int, step: int) -> tuple[KeptIndex, KeptIndex, KeptScores]:
        """Return the (beam, position, score), each (G, W), of every new beam.

        The first ``choosing`` groups have frontiers of three or more; the others merge their only pair, which adds
        nothing to the score.
        """
        groups, beams, _ = self.frontier.shape
        own = torch.arange(beams, device=self.scores.device).expand(groups - choosing, beams)
        zero = torch.zeros_like(own)
        if choosing == 0:
            return own, zero, self.scores
        beam, position, scores = self._select(choosing, step)
        rest = self.scores[choosing:]
        room = beam.shape[1] - beams
        if room > 0:
            own, zero = (functional.pad(index, (0, room)) for index in (own, zero))
            rest = functional.pad(rest, (0, room), value=-torch.inf)
        return torch.cat([beam, own]), torch.cat([position, zero]), torch.cat([scores, rest])

    def _select(self, choosing: int, step: int) -> tuple[KeptIndex, KeptIndex, KeptScores]:
        """Return the W best continuations of the first ``choosing`` groups."""
        logits = self.logits[:choosing, :, 1:-1]
        pairs = logits.shape[-1]
        # An absent beam may have no pair left: a finite value prevents NaN.
        log_norm = logits.logsumexp(-1).clamp_(min=torch.finfo(logits.dtype).min)
        sites = self.sites.take(slice(0, choosing))
        count = min(self.beam_size, pairs)
        keys = None
        if count == pairs:
            picked = torch.arange(pairs, device=logits.device).expand_as(logits)
        elif self.noise is None:
            picked = top(logits - log_norm.unsqueeze(-1), count)
        else:
            noise = self.noise.pair_noise(sites, step, logits.shape[1], pairs, logits.dtype)
            noise.add_(logits)
            keys = noise if self.beam_size == 1 else None  # a straight-through replay needs them
            picked = noise.topk(count, dim=-1).indices  # (G, V, K) positions; noise has no ties
        chance = logits.gather(-1, picked)
        totals = chance - log_norm.unsqueeze(-1) + self.scores[:choosing].unsqueeze(-1)
        absent = (chance == -torch.inf) | (self.scores[:choosing].unsqueeze(-1) == -torch.inf)
        totals.masked_fill_(absent, -torch.inf)
        classes = self._classes(picked, totals)
        if classes is not None:
            totals = classes.total.view_as(totals)
        width = min(self.beam_size, totals[0].numel())
        if self.noise is None:
            place = picked + torch.arange(logits.shape[1], device=logits.device).unsqueeze(-1) * pairs
            chosen = top(totals.flatten(1), width, place.flatten(1))
        else:
            noise = self.noise.candidate_noise(sites, step, picked, totals.dtype)
            chosen = noise.add_(totals).flatten(1).topk(width, dim=-1).indices
        beam, position = chosen // count, picked.flatten(1).gather(-1, chosen)
        scores = totals.flatten(1).gather(-1, chosen)
        if self.history is not None and self.pairs is not None:
            numbers = self.pairs[:choosing, :, 1:-1].to(torch.int32)
            choice = Choice(logits, numbers, log_norm, beam, position, keys=keys)
            if classes is not None:
                slot, share = classes.slots(chosen)
                origin = torch.arange(picked[0].numel(), device=picked.device).expand_as(slot) // count
                choice = Choice(logits, numbers, log_norm, origin, picked.flatten(1), slot, share)
            self.history.choices.append(choice)
        return beam, position, scores

    def _classes(self, picked: ProposedIndex, totals: ProposedScores) -> Classes | None:
        """Group the candidates, pairs ``picked`` (G, V, K), by equal frontiers; None without ``merge_equal``."""
        if self.codes is None or self.store.code is None:
            return None
        groups = len(picked)
        frontier = self.frontier[:groups]
        left, right = (self.store.code.take(frontier.gather(2, at)) for at in (picked, picked + 1))
        codes = self.codes[:groups].unsqueeze(-1) - left - right + parent_code(left, right)
        return classes_of(codes.flatten(1), totals.flatten(1))

    def _merge_start(self, code: TableIndex) -> None:
        """Merge beams that are equal at the start, and move the remaining ones to the front."""
        _, beams, longest = self.frontier.shape
        real = torch.arange(longest, device=self.frontier.device) < self.size.view(-1, 1, 1)
        codes = (code.take(self.frontier) * real).sum(-1)
        classes = classes_of(codes, self.scores)
        order = (classes.total == -torch.inf).to(torch.uint8).sort(stable=True, dim=-1).indices
        self.codes, self.scores = codes.gather(1, order), classes.total.gather(1, order)
        self.frontier = self.frontier.gather(1, order.unsqueeze(-1).expand(-1, -1, longest))
        if self.history is not None and beams > 1:
            self.history.start = classes.slots(order)

    def _merge(self, beam: KeptIndex, position: KeptIndex, scores: KeptScores, step: int) -> None:
        """Replace two children by their parent in every kept frontier, and score the two pairs next to it."""
        groups, _, items = self.frontier.shape
        width = beam.shape[1]
        flat = self.frontier.flatten(1)
        start = beam * items + position
        left, right = flat.gather(1, start), flat.gather(1, start + 1)
        absent = scores == -torch.inf
        chosen = Chosen(beam, position, left, right, absent)
        node = self.scoring.node(self.composer, chosen, self.pairs, step)
        if self.history is not None:
            self.history.merged.append(node)
        if self.codes is not None and self.store.code is not None:
            code = self.store.code
            self.codes = self.codes.gather(1, beam) - code.take(left) - code.take(right) + code.take(node)
        at = position.unsqueeze(-1)
        frontier = carry(self.frontier, beam, at)
        frontier.scatter_(2, at, node.unsqueeze(-1))
        self.frontier, self.scores = frontier, scores
        # The last pair needs no score; where all pairs are composed, scoring is also what composes it.
        if items <= (2 if self.scoring.composes_all else 3):
            self.logits = self.logits.new_zeros(groups, width, 0)
            self.pairs = None
            return
        beside = frontier.gather(2, torch.cat([at - 1, at + 1], dim=-1).clamp_(0, items - 2))
        neighbours = Neighbours(
            left=torch.stack([beside[..., 0], node], dim=-1),
            right=torch.stack([node, beside[..., 1]], dim=-1),
            column=torch.cat([at, at + 1], dim=-1),
            exists=torch.cat([at > 0, at < (self.size[:groups].view(-1, 1, 1) - step - 2)], dim=-1),
            absent=absent,
        )
        unfinished = self._merging(step + 1)
        logits, numbers = self.scoring.beside(self.composer, neighbours, unfinished, step, self.history)
        self.logits = carry(self.logits, beam, at + 1)
        logits = logits.to(scores.dtype).masked_fill_(~neighbours.exists, -torch.inf)
        self.logits.scatter_(2, neighbours.column, logits)
        if numbers is not None and self.pairs is not None:
            self.pairs = carry(self.pairs, beam, at + 1)
            self.pairs.scatter_(2, neighbours.column, numbers)

    def _first_logits(self) -> PairLogits:
        """Score all neighbouring pairs of the items, and store their indices."""
        logits, numbers = self.scoring.first(self.composer, self.frontier, self.scores, self.sizes, self.history)
        logits = logits.to(self.scores.dtype)
        missing = torch.arange(logits.shape[-1], device=logits.device) >= self.size.view(-1, 1, 1) - 1
        logits.masked_fill_(missing, -torch.inf)
        if numbers is not None:
            self.pairs = functional.pad(numbers, (1, 1))
        return functional.pad(logits, (1, 1), value=-torch.inf)
