"""Composes pairs for the groups of one level, each distinct pair of a group once."""

from __future__ import annotations

import torch

from nestree.recursions.beam.engine import devices
from nestree.recursions.beam.engine.columns import first_of_equal
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Draws, Sites
from nestree.recursions.shapes import BeamScores, CandidateFlags, CandidateIndex, Frontier, PairIndex, RandomBits, Rows


class Composer:
    """Appends the parents of pairs to a store, and remembers for each group which pairs it has composed."""

    def __init__(self, store: NodeStore, sites: Sites, most: int, *, beam_size: int, dropout: Draws | None) -> None:
        """Start with nothing composed.

        Args:
            store: receives the new nodes.
            sites: the groups' coordinates, for drawing.
            most: upper bound on the number of pairs per group that are passed to [`compose`][].
            beam_size: W.
            dropout: source of dropout masks; None: no dropout.
        """
        device = sites.group.device
        self.store = store
        self.sites = sites
        self.beam_size = beam_size
        self.dropout = dropout
        self.compact = devices.on_host(device)
        self.keys = torch.empty(len(sites), most, dtype=torch.int64, device=device)
        self.nodes = torch.empty_like(self.keys)
        self.used = 0

    def compose(
        self,
        left: CandidateIndex,
        right: CandidateIndex,
        absent: CandidateFlags,
        mask_index: CandidateIndex,
        step: int,
    ) -> CandidateIndex:
        """Return the parents (G, C) of ``left`` and ``right`` (G, C); each distinct pair of a group is composed once.

        Of equal pairs the first is composed, with the dropout mask of its ``mask_index`` (G, C); the result is
        arbitrary where a pair is ``absent`` (G, C).
        """
        groups, width = left.shape
        column = torch.arange(width, device=left.device)
        keys = torch.where(absent, -1 - column, left * self.store.capacity + right)
        known, end = self.used, self.used + width
        self.used = end
        self.keys[:groups, known:end] = keys
        same = keys.unsqueeze(-1) == self.keys[:groups, :end].unsqueeze(1)
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
        self.nodes[:groups, known:end] = number
        return self.nodes[:groups].gather(1, first)

    def compose_neighbours(self, frontier: Frontier, scores: BeamScores, sizes: list[int]) -> PairIndex:
        """Return the parents (G, V, N - 1) of all neighbouring items of ``frontier`` (G, V, N).

        A pair that occurs in several beams of a group is composed once. Beyond the ``sizes`` of the groups, and in
        beams without a score (G, V), a parent may be any row.
        """
        left, right = frontier[..., :-1], frontier[..., 1:]
        groups, beams, pairs = left.shape
        device = left.device
        beam, position = torch.arange(beams, device=device).unsqueeze(-1), torch.arange(pairs, device=device)
        first = first_of_equal((left * self.store.capacity + right).flatten(1))
        # Counted on the host, so that an accelerator is not synchronized.
        real = torch.arange(pairs) < torch.tensor(sizes).view(-1, 1, 1) - 1
        new = real.expand(left.shape)
        if self.compact:
            own = torch.arange(beams * pairs, device=device)
            new = new & (first == own).view(left.shape) & (scores != -torch.inf).unsqueeze(-1)
        row = new.flatten().nonzero().squeeze(-1).to(device)
        number = torch.zeros(groups * beams * pairs, dtype=torch.int64, device=device)
        number[row] = torch.arange(self.store.rows, self.store.rows + len(row), device=device)
        if len(row):
            mask_index = (position * self.beam_size + beam).expand(left.shape).flatten()[row]
            random_bits = self._random_bits(row // (beams * pairs), mask_index, 0)
            self.store.append(left.flatten()[row], right.flatten()[row], random_bits)
        return number.view(groups, -1).gather(1, first).view(left.shape)

    def _random_bits(self, group: Rows, mask_index: Rows, step: int) -> RandomBits | None:
        """Return random bits for the masks ``mask_index`` (M,) of ``group`` (M,); None without dropout."""
        width = self.store.cell.mask_width
        if self.dropout is None or width == 0:
            return None
        return self.dropout.random_bits(self.sites.take(group), step, mask_index, width)
