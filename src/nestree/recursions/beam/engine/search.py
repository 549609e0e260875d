"""The search: beam trees over node numbers, for all groups of one level at once, without autograd."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nestree.layers import ParentScorer
from nestree.recursions.beam.engine.columns import carry, first_of_equal, top
from nestree.recursions.beam.engine.history import Choice, History
from nestree.recursions.beam.engine.merging import Classes, classes_of, parent_code
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Draws, Sites


@dataclass(frozen=True)
class SearchResult:
    """The beams that are left of each group, in the order in which the search held them."""

    nodes: Tensor
    """(G, W, R) the roots of each beam; what stands beyond those of a group means nothing."""
    scores: Tensor
    """(G, W) accumulated log-probability; -inf where there is no such beam."""
    history: History | None


class Search:
    """Beam search over the groups of one level, those with the most merges first.

    ``frontier`` (G, B, N) holds node numbers and ``logits`` (G, B, N + 1) the logits of neighbouring pairs, with a
    column of -inf before the first pair and behind the last one, so that a merge at either end is no special case.
    """

    def __init__(
        self,
        store: NodeStore,
        frontier: Tensor,
        scores: Tensor,
        sizes: list[int],
        roots: list[int],
        sites: Sites,
        *,
        beam_size: int,
        noise: Draws | None,
        dropout: Draws | None,
    ) -> None:
        """Begin a search.

        Args:
            store: holds the items, and takes the new nodes.
            frontier: (G, B, N) node numbers of each group's items, a beam a row; anything valid in the padding.
            scores: (G, B) the beams' scores so far.
            sizes: items of each group.
            roots: what each group is folded to; groups are in descending order of merges, then of roots.
            sites: the groups' places, to draw for.
            beam_size: W.
            noise: Gumbel noise for the selection; None selects by log-probability.
            dropout: dropout masks; None drops nothing.
        """
        self.store = store
        self.sizes = sizes
        self.size = torch.tensor(sizes, device=frontier.device)
        merges = [size - left for size, left in zip(sizes, roots, strict=True)]
        # The last merge of a group that is folded to one root is no choice.
        choices = [count - (left == 1) for count, left in zip(merges, roots, strict=True)]
        self.steps = merges[0]
        self.merges, self.choices = ([-count for count in counts] for counts in (merges, choices))
        self.sites = sites
        self.beam_size = beam_size
        self.noise = noise
        self.dropout = dropout
        # Without data-dependent shapes an accelerator need not wait for the host; a CPU is better off without waste.
        self.compact = frontier.device.type == "cpu"
        self.history = History() if store.record else None
        self.frontier = frontier
        self.scores = scores
        self.codes: Tensor | None = None
        if store.code is not None:
            self._merge_start(store.code)
        self.of_parents = isinstance(store.scorer, ParentScorer)
        self.pairs: Tensor | None = None
        groups = len(sizes)
        self.logits = self._first_parent_logits() if self.of_parents else self._first_logits()
        masks = 2 * beam_size if self.of_parents else beam_size
        self.composed_keys = torch.empty(groups, self.steps * masks, dtype=torch.int64, device=frontier.device)
        self.composed_nodes = torch.empty_like(self.composed_keys)
        self.composed = 0
        self.final_nodes = frontier.new_zeros(groups, beam_size, max(roots))
        self.final_scores = scores.new_full((groups, beam_size), -torch.inf)

    def run(self) -> SearchResult:
        """Merge until every group has as many roots a beam as it is to have."""
        for step in range(self.steps):
            self._finish(self._merging(step))
            choosing = bisect_left(self.choices, -step)
            beam, position, scores = self._choose(choosing, step)
            self._merge(beam, position, scores, step)
        self._finish(0)
        if self.history is not None and self.of_parents:
            self.history.pairs = self.store.rows
        return SearchResult(self.final_nodes, self.final_scores, self.history)

    def _merging(self, step: int) -> int:
        """Return how many groups merge at ``step``: as they are sorted, these are the first ones."""
        return bisect_left(self.merges, -step)

    def _finish(self, active: int) -> None:
        """Put the groups from ``active`` on away: their frontiers are their roots."""
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

    def _choose(self, choosing: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the (beam, position, score), each (G, W), of every new beam.

        The first ``choosing`` groups have a frontier of three or more; the others merge the one pair that they have, in
        every beam, which adds nothing to the score.
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

    def _select(self, choosing: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the W best continuations of the first ``choosing`` groups."""
        logits = self.logits[:choosing, :, 1:-1]
        pairs = logits.shape[-1]
        # An absent beam may have no pair left: finite numbers keep NaN out of its way.
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
            picked = noise.topk(count, dim=-1).indices  # (G, B, K) positions; noise has no ties
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

    def _classes(self, picked: Tensor, totals: Tensor) -> Classes | None:
        """Sort the candidates, pairs ``picked`` (G, B, K), into classes of equal frontiers, if these are merged."""
        if self.codes is None or self.store.code is None:
            return None
        groups = len(picked)
        frontier = self.frontier[:groups]
        left, right = (self.store.code.take(frontier.gather(2, at)) for at in (picked, picked + 1))
        codes = self.codes[:groups].unsqueeze(-1) - left - right + parent_code(left, right)
        return classes_of(codes.flatten(1), totals.flatten(1))

    def _merge_start(self, code: Tensor) -> None:
        """Merge the beams that are equal to begin with, those that are left in front."""
        _, beams, longest = self.frontier.shape
        real = torch.arange(longest, device=self.frontier.device) < self.size.view(-1, 1, 1)
        codes = (code.take(self.frontier) * real).sum(-1)
        classes = classes_of(codes, self.scores)
        order = (classes.total == -torch.inf).to(torch.uint8).sort(stable=True, dim=-1).indices
        self.codes, self.scores = codes.gather(1, order), classes.total.gather(1, order)
        self.frontier = self.frontier.gather(1, order.unsqueeze(-1).expand(-1, -1, longest))
        if self.history is not None and beams > 1:
            self.history.start = classes.slots(order)

    def _merge(self, beam: Tensor, position: Tensor, scores: Tensor, step: int) -> None:
        """Replace two children by their parent in every kept frontier, and score the two pairs next to it."""
        groups, _, items = self.frontier.shape
        width = beam.shape[1]
        flat = self.frontier.flatten(1)
        start = beam * items + position
        left, right = flat.gather(1, start), flat.gather(1, start + 1)
        if self.of_parents and self.pairs is not None:
            node = self.pairs.flatten(1).gather(1, beam * (items + 1) + position + 1)
        else:
            mask_index = torch.arange(width, device=beam.device).expand_as(beam)
            node = self._compose(left, right, scores == -torch.inf, mask_index, step)
        if self.history is not None:
            self.history.merged.append(node)
        if self.codes is not None and self.store.code is not None:
            code = self.store.code
            self.codes = self.codes.gather(1, beam) - code.take(left) - code.take(right) + code.take(node)
        at = position.unsqueeze(-1)
        frontier = carry(self.frontier, beam, at)
        frontier.scatter_(2, at, node.unsqueeze(-1))
        self.frontier, self.scores = frontier, scores
        if items <= (2 if self.of_parents else 3):  # what is left has one pair at most, which needs no score
            self.logits = self.logits.new_zeros(groups, width, 0)
            self.pairs = None
            return
        neighbours = torch.cat([at - 1, at + 1], dim=-1).clamp_(0, items - 2)
        neighbours = frontier.gather(2, neighbours)
        left = torch.stack([neighbours[..., 0], node], dim=-1)
        right = torch.stack([node, neighbours[..., 1]], dim=-1)
        exists = torch.cat([at > 0, at < (self.size[:groups].view(-1, 1, 1) - step - 2)], dim=-1)
        columns = torch.cat([at, at + 1], dim=-1)
        if self.of_parents:
            mask_index = (columns - 1) * self.beam_size + torch.arange(width, device=at.device).unsqueeze(-1)
            absent = ~exists | (scores == -torch.inf).unsqueeze(-1)
            unfinished = self._merging(step + 1)
            of_left, of_right, absent, mask_index = (
                of[:unfinished].flatten(1) for of in (left, right, absent, mask_index)
            )
            numbers = torch.zeros_like(left)
            composed = self._compose(of_left, of_right, absent, mask_index, step + 1)
            numbers[:unfinished] = composed.view(unfinished, width, 2)
            logits = self.store.parent_logits(numbers)
        else:
            numbers = None if self.history is None else self.history.log_pairs(left, right)
            logits = self.store.logits(left, right)
        self.logits = carry(self.logits, beam, at + 1)
        self.logits.scatter_(2, columns, logits.to(scores.dtype).masked_fill_(~exists, -torch.inf))
        if numbers is not None and self.pairs is not None:
            self.pairs = carry(self.pairs, beam, at + 1)
            self.pairs.scatter_(2, columns, numbers)

    def _compose(self, left: Tensor, right: Tensor, absent: Tensor, mask_index: Tensor, step: int) -> Tensor:
        """Return the parents (G, P) of ``left`` and ``right`` (G, P): composed once for each group and pair.

        The first of equal pairs is composed, with the dropout mask of its ``mask_index`` (G, P); those that are
        ``absent`` (G, P) get any number.
        """
        groups, width = left.shape
        column = torch.arange(width, device=left.device)
        keys = torch.where(absent, -1 - column, left * self.store.capacity + right)
        known, end = self.composed, self.composed + width
        self.composed = end
        self.composed_keys[:groups, known:end] = keys
        same = keys.unsqueeze(-1) == self.composed_keys[:groups, :end].unsqueeze(1)
        first = same.view(torch.uint8).argmax(-1)  # the first of equal values, as documented
        if self.compact:
            new = ((first == column + known) & ~absent).flatten()
            row = new.nonzero().squeeze(-1)
            number = new.cumsum(0).view(groups, width) + (self.store.rows - 1)
            left, right = left.flatten()[row], right.flatten()[row]
        else:
            row = torch.arange(groups * width, device=left.device)
            number = row.view(groups, width) + self.store.rows
            left, right = left.flatten(), right.flatten()
        if len(row):
            self.store.append(left, right, self._random_bits(row // width, mask_index.flatten()[row], step))
        self.composed_nodes[:groups, known:end] = number
        return self.composed_nodes[:groups].gather(1, first)

    def _random_bits(self, group: Tensor, mask_index: Tensor, step: int) -> Tensor | None:
        """Return random bits of the masks ``mask_index`` (M,) of ``group`` (M,); None without dropout."""
        cell = self.store.cell
        if self.dropout is None or cell.dropout == 0:
            return None
        return self.dropout.random_bits(self.sites.take(group), step, mask_index, cell.hidden_dim)

    def _first_logits(self) -> Tensor:
        """Score all neighbouring pairs of the items."""
        left, right = self.frontier[..., :-1], self.frontier[..., 1:]
        logits = self.store.logits(left, right).to(self.scores.dtype)
        missing = torch.arange(logits.shape[-1], device=logits.device) >= self.size.view(-1, 1, 1) - 1
        logits.masked_fill_(missing, -torch.inf)
        if self.history is not None:
            self.pairs = functional.pad(self.history.log_pairs(left, right), (1, 1))
        return functional.pad(logits, (1, 1), value=-torch.inf)

    def _first_parent_logits(self) -> Tensor:
        """Compose all neighbouring pairs of the items, the same one in several beams once, and score the parents."""
        left, right = self.frontier[..., :-1], self.frontier[..., 1:]
        groups, beams, pairs = left.shape
        device = left.device
        beam, position = torch.arange(beams, device=device).unsqueeze(-1), torch.arange(pairs, device=device)
        first = first_of_equal((left * self.store.capacity + right).flatten(1))
        # On the host: an accelerator need not be waited for to know how many there are.
        real = torch.arange(pairs) < torch.tensor(self.sizes).view(-1, 1, 1) - 1
        new = real.expand(left.shape)
        if self.compact:
            own = torch.arange(beams * pairs, device=device)
            new = new & (first == own).view(left.shape) & (self.scores != -torch.inf).unsqueeze(-1)
        row = new.flatten().nonzero().squeeze(-1).to(device)
        number = torch.zeros(groups * beams * pairs, dtype=torch.int64, device=device)
        number[row] = torch.arange(self.store.rows, self.store.rows + len(row), device=device)
        if len(row):
            mask_index = (position * self.beam_size + beam).expand(left.shape).flatten()[row]
            random_bits = self._random_bits(row // (beams * pairs), mask_index, 0)
            self.store.append(left.flatten()[row], right.flatten()[row], random_bits)
        parents = number.view(groups, -1).gather(1, first).view(left.shape)
        logits = self.store.parent_logits(parents).to(self.scores.dtype).masked_fill_(~real.to(device), -torch.inf)
        self.pairs = functional.pad(parents, (1, 1))
        return functional.pad(logits, (1, 1), value=-torch.inf)
