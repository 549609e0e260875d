"""The compiled library as a backend of search and replay, on tensors that Python owns."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from ctypes import byref, c_int64, c_void_p
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nestree.layers import Cell, PairScorer
from nestree.layers.cell import mask_width
from nestree.layers.plain import is_plain_cell, is_plain_pair_scorer
from nestree.native import library
from nestree.native.library import (
    Compose,
    Functions,
    Gradients,
    Level,
    ReplayCall,
    Store,
    Weights,
    address,
)
from nestree.native.memory import allocate
from nestree.recursions.beam.engine.recomputed import tensors_of
from nestree.recursions.beam.engine.replay import cell_gradient
from nestree.recursions.beam.engine.saved import HoldsTensors
from nestree.recursions.beam.engine.search import SearchResult
from nestree.recursions.beam.engine.store import NodeStore
from nestree.recursions.draws import Draws, KeyedDraws, SearchDraws, Sites, mix_bits
from nestree.recursions.shapes import (
    BeamScores,
    Children,
    Frontier,
    KeptScores,
    Packed,
    Rows,
    SequenceNodes,
    SequenceStates,
    TableIndex,
    TableStates,
)

_NONE, _EXACT, _FAST = range(3)


def serves(cell: nn.Module, scorer: nn.Module, packed: Packed, *draws: Draws | None) -> bool:
    """Return whether the library supports this scorer, input and source of random numbers; cells may be any."""
    if packed.device.type != "cpu" or packed.dtype not in (torch.float32, torch.float64):
        return False
    if not is_plain_pair_scorer(scorer, packed):
        return False
    if any(type(draw) not in (Draws, KeyedDraws) for draw in draws if draw is not None):
        return False
    read = [*scorer.parameters(), *(cell.parameters() if is_plain_cell(cell, packed) else ())]
    return all(tensor.is_contiguous() for tensor in read) and library.load() is not None


class NativeHistory(HoldsTensors):
    """The library's record of one level's search, freed together with the tensor that represents it."""

    def __init__(self, functions: Functions, handle: int, beams: int) -> None:
        """Own the record at ``handle`` of a search that started with ``beams`` beams."""
        self.beams = beams
        number = next(_NUMBERS)
        memory = (c_int64 * 1)(number)
        self.token = torch.frombuffer(memory, dtype=torch.int64)
        """The number of the history, in a tensor, so that autograd frees it."""
        _HISTORIES[number] = handle
        weakref.finalize(memory, _free, functions, number)

    @property
    def handle(self) -> int:
        """The library's address of the record.

        Raises:
            RuntimeError: a saved-tensor hook has replaced the tensor.
        """
        handle = _HISTORIES.get(int(self.token))
        if handle is None:
            raise RuntimeError('hooks that move saved tensors cannot move a compiled search: use engine="torch"')
        return handle


_HISTORIES: dict[int, int] = {}
"""Addresses of the live histories, by number; numbers are never reused."""
_NUMBERS = itertools.count()


def _free(functions: Functions, number: int) -> None:
    functions.free_history(_HISTORIES.pop(number))


@dataclass
class NativeNodes:
    """The node tables that the library fills; every group has its own range of rows, and some rows stay unused."""

    states: TableStates
    left: TableIndex
    right: TableIndex
    height: TableIndex
    leaves: int
    rows: int


class NativeBackend(HoldsTensors):
    """The compiled library: loops over groups, with one matrix product for all nodes that a step composes.

    Its own is the gated recursive cell. Another cell is called once in each step for all new nodes of the batch, and in
    the replay once per height.
    """

    def __init__(
        self,
        leaves: Packed,
        lengths: list[int],
        capacity: int,
        cell: Cell,
        scorer: PairScorer,
        beam_size: int,
        draws: SearchDraws,
        *,
        record: bool,
        bfloat16: bool = False,
    ) -> None:
        """Start with ``leaves`` (T, D) of sequences of these ``lengths``, in tables of ``capacity`` rows.

        With ``bfloat16``, the cell's products round their factors to bfloat16, where the processor has such products;
        sums, the scorer and everything else remain in float32.
        """
        functions = library.load()
        assert functions is not None
        self.functions = functions[leaves.dtype]
        self.beam_size, self.record, self.bfloat16 = beam_size, record, bfloat16
        dim, width, masked = leaves.shape[1], scorer.width, mask_width(cell) > 0
        self.cell = cell if is_plain_cell(cell, leaves) else None
        self.draws = draws.noise or draws.dropout
        self.noise, self.dropout = _mode(draws.noise), _mode(draws.dropout) if masked else _NONE
        own = capacity if self.cell is not None else 0
        kept, hidden_dim = own if record else 0, 0 if self.cell is None else self.cell.hidden_dim
        number, whole = leaves.dtype, torch.int64
        self.left_half, self.right_half, states, self.hidden, self.gates, self.mask_key, left, right, height = allocate(
            ((capacity, width), number), ((capacity, width), number),
            ((own, dim), number), ((kept, hidden_dim), number), ((kept, 4 * dim), number),
            ((kept if self.dropout else 0,), whole), *[((own,), whole)] * 3,
        )  # fmt: skip
        if self.cell is None:
            self.store = NodeStore(leaves, capacity, cell, record=record)
        else:
            states[: len(leaves)] = leaves
            height[: len(leaves)] = 0
            self.store = NativeNodes(states, left, right, height, len(leaves), len(leaves))
        self.seed = self._seed()
        most = len(lengths) if record else len(leaves) // 64
        self.parts = 1 if self.cell is None else max(1, min(torch.get_num_threads(), most))
        self.part_of_sequence = _balance(lengths, self.parts)
        self.model = self.functions.model(byref(self.weights([*tensors_of(cell).values(), *scorer.parameters()])))
        self._free = weakref.finalize(self, self.functions.free_model, self.model)
        self.functions.project(self.model, byref(self.table()))

    def weights(self, parameters: Sequence[Tensor]) -> Weights:
        """Return the addresses of the parameters of the cell and the scorer, given in module order."""
        cell, width, of_scorer = self.cell, parameters[-1].shape[1], map(address, parameters[-3:])
        if cell is None:
            return Weights(self.store.states.shape[1], 0, width, *[None] * 6, *of_scorer, 0.0, 0.0, False)
        of_cell = map(address, parameters[:-3])
        return Weights(
            cell.dim, cell.hidden_dim, width, *of_cell, *of_scorer, cell.norm.eps, cell.dropout, self.bfloat16
        )

    def table(self) -> Store:
        """Return the addresses of the tables."""
        store = self.store
        return Store(
            *map(address, (store.states, self.left_half, self.right_half)),
            *(address(tensor) if len(tensor) else None for tensor in (self.hidden, self.gates, self.mask_key)),
            *map(address, (store.left, store.right, store.height)),
            store.leaves,
            len(store.states),
        )

    def search(
        self, frontier: Frontier, scores: BeamScores, sizes: list[int], roots: list[int], sites: Sites
    ) -> SearchResult:
        """Fold the groups of one level; see [`Backend.search`][]."""
        beam_size = self.beam_size
        groups, beams, items = frontier.shape
        frontier, scores = frontier.contiguous(), scores.contiguous()
        size, root_count = torch.tensor(sizes), torch.tensor(roots)
        part = self.part_of_sequence[sites.sequence] if self.record else _balance(sizes, self.parts)
        most = torch.zeros(self.parts, dtype=torch.int64).index_add_(0, part, (size - root_count) * beam_size)
        base = self.store.rows + most.cumsum(0) - most
        sequence = sites.sequence
        if isinstance(self.draws, KeyedDraws) and self.draws.identities is not None:
            sequence = self.draws.identities[sequence]
        sequence, group = sequence.contiguous(), sites.group.contiguous()
        # Absent beams keep a node of their own group, which no other thread's replay touches.
        nodes = frontier[:, :1, :1].expand(-1, beam_size, max(roots)).clone()
        final = scores.new_full((groups, beam_size), -torch.inf)
        used = torch.empty_like(base)
        composing = None if self.cell is not None else _Composing(self)
        compose = None if composing is None else Compose(composing.call)  # not in the object: no reference cycle
        level = Level(
            groups, beams, items, beam_size, max(roots),
            *map(address, (frontier, scores, size, root_count, part, sequence, group, base)),
            sites.level, self.seed, self.noise, self.dropout, self.parts,
            *map(address, (nodes, final, used)),
            None if compose is None else c_void_p.from_buffer(compose).value,
        )  # fmt: skip
        handle = self.functions.search(self.model, byref(self.table()), byref(level), int(self.record))
        history = NativeHistory(self.functions, handle, beams) if self.record else None
        if composing is not None and composing.error is not None:
            raise composing.error
        # Absent beams get the first beam's nodes: row 0 may belong to another thread, and the replay touches all rows.
        nodes = torch.where((final == -torch.inf).unsqueeze(-1), nodes[:, :1], nodes)
        self.store.rows = int(base[-1] + used[-1])
        library.COUNTS.composed += int(used.sum())
        return SearchResult(nodes, final, history)

    def score_gradient(self, history: NativeHistory, gradient: KeptScores) -> tuple[BeamScores, None]:
        """Pull the gradient of scores back; the library stores that of the pairs' logits in the history."""
        gradient = gradient.to(self.store.states.dtype).contiguous()
        start = gradient.new_zeros(len(gradient), history.beams)
        self.functions.score_gradient(history.handle, address(gradient), address(start))
        return start, None

    def gradient(
        self,
        levels: Iterable[tuple[NativeHistory, None]],
        nodes: SequenceNodes,
        outside: SequenceStates,
        parameters: Sequence[Tensor],
        *,
        sequence: Rows | None = None,
    ) -> tuple[Packed, Sequence[Tensor]]:
        """Return the gradients of leaves and parameters; see [`Backend.gradient`][]."""
        outside = outside.to(self.store.states.dtype)  # the library reads raw memory of this dtype
        histories = [history for history, _ in levels][::-1]
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        part = self.part_of_sequence if sequence is None else self.part_of_sequence[sequence]
        part = part.unsqueeze(-1).expand_as(nodes).contiguous()
        nodes, outside = nodes.contiguous(), outside.contiguous()
        if self.cell is None:
            working, leaves = torch.zeros_like(self.store.states), None
            to = Gradients(*[None] * 6, *map(address, gradients[-3:]), None)
        else:
            (working,) = allocate((self.store.states.shape, outside.dtype))
            leaves = outside.new_empty(self.store.leaves, outside.shape[-1])
            to = Gradients(*map(address, gradients), address(leaves))
        call = ReplayCall(
            len(histories), nodes.numel(), self.parts, self.dropout,
            (c_void_p * len(histories))(*(history.handle for history in histories)),
            *map(address, (nodes, part, outside, working)),
        )  # fmt: skip
        library.COUNTS.replayed += self.functions.replay(
            byref(self.weights(parameters)), byref(self.table()), byref(call), byref(to)
        )
        if leaves is not None:
            return leaves, gradients
        assert isinstance(self.store, NodeStore)
        of_states = working[: self.store.rows]
        of_cell = cell_gradient(self.store, (of_states != 0).any(-1).nonzero(), of_states)
        return of_states[: self.store.leaves], [*of_cell, *gradients[-3:]]

    def _seed(self) -> int:
        if isinstance(self.draws, KeyedDraws):
            return self.draws.seed
        if self.draws is None or not (self.noise or self.dropout):
            return 0
        return int(torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=self.draws.generator))


class _Composing:
    """What the library calls for another cell; an error ends the search, and is raised after it."""

    def __init__(self, backend: NativeBackend) -> None:
        self.store, self.exact = backend.store, backend.dropout == _EXACT
        self.masked = backend.dropout != _NONE
        self.error: BaseException | None = None

    def call(self, count: int, first: int, *addresses: int) -> int:
        """Compose; see [`Compose`][nestree.native.library.Compose]."""
        try:
            left, right, keys = (
                torch.frombuffer((c_int64 * count).from_address(place), dtype=torch.int64) for place in addresses
            )
            self._compose(slice(first, first + count), torch.stack([left, right], dim=1), keys)
        except BaseException as error:  # must not cross the library's frames
            self.error = error
        return int(self.error is not None)

    def _compose(self, rows: slice, children: Children, keys: Rows) -> None:
        store = self.store
        assert isinstance(store, NodeStore)
        states = store.states.index_select(0, children.flatten()).view(-1, 2, store.states.shape[1])
        width = store.cell.mask_width
        bits = None
        if self.masked and self.exact:  # as in KeyedDraws.random_bits
            bits = mix_bits(keys.unsqueeze(-1) + torch.arange(width)).to(torch.int16)
        elif self.masked:
            bits = mix_bits(keys.unsqueeze(-1) + torch.arange(0, width, 4)).view(torch.int16)[:, :width]
        store.states[rows] = store.cell.forward(rows, states, bits)


def _mode(draws: Draws | None) -> int:
    if draws is None:
        return _NONE
    return _EXACT if isinstance(draws, KeyedDraws) else _FAST


def _balance(work: list[int], parts: int) -> TableIndex:
    """Return which of ``parts`` gets each piece of work: largest first, back and forth, to balance the load."""
    order = sorted(range(len(work)), key=lambda piece: -work[piece])
    part = [0] * len(work)
    for place, piece in enumerate(order):
        turn, offset = divmod(place, parts)
        part[piece] = offset if turn % 2 == 0 else parts - 1 - offset
    return torch.tensor(part, dtype=torch.int64)
