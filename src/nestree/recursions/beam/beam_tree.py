"""The beam tree: a recursion that finds its trees by beam search."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nestree.layers import Cell, PairScorer, Scorer
from nestree.recursions.base import Folded, Leaves, TreeSearch
from nestree.recursions.beam.engine.recomputed import fixed_weights, in_type_of
from nestree.recursions.beam.engine.recursion import BeamRecursion, Forest
from nestree.recursions.beam.naive import Beam, NaiveRecursion, Node
from nestree.recursions.beam.options import BeamSearch
from nestree.recursions.beam.outputs import tree_outputs
from nestree.recursions.draws import Draws, SearchDraws
from nestree.recursions.outer import Outer
from nestree.recursions.outputs import OutputRequest, Outputs
from nestree.recursions.shapes import State
from nestree.trees import ParsedTree, Span, Tree, tree_from_nodes

DEFAULTS = BeamSearch()


class BeamTree(TreeSearch):
    """Fold by beam search over binary trees, and average the W roots with weights ``softmax(score)``.

    In training the search is a stochastic top-k: Gumbel noise affects the selection, while scores accumulate noiseless
    log-probabilities. At evaluation it is deterministic.

    With a parent scorer this is BT-GRC, with a pair scorer EBT-GRC.

    Source: Ray Chowdhury and Caragea 2023 (arXiv 2305.19999 and 2307.10779, section 3 of each).
    """

    def __init__(self, cell: Cell, scorer: Scorer, search: BeamSearch = DEFAULTS) -> None:
        """Make a beam tree.

        Args:
            cell: composes a pair.
            scorer: a pair scorer or a parent scorer, of the same width as ``cell``.
            search: number of beams, and how they are searched.

        Raises:
            ValueError: names the argument.
        """
        super().__init__(cell, scorer)
        self.search = search

    @property
    def compilable(self) -> bool:
        """Whether the compiled library, if installed, would run this search on a CPU."""
        return self.search.engine == "fast" and not self.search.merge_equal and type(self.scorer) is PairScorer

    def recurse(self, leaves: Leaves, outer: Outer, *, trees: bool = False, draws: Draws | None = None) -> Folded:
        """Fold every sequence through the levels of ``outer``; see [`Recursion`][]."""
        if self.search.engine == "naive":
            padded = in_type_of(self.cell, leaves.states)
            with torch.autocast(padded.device.type, enabled=False), fixed_weights(self.cell, self.scorer):
                beams = [
                    self.naive(outer, row, padded.device, draws)(states[:length])
                    for row, (states, length) in enumerate(zip(padded, leaves.lengths.host, strict=True))
                ]
            root = torch.stack([expected_root(kept) for kept in beams])
            return Folded(root, [_naive_trees(kept) for kept in beams] if trees else None)
        root, forest = self.fast(outer, draws)(leaves)
        return Folded(root, forest_trees(forest, leaves.lengths.host) if trees else None)

    def recurse_with_outputs(
        self, leaves: Leaves, outer: Outer, request: OutputRequest, draws: Draws | None = None
    ) -> Outputs:
        """Fold as [`recurse`][] does, and also return what ``request`` asks for."""
        return tree_outputs(self, leaves, outer, request, draws)

    def fast(
        self, outer: Outer, draws: Draws | None = None, *, together: Sequence[Sequence[Span]] | None = None
    ) -> BeamRecursion:
        """Return the engine, for any batch; ``together`` has the spans of each sequence that must be constituents."""
        own = self._draws(outer, draws)
        return BeamRecursion(self.cell, self.scorer, self.search, outer, own, self.training, together=together)

    def naive(
        self,
        outer: Outer,
        sequence: int,
        device: torch.device,
        draws: Draws | None = None,
        *,
        together: Sequence[Span] = (),
    ) -> NaiveRecursion:
        """Return the naive implementation, for one row of a batch; ``together`` has spans that must be constituents."""
        own = self._draws(outer, draws)
        return NaiveRecursion(
            self.cell, self.scorer, self.search, outer, own, self.training, sequence, device, together
        )

    def _draws(self, outer: Outer, draws: Draws | None) -> SearchDraws:
        draws = draws or Draws()
        return SearchDraws(
            noise=draws if self.training and self.search.noise else None,
            dropout=draws if self.training else None,
            alignment=draws if self.training or outer.sample_at_evaluation else None,
        )


def expected_root(beams: list[Beam]) -> State:
    """Return ``sum_b softmax(score)_b root_b``."""
    roots = torch.stack([beam.frontier[0].state for beam in beams])
    weights = torch.stack([beam.score for beam in beams]).softmax(-1)
    return weights.to(roots.dtype) @ roots


def _naive_trees(beams: list[Beam]) -> list[ParsedTree]:
    weights = torch.stack([beam.score.detach() for beam in beams]).softmax(-1).tolist()
    return distinct([tree_of(beam) for beam in beams], weights)


def tree_of(beam: Beam) -> Tree:
    """Return the tree of a beam that is folded to its root."""
    leaves, children = _walk(beam.frontier[0])
    return tree_from_nodes(leaves, children, id(beam.frontier[0]))


def forest_trees(forest: Forest, lengths: list[int]) -> list[list[ParsedTree]]:
    """Return the trees of every sequence's beams."""
    store = forest.store
    left, right = store.left[: store.rows].tolist(), store.right[: store.rows].tolist()
    children = {row: (left[row], right[row]) for row in range(store.leaves, store.rows)}
    weights, nodes = forest.weights().tolist(), forest.beams.nodes.tolist()
    parsed, start = [], 0
    for sequence, length in enumerate(lengths):
        present = [(node, weight) for node, weight in zip(nodes[sequence], weights[sequence], strict=True) if weight]
        trees = [tree_from_nodes(range(start, start + length), children, node) for node, _ in present]
        parsed.append(distinct(trees, [weight for _, weight in present]))
        start += length
    return parsed


def distinct(trees: list[Tree], weights: list[float]) -> list[ParsedTree]:
    """Return each tree once with its total probability, most probable first.

    Beams with the same merges in another order hold the same tree, numbered differently.
    """
    found: dict[frozenset[tuple[int, int]], ParsedTree] = {}
    for tree, weight in zip(trees, weights, strict=True):
        spans = frozenset(tree.spans())
        seen = found.get(spans)
        found[spans] = ParsedTree(seen.tree if seen else tree, weight + (seen.probability if seen else 0.0))
    return sorted(found.values(), key=lambda parsed: -parsed.probability)


def _walk(root: Node) -> tuple[list[int], dict[int, tuple[int, int]]]:
    """Return the ids of the leaves under ``root`` from left to right, and the children's ids of every other node."""
    leaves: list[int] = []
    children: dict[int, tuple[int, int]] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.children is None:
            leaves.append(id(node))
        else:
            children[id(node)] = (id(node.children[0]), id(node.children[1]))
            waiting.extend(reversed(node.children))
    return leaves, children
