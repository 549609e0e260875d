"""The continuous recursive network (CRvNN): soft merges, weighted by their probabilities, in parallel rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nestree.checks import MOST_BEAMS, Checked, check_at_least, check_probability
from nestree.errors import OptionError
from nestree.layers import Cell, LeafTransform
from nestree.recursions.base import Merges, SingleRootRecursion
from nestree.recursions.lengths import Lengths
from nestree.recursions.recompute import Recompute
from nestree.recursions.shapes import GroupIndex, GroupStates, ItemIndex, ItemPairWeights, Items, ItemWeights

ACTIVATIONS = 40
"""Estimate of the numbers that one round saves per item for the backward pass, as a multiple of D."""
PAIRS = 12
"""The same per pair of items, not multiplied by D."""


class ContinuousRecursion(Checked, SingleRootRecursion):
    """Merge softly, round by round, until the existence of every item but the last is close to 0.

    Every item has a probability of existing, 1 at first. In each round every item merges into its right neighbour with
    some probability: the neighbour becomes a mixture of itself and the composition, and the item's existence decreases.
    An item's neighbours are the nearest items whose existence adds up to 1. A group stops as soon as at most one item's
    existence is above ``threshold``, or after as many rounds as it has items. The root is the last item. Learned
    vectors mark the start and end of a group.

    Source: Ray Chowdhury and Caragea 2021 (arXiv 2106.06038), section 4.
    Cost: at most n rounds of n cells and ``4 n^2 D`` multiply-adds for n items.

    Examples:
        >>> network = ContinuousRecursion(GatedRecursiveCell(8))
        >>> network.fold(torch.randn(2, 5, 8), Lengths.of([5, 3])).shape
        torch.Size([2, 8])
    """

    checks: ClassVar = {"threshold": check_probability}

    def __init__(
        self,
        cell: Cell,
        *,
        window: int = 5,
        threshold: float = 0.1,
        leaf: LeafTransform | None = None,
    ) -> None:
        """Make a continuous recursive network.

        Args:
            cell: composes an item with its left neighbour.
            window: number of items that the scorer reads, centred on the item that it scores; odd, at least 3.
            threshold: existence above which an item counts towards halting, in [0, 1).
            leaf: transform of the items and of the vectors around them before the first round; None: identity.

        Raises:
            ValueError: names the argument.
        """
        super().__init__()
        if leaf is not None and leaf.dim != cell.dim:
            raise OptionError("leaf", f"must be for states of the cell's width {cell.dim}, not {leaf.dim}")
        self.dim = cell.dim
        self.cell = cell
        self.leaf = leaf
        self.window = check_window(window)
        self.threshold = threshold
        self.start, self.end = (nn.Parameter(torch.empty(cell.dim)) for _ in range(2))
        self.reset_parameters()
        self.read = nn.Linear(window * cell.dim, cell.dim)
        self.score = nn.Linear(cell.dim, 1)

    def reset_parameters(self) -> None:
        """Initialize the vectors around a group."""
        with torch.no_grad():
            self.start.normal_()
            self.end.normal_()

    def fold(self, items: Items, sizes: Lengths) -> GroupStates:
        """Run rounds until every group has stopped; a group that has stopped leaves the batch."""
        return self._run(items, sizes.tensor, None)

    def parse(self, items: Items, sizes: Lengths) -> tuple[GroupStates, list[Merges]]:
        """Fold, and derive the trees from the order in which items cease to exist; see [`Departures`][]."""
        departures = Departures.of(sizes.tensor, items.shape[1])
        root = self._run(items, sizes.tensor, departures)
        return root, [merges_in_order(order) for order in departures.orders(sizes.host)]

    def _run(self, items: Items, sizes: GroupIndex, departures: Departures | None) -> GroupStates:
        states, existence = self._frame(items, sizes)
        rows = torch.arange(len(sizes), device=sizes.device)
        recompute = Recompute(dropout=self.training)
        stopped, stopped_rows = [], []
        for number in range(items.shape[1] + 1):
            count = (existence[:, 1:] > self.threshold).sum(-1) - 1  # except START and END
            going = (count > 1) & (sizes > number)
            if not bool(going.all()):
                stopped.append(states[~going, sizes[~going]])
                stopped_rows.append(rows[~going])
                rows, sizes = rows[going], sizes[going]
                if not len(rows):
                    break
                width = int(sizes.max()) + 2
                states, existence = states[going, :width], existence[going, :width]
            numbers = states.shape[1] * (ACTIVATIONS * self.dim + PAIRS * states.shape[1])
            size = len(rows) * numbers * states.element_size()
            states, existence = recompute(self._round, states, existence, sizes, size=size)
            if departures is not None:
                departures.note(number, rows, existence[:, 1:-1])
        return torch.cat(stopped)[torch.cat(stopped_rows).argsort()]

    def _frame(self, items: Items, sizes: GroupIndex) -> tuple[Float[Tensor, "g n+2 d"], Float[Tensor, "g n+2"]]:
        """Return states framed by START and END (G, N + 2, D), zero after END, and existence: 1 up to END, then 0."""
        place = torch.arange(items.shape[1] + 2, device=items.device)
        start = self.start.to(items.dtype).expand(len(items), 1, -1)
        states = torch.cat([start, items, torch.zeros_like(start)], dim=1)
        is_end = place == sizes.unsqueeze(-1) + 1
        states = torch.where(is_end.unsqueeze(-1), self.end.to(items.dtype), states)
        real = place <= sizes.unsqueeze(-1) + 1
        states = states if self.leaf is None else self.leaf(states)
        return states.masked_fill(~real.unsqueeze(-1), 0), real.to(torch.promote_types(items.dtype, torch.float32))

    def _round(self, states: Items, existence: ItemWeights, sizes: GroupIndex) -> tuple[Items, ItemWeights]:
        """Return states and existence after a round."""
        left, right = neighbours(existence)
        to_left, to_right = left.to(states.dtype), right.to(states.dtype)
        lefts, rights = [states], [states]
        for _ in range(self.window // 2):
            lefts.append(to_left @ lefts[-1])
            rights.append(to_right @ rights[-1])
        seen = torch.cat([*reversed(lefts), *rights[1:]], dim=-1)
        scores = self.score(functional.gelu(self.read(seen))).squeeze(-1).to(existence.dtype)
        place = torch.arange(states.shape[1], device=states.device)
        merges = (place > 0) & (place < sizes.unsqueeze(-1))  # neither START, END nor the last item
        chance = merge_probabilities(scores.masked_fill(~merges, -torch.inf), left, right)
        of_left = (left @ chance.unsqueeze(-1)).to(states.dtype)
        composed = self.cell(lefts[1], states).to(states.dtype)  # autocast may have changed the dtype
        return torch.lerp(states, composed, of_left), existence * (1 - chance)


def neighbours(existence: ItemWeights) -> tuple[ItemPairWeights, ItemPairWeights]:
    """Return, for each item i, the weight of every item j (G, i, j) in its left and in its right neighbour.

    Going outwards from i, an item's weight is its existence, until the sum would exceed 1: that item gets the rest, and
    those beyond it get 0.
    """
    both = torch.stack([existence.flip(-1), existence])
    ahead = both.unsqueeze(-2).expand(-1, -1, both.shape[-1], -1).triu(1)
    total = ahead.cumsum(-1)
    left_over = (1 - functional.pad(total, (1, -1))).clamp(min=0)
    shares = torch.where(total > 1, left_over, ahead)
    # For the item itself and those on its other side, existence and its sum are masked to 0, and so the weight is.
    mirrored, right = shares.unbind(0)
    return mirrored.flip(-2, -1), right


def merge_probabilities(scores: ItemWeights, left: ItemPairWeights, right: ItemPairWeights) -> ItemWeights:
    """Return the probability that each item merges into its right neighbour in this round.

    ``c = a / (a + 1 + a_left + a_right)`` with ``a = exp(score)``. The exponentials are divided by the largest of a
    group, so that none overflows; where numerator and denominator underflow, the probability is 0.
    """
    largest = scores.detach().amax(-1, keepdim=True).clamp(min=0)
    weight = (scores - largest).exp()
    beside = ((left + right) @ weight.unsqueeze(-1)).squeeze(-1)
    total = weight + (-largest).exp() + beside
    return weight / total.clamp(min=torch.finfo(total.dtype).tiny)


@dataclass
class Departures:
    """The order in which items cease to exist, which determines the tree.

    Items are removed one by one, and each merges into the next remaining item on its right. Items whose existence fell
    to one half in the first round go first, then those of the second round, and so on; items that never fell that far
    go last. Within a round the item with the least existence goes first, and among equals the leftmost. With merge
    probabilities of 0 and 1 this is exactly the tree of the cells that the root depends on.
    """

    when: ItemIndex
    """(G, N) round in which existence fell to one half; larger than any round if it never did."""
    remaining: ItemWeights
    """(G, N) existence after that round, or after the last one."""

    @classmethod
    def of(cls, sizes: GroupIndex, items: int) -> Departures:
        """Start with groups of at most this many items, all of which exist."""
        shape = len(sizes), items
        return cls(torch.full(shape, items + 1, device=sizes.device), torch.ones(shape, device=sizes.device))

    def note(self, number: int, rows: GroupIndex, existence: ItemWeights) -> None:
        """Record the existence of the items of some groups after a round."""
        columns = slice(existence.shape[1])
        when, left = self.when[rows, columns], self.remaining[rows, columns]
        there = when > number
        self.remaining[rows, columns] = torch.where(there, existence.detach().to(left.dtype), left)
        self.when[rows, columns] = torch.where(there & (existence <= 0.5), number, when)

    def orders(self, host_sizes: list[int]) -> list[list[int]]:
        """Return the order in which the items of each group are removed, all except the last item."""
        return [
            sorted(range(size - 1), key=lambda item, when=when, left=left: (when[item], left[item], item))
            for size, when, left in zip(host_sizes, self.when.tolist(), self.remaining.tolist(), strict=True)
        ]


def merges_in_order(order: list[int]) -> Merges:
    """Return the merges when the items of ``order`` merge one by one, each into the next remaining item on its right.

    Examples:
        >>> merges_in_order([1, 0])  # of three items the second merges first
        ((1, 2), (0, 3))
    """
    items = len(order) + 1
    node = list(range(items))
    before, after = [item - 1 for item in range(items)], [item + 1 for item in range(items)]
    merges: list[tuple[int, int]] = []
    for item in order:
        into = after[item]
        merges.append((node[item], node[into]))
        node[into] = items + len(merges) - 1
        before[into] = before[item]
        if before[item] >= 0:
            after[before[item]] = into
    return tuple(merges)


def check_window(window: int) -> int:
    """Return ``window``, or raise a ValueError that names the argument if it is not odd and at least 3."""
    if check_at_least("window", window, 3, MOST_BEAMS) % 2 == 0:
        raise OptionError("window", f"must be odd, to be centred on an item, not {window!r}")
    return window
