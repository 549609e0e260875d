"""The trees of beams as flat lists, and the ancestors of their leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Integer
from torch import Tensor

from nestree.layers.parent_attention import Paths
from nestree.recursions.shapes import Rows, TableIndex

PlaceIndex = Integer[Tensor, " i"]


@runtime_checkable
class Links(Protocol):
    """The structure of trees over a node table, leaves first."""

    left: TableIndex
    """(U,) rows of the left children; undefined for leaves and unused rows."""
    right: TableIndex
    """(U,) rows of the right children."""
    leaves: int
    """Number of leaves."""


@dataclass(frozen=True)
class Places:
    """The nodes of the trees of K beams, as I places: one node in one beam each, parents before children."""

    row: PlaceIndex
    """(I,) row of the node in the store."""
    beam: PlaceIndex
    """(I,) the beam, as an index into ``roots``."""
    parent: PlaceIndex
    """(I,) the place of the parent; -1 for a root."""
    height: PlaceIndex
    """(I,) height of the node; 0 for leaves."""

    @classmethod
    def under(cls, roots: Rows, store: Links) -> Places:
        """Return the places of the trees under ``roots`` (K,)."""
        beam = torch.arange(len(roots), device=roots.device)
        rows, beams, parents = [roots], [beam], [torch.full_like(beam, -1)]
        first = 0
        while True:
            composed = (rows[-1] >= store.leaves).nonzero().squeeze(-1)
            if len(composed) == 0:
                break
            here = rows[-1][composed]
            rows.append(torch.stack([store.left[here], store.right[here]], dim=1).flatten())
            beams.append(beams[-1][composed].repeat_interleave(2))
            parents.append((composed + first).repeat_interleave(2))
            first += len(rows[-2])
        parent = torch.cat(parents)
        height = torch.zeros_like(parent)
        end = len(parent)
        for part in reversed(parents[1:]):
            own = slice(end - len(part), end)
            height.scatter_reduce_(0, part, height[own] + 1, "amax")
            end = own.start
        return cls(torch.cat(rows), torch.cat(beams), parent, height)

    def leaf_places(self, leaves: int) -> Integer[Tensor, " s"]:
        """Return the places of leaves, beam by beam from left to right."""
        found = (self.row < leaves).nonzero().squeeze(-1)
        return found[(self.beam[found] * leaves + self.row[found]).argsort()]

    def paths(self, leaves: int) -> tuple[Paths, Rows]:
        """Return the ancestors of every leaf in every beam, and the rows (M,) of all ancestors in the store.

        The nodes of the paths are indices into these rows, their beams indices into the roots.
        """
        start = self.leaf_places(leaves)
        segment, place = torch.arange(len(start), device=start.device), start
        segments, places = [segment[:0]], [place[:0]]
        while True:
            place = self.parent[place]
            unfinished = place >= 0
            segment, place = segment[unfinished], place[unfinished]
            if len(place) == 0:
                break
            segments.append(segment)
            places.append(place)
        segment, order = torch.cat(segments).sort(stable=True)
        place = torch.cat(places)[order]
        rows, number = self.row[place].unique(return_inverse=True)
        return Paths(self.row[start], self.beam[start], segment, number, self.height[place]), rows
