"""The search and the replay of a beam tree by the compiled library, on tensors that Python owns."""

from __future__ import annotations

import ctypes
import weakref
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nestree.layers import GatedRecursiveCell, PairScorer
from nestree.recursions.beam.engine.native import library
from nestree.recursions.beam.engine.native.library import Functions, Gradients, Level, ReplayCall, Store, Weights, address
from nestree.recursions.draws import Draws, KeyedDraws, Sites

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestree.layers import Scorer

_NONE, _EXACT, _FAST = range(3)


def serves(cell: GatedRecursiveCell, scorer: Scorer, packed: Tensor, draws: Sequence[Draws | None]) -> bool:
    """Return whether the library computes exactly what these parts do."""
    if packed.device.type != "cpu" or packed.dtype not in (torch.float32, torch.float64):
        return False
    if type(cell) is not GatedRecursiveCell or type(scorer) is not PairScorer:
        return False
    parts: list[tuple[nn.Module, type]] = [
        (cell.hidden, nn.Linear), (cell.gates, nn.Linear), (cell.norm, nn.LayerNorm),
        (scorer.hidden, nn.Linear), (scorer.score, nn.Linear),
    ]  # fmt: skip
    if any(type(part) is not kind for part, kind in parts):
        return False
    if any(type(draw) not in (Draws, KeyedDraws) for draw in draws if draw is not None):
        return False
    parameters = [*cell.parameters(), *scorer.parameters()]
    plain = all(tensor.is_contiguous() and tensor.dtype == packed.dtype for tensor in parameters)
    return plain and len(parameters) == 9 and library.load() is not None


class NativeHistory:
    """How the scores of one level came about; the library's own, freed with this object."""

    def __init__(self, functions: Functions, handle: int, beams: int) -> None:
        self.functions = functions
        self.handle = handle
        self.beams = beams
        self._free = weakref.finalize(self, functions.free_history, handle)

    def score_gradient(self, gradient: Tensor) -> Tensor:
        """Pull the gradient (G, W) of the final scores back to those that the search began with, (G, B).

        The library keeps that of the pairs' logits for its replay.
        """
        gradient = gradient.contiguous()
        start = gradient.new_zeros(len(gradient), self.beams)
        self.functions.score_gradient(self.handle, address(gradient), address(start))
        return start


class NativeStore:
    """A node store that the library fills; its tables are tensors, as those of the other one."""

    def __init__(
        self,
        leaves: Tensor,
        lengths: list[int],
        capacity: int,
        cell: GatedRecursiveCell,
        scorer: PairScorer,
        *,
        record: bool,
        noise: Draws | None,
        dropout: Draws | None,
    ) -> None:
        """Make a store that begins with ``leaves`` (N, D) of sequences of these ``lengths``, and has room for ``capacity`` rows."""
        functions = library.load()
        assert functions is not None
        self.functions = functions[leaves.dtype]
        self.cell, self.scorer, self.record = cell, scorer, record
        self.leaves = self.rows = len(leaves)
        self.capacity = capacity
        dim, width = cell.dim, scorer.width
        self.states = leaves.new_empty(capacity, dim)
        self.states[: self.rows] = leaves
        self.left_half, self.right_half = leaves.new_empty(2, capacity, width)
        self.left, self.right, self.height = torch.zeros(3, capacity, dtype=torch.int64)
        kept = capacity if record else 0
        self.hidden = leaves.new_empty(kept, cell.hidden_dim)
        self.gates = leaves.new_empty(kept, 4 * dim)
        self.draws = noise or dropout
        self.noise, self.dropout = _mode(noise), _mode(dropout) if cell.dropout > 0 else _NONE
        self.mask_key = torch.empty(kept, dtype=torch.int64) if self.dropout else None
        self.seed = self._seed()
        self.parts = max(1, min(torch.get_num_threads(), len(lengths) if record else len(leaves) // 64))
        self.part_of_sequence = _deal(lengths, self.parts)
        self.table = Store(
            *map(address, (self.states, self.left_half, self.right_half)),
            *(address(tensor) if record else None for tensor in (self.hidden, self.gates, self.mask_key)),
            *map(address, (self.left, self.right, self.height)),
            self.leaves,
            capacity,
        )
        self.model = self.functions.model(byref(weights_of(cell, [*cell.parameters(), *scorer.parameters()])))
        self._free = weakref.finalize(self, self.functions.free_model, self.model)
        self.functions.project(self.model, byref(self.table))

    def search(
        self, frontier: Tensor, scores: Tensor, sizes: list[int], roots: list[int], sites: Sites, *, beam_size: int
    ) -> tuple[Tensor, Tensor, NativeHistory | None]:
        """Fold the groups of one level.

        Returns:
            The roots (G, W, R), the scores (G, W), and the history if the store records.
        """
        groups, beams, items = frontier.shape
        frontier, scores = frontier.contiguous(), scores.contiguous()
        size, root_count = torch.tensor(sizes), torch.tensor(roots)
        most = (size - root_count) * beam_size
        base = self.rows + most.cumsum(0) - most
        part = self.part_of_sequence[sites.sequence] if self.record else _deal(sizes, self.parts)
        sequence = sites.sequence
        if isinstance(self.draws, KeyedDraws) and self.draws.identities is not None:
            sequence = self.draws.identities[sequence]
        sequence, group = sequence.contiguous(), sites.group.contiguous()
        nodes = frontier.new_zeros(groups, beam_size, max(roots))
        final = scores.new_full((groups, beam_size), -torch.inf)
        used = torch.empty_like(size)
        level = Level(
            groups, beams, items, beam_size, max(roots),
            *map(address, (frontier, scores, size, root_count, base, part, sequence, group)),
            sites.level, self.seed, self.noise, self.dropout, self.parts,
            *map(address, (nodes, final, used)),
        )  # fmt: skip
        handle = self.functions.search(self.model, byref(self.table), byref(level), int(self.record))
        self.rows += int(most.sum())
        return nodes, final, NativeHistory(self.functions, handle, beams) if self.record else None

    def replay(
        self, histories: list[NativeHistory], rows: Tensor, outside: Tensor, parameters: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Pull gradients back from roots.

        Args:
            histories: of the levels, lowest first; their scores' gradients have been pulled back.
            rows: (B, W) the sequences' roots.
            outside: (B, W, D) their gradients.
            parameters: of the cell and the scorer.

        Returns:
            The leaves' gradient (N, D) and the parameters'.
        """
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        leaves = outside.new_empty(self.leaves, outside.shape[-1])
        working = torch.empty_like(self.states)
        part = self.part_of_sequence.unsqueeze(-1).expand_as(rows).contiguous()
        rows, outside = rows.contiguous(), outside.contiguous()
        call = ReplayCall(
            len(histories), rows.numel(), self.parts, self.dropout,
            (c_void_p * len(histories))(*(history.handle for history in histories)),
            *map(address, (rows, part, outside, working)),
        )  # fmt: skip
        self.functions.replay(
            byref(weights_of(self.cell, parameters)), byref(self.table), byref(call),
            byref(Gradients(*map(address, gradients), address(leaves))),
        )  # fmt: skip
        return leaves, gradients

    def _seed(self) -> int:
        if isinstance(self.draws, KeyedDraws):
            return self.draws.seed
        if self.draws is None or not (self.noise or self.dropout):
            return 0
        return int(torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=self.draws.generator))


def weights_of(cell: GatedRecursiveCell, parameters: Sequence[Tensor]) -> Weights:
    """Return the addresses of the parameters of a cell and a pair scorer, in the order of their modules."""
    width = parameters[8].shape[1]
    return Weights(cell.dim, cell.hidden_dim, width, *map(address, parameters), cell.norm.eps, cell.dropout)


def _mode(draws: Draws | None) -> int:
    if draws is None:
        return _NONE
    return _EXACT if isinstance(draws, KeyedDraws) else _FAST


def _deal(work: list[int], parts: int) -> Tensor:
    """Return which of the parts takes each piece of work, the largest first and back and forth, so that they end together."""
    order = sorted(range(len(work)), key=lambda piece: -work[piece])
    part = [0] * len(work)
    for place, piece in enumerate(order):
        turn, offset = divmod(place, parts)
        part[piece] = offset if turn % 2 == 0 else parts - 1 - offset
    return torch.tensor(part, dtype=torch.int64)
