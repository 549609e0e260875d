"""Ordered Memory: a chain whose state is a stack of soft slots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import Checked, check_at_least, check_probability
from nestree.layers import Cell, GatedRecursiveCell
from nestree.layers.cell import mask_width
from nestree.layers.plain import is_plain_cell
from nestree.recursions.base import Merges, SingleRootRecursion
from nestree.recursions.lengths import Lengths
from nestree.recursions.recompute import Recompute
from nestree.recursions.shapes import GroupIndex, GroupStates, Items, ItemWeights, Numbers

LEAST = 1e-5
"""Slots whose cumulative probability at the last step is below this are out of reach."""
ACTIVATIONS = 28
"""Estimate of the numbers that a cell call saves for the backward pass, as a multiple of D."""


class OrderedMemory(Checked, SingleRootRecursion):
    """Write every item into a stack of ``slots`` memories, and compose it with the memories from its slot upwards.

    A step attends to the slots with probabilities p. The candidates of the last step replace the memories up to the
    attended slot, and from there on the item is composed with one memory after the other. The root of a group is
    the last candidate at its last real item. The input projection ``LayerNorm(W x + b)`` shares its norm with
    the gated recursive cell; with another cell it has its own.

    Source: Shen et al. 2019 (arXiv 1910.13466), section 3; GELU instead of ReLU, as in the cell.
    Cost: at most ``slots`` sequential cell calls per item. Slots that no sequence of the batch can reach yet are
    skipped, which does not change the result.

    Examples:
        >>> memory = OrderedMemory(GatedRecursiveCell(8), slots=4)
        >>> memory.fold(torch.randn(2, 5, 8), Lengths.of([5, 3])).shape
        torch.Size([2, 8])
    """

    checks: ClassVar = {"memory_dropout": check_probability}

    def __init__(self, cell: Cell, *, slots: int = 21, memory_dropout: float = 0.1) -> None:
        """Make an Ordered Memory.

        Args:
            cell: composes an item, as the left child, with a memory, as the right one.
            slots: number of memories, which bounds the depth of the stack.
            memory_dropout: dropout rate in the attention over slots. The cell's own dropout rate also applies to its
                inputs.

        Raises:
            ValueError: ``slots`` is below 1 or ``memory_dropout`` not in [0, 1).
        """
        super().__init__()
        self.dim = cell.dim
        self.cell = cell
        self.slots = check_at_least("slots", slots, 1)
        self.memory_dropout = memory_dropout
        self.project = nn.Linear(cell.dim, cell.dim)
        self.norm = None if isinstance(cell, GatedRecursiveCell) else nn.LayerNorm(cell.dim)
        self.query, self.query_norm = nn.Linear(cell.dim, cell.dim), nn.LayerNorm(cell.dim)
        self.key, self.key_norm = nn.Linear(cell.dim, cell.dim), nn.LayerNorm(cell.dim)
        self.score = nn.Linear(cell.dim, 1, bias=False)  # a bias would cancel between the slots

    def fold(self, items: Items, sizes: Lengths) -> GroupStates:
        """Run along the groups; each leaves the batch at its end, so padding is never written."""
        return self._run(items, sizes)[0]

    def parse(self, items: Items, sizes: Lengths) -> tuple[GroupStates, list[Merges]]:
        """Fold, and derive each tree from the slots that its items attend to most; see [`merges_of_slots`][]."""
        root, attended = self._run(items, sizes)
        table = torch.stack(attended, dim=1).tolist()  # (G, N), the longest first
        order = sizes.longest_first()
        merges = {group: merges_of_slots(row[: sizes.host[group]]) for group, row in zip(order, table, strict=True)}
        return root, [merges[group] for group in range(len(order))]

    def _run(self, items: Items, sizes: Lengths) -> tuple[GroupStates, list[GroupIndex]]:
        """Return the roots, and for each step the most probable slot (G,), longest groups first."""
        order = sizes.longest_first()
        rows = torch.tensor(order, device=items.device)
        projected = self._norm()(self.project(items[rows]))
        queries = self.query_norm(self.query(self._drop(projected))).unbind(1)
        # After the first step every candidate is the item itself, and only the last slot is in reach.
        inputs = projected.unbind(1)  # one call: the gradient of each slice would be as large as the whole sequence
        candidates = inputs[0].unsqueeze(1).expand(-1, self.slots, -1)
        memories = torch.zeros_like(candidates)
        reach = torch.zeros(len(order), self.slots, dtype=_exact(candidates.dtype), device=candidates.device)
        reach[:, -1] = 1
        attended = [torch.full((len(order),), self.slots, device=candidates.device)]
        ended: list[Tensor] = []
        recompute = Recompute(dropout=self.training)
        running = len(order)
        for position in range(1, sizes.host[order[0]]):
            while sizes.host[order[running - 1]] <= position:
                running -= 1
            if running < len(candidates):
                ended.append(candidates[running:, -1])
                memories, candidates, reach = memories[:running], candidates[:running], reach[:running]
            first = int(reach.gt(0).any(0).int().argmax())
            item, query = inputs[position][:running], queries[position][:running]
            size = running * (self.slots - first) * ACTIVATIONS * self.dim * item.element_size()
            memories, candidates, reach, slot = recompute(
                self._step, item, query, memories, candidates, reach, first, size=size
            )
            attended.append(functional.pad(slot, (0, len(order) - running)))
        return torch.cat([candidates[:, -1], *reversed(ended)])[rows.argsort()], attended

    def _step(
        self, item: GroupStates, query: GroupStates, memories: Items, candidates: Items, reach: ItemWeights, first: int
    ) -> tuple[Items, Items, ItemWeights, GroupIndex]:
        """Write one item (G, D) into memories (G, N, D); no slot before ``first`` is in reach of any group.

        Returns:
            The memories and candidates, the reach of the next step (G, N), and the most probable slot (G,).
        """
        out_of_reach, near = candidates[:, :first], candidates[:, first:]
        probability = self._attend(query, near, reach[:, first:])
        up_to = probability.cumsum(-1)  # c
        onwards = probability.flip(-1).cumsum(-1).flip(-1)  # r
        written = torch.lerp(memories[:, first:], near, onwards.to(near.dtype).unsqueeze(-1))
        shares = up_to.to(item.dtype).unsqueeze(-1).unbind(1)
        composed, state = [item] * first, item
        compose = self._composer(written)
        for slot, share in enumerate(shares):
            state = torch.lerp(item, compose(state, slot).to(item.dtype), share)
            composed.append(state)
        reached = functional.pad(up_to, (first, 0))[:, 1:]
        reached = functional.pad(reached.masked_fill(reached < LEAST, 0), (0, 1), value=1.0)
        slot = probability.argmax(-1) + first
        return torch.cat([out_of_reach, written], dim=1), torch.stack(composed, dim=1), reached, slot

    def _composer(self, memories: Items) -> Callable[[GroupStates, int], GroupStates]:
        """Return a function that composes states (G, D) with the memories (G, N, D) at a slot."""
        dropped, cell = self._drop_input(memories), self.cell
        if not is_plain_cell(cell, next(cell.parameters(), memories)):
            return lambda state, slot: cell(self._drop_input(state), dropped[:, slot])
        of_item, of_memory = cell.hidden.weight.split(self.dim, dim=1)
        # The memories' half of the hidden layer is one product for all slots.
        halves = functional.linear(dropped, of_memory, cell.hidden.bias).unbind(1)
        kept = memories.unbind(1)

        def compose(state: GroupStates, slot: int) -> GroupStates:
            hidden = halves[slot] + functional.linear(self._drop_input(state), of_item)
            return cell.mix(state, kept[slot], hidden)

        return compose

    def _norm(self) -> nn.Module:
        if self.norm is not None:
            return self.norm
        assert isinstance(self.cell, GatedRecursiveCell)
        return self.cell.norm

    def _attend(self, query: GroupStates, candidates: Items, reach: ItemWeights) -> ItemWeights:
        """Return the probabilities (G, N) of slots, at least in float32."""
        keys = self.key_norm(self.key(self._drop(candidates)))
        logits = self.score(self._drop(functional.gelu(query.unsqueeze(1) + keys))).squeeze(-1).to(reach.dtype)
        logits = (logits / math.sqrt(self.dim)).masked_fill(reach == 0, -torch.inf)
        weights = (logits - logits.detach().amax(-1, keepdim=True)).exp() * reach
        return weights / weights.sum(-1, keepdim=True)

    def _drop(self, states: Numbers) -> Numbers:
        return functional.dropout(states, self.memory_dropout, self.training)

    def _drop_input(self, states: Numbers) -> Numbers:
        return functional.dropout(states, self.cell.dropout if mask_width(self.cell) else 0.0, self.training)


def merges_of_slots(slots: list[int]) -> Merges:
    """Return the tree of a group whose items attend to these slots; the first item's slot is ignored.

    Items are kept on a stack, with the last item on top, one slot before the slot that it attended to. An item that
    attends to slot y first composes the nodes in the slots up to y, always the two topmost ones, and is then pushed.
    The nodes left at the end are composed from the top down. With probabilities of 0 and 1 these are the cells that the
    root depends on; otherwise each item's most probable slot is used.

    Source: Shen et al. 2019 (arXiv 1910.13466), section 5, and the code published with it.

    Examples:
        >>> merges_of_slots([0, 3, 2])  # the third item merges into the second before the first does
        ((1, 2), (0, 3))
    """
    merges: list[tuple[int, int]] = []
    stack: list[int] = []

    def merge() -> None:
        right, left = stack.pop(), stack.pop()
        stack.append(len(slots) + len(merges))
        merges.append((left, right))

    for item, slot in enumerate(slots):
        if item > 1:
            for _ in range(min(slot - slots[item - 1] + 1, len(stack) - 1)):
                merge()
        stack.append(item)
    while len(stack) > 1:
        merge()
    return tuple(merges)


def _exact(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype for sums of probabilities."""
    return torch.promote_types(dtype, torch.float32)
