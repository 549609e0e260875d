"""The search and the replay of a beam tree by the compiled library, on tensors that Python owns."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from ctypes import byref, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nestree.layers import GatedRecursiveCell, PairScorer
from nestree.recursions.beam.engine.native import library
from nestree.recursions.beam.engine.native.library import (
    Functions,
    Gradients,
    Level,
    ReplayCall,
    Store,
    Weights,
    address,
)
from nestree.recursions.beam.engine.search import SearchResult
from nestree.recursions.draws import Draws, KeyedDraws, SearchDraws, Sites

_NONE, _EXACT, _FAST = range(3)


def serves(cell: nn.Module, scorer: nn.Module, packed: Tensor, *draws: Draws | None) -> bool:
    """Return whether the library computes exactly what these parts do."""
    if packed.device.type != "cpu" or packed.dtype not in (torch.float32, torch.float64):
        return False
    if type(cell) is not GatedRecursiveCell or type(scorer) is not PairScorer:
        return False
    linear = (cell.hidden, cell.gates, scorer.hidden, scorer.score)
    if any(type(part) is not nn.Linear for part in linear) or type(cell.norm) is not nn.LayerNorm:
        return False
    if any(type(draw) not in (Draws, KeyedDraws) for draw in draws if draw is not None):
        return False
    parameters = [*cell.parameters(), *scorer.parameters()]
    plain = all(tensor.is_contiguous() and tensor.dtype == packed.dtype for tensor in parameters)
    return plain and len(parameters) == 9 and library.load() is not None


class NativeHistory:
    """How the scores of one level came about; the library's own, freed with this object."""

    def __init__(self, functions: Functions, handle: int, beams: int) -> None:
        """Take over what a search of ``beams`` starting beams left at ``handle``."""
        self.functions = functions
        self.handle = handle
        self.beams = beams
        self._free = weakref.finalize(self, functions.free_history, handle)


@dataclass
class NativeNodes:
    """The tables of the nodes, as the library fills them; every group has its own rows, and some stay unused."""

    states: Tensor
    left: Tensor
    right: Tensor
    leaves: int
    rows: int


class NativeBackend:
    """The compiled library: a loop per group, and products over the nodes that one step composes."""

    def __init__(
        self,
        leaves: Tensor,
        lengths: list[int],
        capacity: int,
        cell: GatedRecursiveCell,
        scorer: PairScorer,
        beam_size: int,
        draws: SearchDraws,
        *,
        record: bool,
    ) -> None:
        """Begin with ``leaves`` (N, D) of sequences of these ``lengths``; there is room for ``capacity`` rows."""
        functions = library.load()
        assert functions is not None
        self.functions = functions[leaves.dtype]
        self.cell, self.beam_size, self.record = cell, beam_size, record
        dim, width = cell.dim, scorer.width
        states = leaves.new_empty(capacity, dim)
        states[: len(leaves)] = leaves
        self.left_half, self.right_half = leaves.new_empty(2, capacity, width)
        left, right, self.height = torch.zeros(3, capacity, dtype=torch.int64)
        self.store = NativeNodes(states, left, right, len(leaves), len(leaves))
        kept = capacity if record else 0
        self.hidden = leaves.new_empty(kept, cell.hidden_dim)
        self.gates = leaves.new_empty(kept, 4 * dim)
        self.draws = draws.noise or draws.dropout
        self.noise, self.dropout = _mode(draws.noise), _mode(draws.dropout) if cell.dropout > 0 else _NONE
        self.mask_key = torch.empty(kept, dtype=torch.int64) if self.dropout else None
        self.seed = self._seed()
        self.parts = max(1, min(torch.get_num_threads(), len(lengths) if record else len(leaves) // 64))
        self.part_of_sequence = _deal(lengths, self.parts)
        self.table = Store(
            *map(address, (states, self.left_half, self.right_half)),
            *(address(tensor) if record else None for tensor in (self.hidden, self.gates, self.mask_key)),
            *map(address, (left, right, self.height)),
            len(leaves),
            capacity,
        )
        self.model = self.functions.model(byref(weights_of(cell, [*cell.parameters(), *scorer.parameters()])))
        self._free = weakref.finalize(self, self.functions.free_model, self.model)
        self.functions.project(self.model, byref(self.table))

    def search(
        self, frontier: Tensor, scores: Tensor, sizes: list[int], roots: list[int], sites: Sites
    ) -> SearchResult:
        """Fold the groups of one level; see [`Backend.search`][]."""
        beam_size = self.beam_size
        groups, beams, items = frontier.shape
        frontier, scores = frontier.contiguous(), scores.contiguous()
        size, root_count = torch.tensor(sizes), torch.tensor(roots)
        most = (size - root_count) * beam_size
        base = self.store.rows + most.cumsum(0) - most
        part = self.part_of_sequence[sites.sequence] if self.record else _deal(sizes, self.parts)
        sequence = sites.sequence
        if isinstance(self.draws, KeyedDraws) and self.draws.identities is not None:
            sequence = self.draws.identities[sequence]
        sequence, group = sequence.contiguous(), sites.group.contiguous()
        # Absent beams keep a node of their own group: no other thread's replay may touch it.
        nodes = frontier[:, :1, :1].expand(-1, beam_size, max(roots)).clone()
        final = scores.new_full((groups, beam_size), -torch.inf)
        used = torch.empty_like(size)
        level = Level(
            groups, beams, items, beam_size, max(roots),
            *map(address, (frontier, scores, size, root_count, base, part, sequence, group)),
            sites.level, self.seed, self.noise, self.dropout, self.parts,
            *map(address, (nodes, final, used)),
        )  # fmt: skip
        handle = self.functions.search(self.model, byref(self.table), byref(level), int(self.record))
        self.store.rows += int(most.sum())
        library.COUNTS.composed += int(used.sum())
        return SearchResult(nodes, final, NativeHistory(self.functions, handle, beams) if self.record else None)

    def score_gradient(self, history: NativeHistory, gradient: Tensor) -> tuple[Tensor, None]:
        """Pull the gradient of scores back; the library keeps that of the pairs' logits with the history."""
        gradient = gradient.contiguous()
        start = gradient.new_zeros(len(gradient), history.beams)
        self.functions.score_gradient(history.handle, address(gradient), address(start))
        return start, None

    def gradient(
        self,
        levels: Iterable[tuple[NativeHistory, None]],
        nodes: Tensor,
        outside: Tensor,
        parameters: Sequence[Tensor],
        *,
        sequence: Tensor | None = None,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the gradients of leaves and parameters; see [`Backend.gradient`][]."""
        histories = [history for history, _ in levels][::-1]
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        leaves = outside.new_empty(self.store.leaves, outside.shape[-1])
        working = torch.empty_like(self.store.states)
        part = self.part_of_sequence if sequence is None else self.part_of_sequence[sequence]
        part = part.unsqueeze(-1).expand_as(nodes).contiguous()
        nodes, outside = nodes.contiguous(), outside.contiguous()
        call = ReplayCall(
            len(histories), nodes.numel(), self.parts, self.dropout,
            (c_void_p * len(histories))(*(history.handle for history in histories)),
            *map(address, (nodes, part, outside, working)),
        )  # fmt: skip
        library.COUNTS.replayed += self.functions.replay(
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
    """Return which part takes each piece of work: the largest first, back and forth, so that all end together."""
    order = sorted(range(len(work)), key=lambda piece: -work[piece])
    part = [0] * len(work)
    for place, piece in enumerate(order):
        turn, offset = divmod(place, parts)
        part[piece] = offset if turn % 2 == 0 else parts - 1 - offset
    return torch.tensor(part, dtype=torch.int64)
