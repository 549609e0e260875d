"""Parent attention, node by node with plain autograd: the reference for [`ParentAttention`][]'s segmented form."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nestree.layers import ParentAttention
from nestree.layers.parent_attention import HEIGHTS
from nestree.recursions.beam.naive import Beam, Node
from nestree.recursions.shapes import Packed, State
from nestree.trees import Span

Ancestors = list[tuple[State, int]]
"""The (state, height) of the nodes above a leaf, nearest first."""


def naive_tokens(attention: ParentAttention, sequences: list[list[Beam]]) -> Packed:
    """Return token states (T, D) of sequences, given their beams, each folded to one root."""
    leaves = [[beam.frontier[0] for beam in beams] for beams in sequences]
    ancestors = [above for roots in leaves for root in roots for _, above in leaves_under(root)]
    states = [leaf.state for roots in leaves for root in roots for leaf, _ in leaves_under(root)]
    for _ in range(attention.rounds):
        read = [attend(attention, state, above) for state, above in zip(states, ancestors, strict=True)]
        states = list(attention.update(torch.stack(states), torch.stack(read)))
    tokens: list[Tensor] = []
    taken = 0
    for beams in sequences:
        weights = torch.stack([beam.score for beam in beams]).softmax(-1).to(states[0].dtype)
        length = len(leaves_under(beams[0].frontier[0]))
        own = torch.stack(states[taken : taken + length * len(beams)]).view(len(beams), length, -1)
        tokens.append((weights.view(-1, 1, 1) * own).sum(0))
        taken += length * len(beams)
    return torch.cat(tokens)


def attend(attention: ParentAttention, state: State, above: Ancestors) -> Float[Tensor, " e"]:
    """Return the gated attention output (2 D,) of one leaf."""
    first, second, gate = attention.queries_and_gate(state)
    if not above:
        return torch.zeros_like(gate)
    keys, values = attention.keys_and_values(torch.stack([node for node, _ in above]))
    of_height = torch.stack([attention.heights[min(height, HEIGHTS) - 1] for _, height in above])
    share = ((keys @ first + of_height @ second) / attention.temperature).softmax(-1)
    return gate * (share @ values)


def leaves_under(root: Node) -> list[tuple[Node, Ancestors]]:
    """Return the leaves under a node from left to right, each with its ancestors up to that node."""
    heights = heights_under(root)
    found: list[tuple[Node, Ancestors]] = []
    waiting: list[tuple[Node, Ancestors]] = [(root, [])]
    while waiting:
        node, above = waiting.pop()
        if node.children is None:
            found.append((node, above))
        else:
            here = [(node.state, heights[node]), *above]
            waiting.extend((child, here) for child in reversed(node.children))
    return found


def heights_under(root: Node) -> dict[Node, int]:
    """Return the height of every node under ``root``, and of ``root``."""
    heights: dict[Node, int] = {}
    for node in _children_first(root):
        heights[node] = 0 if node.children is None else 1 + max(heights[child] for child in node.children)
    return heights


def states_by_span(root: Node) -> dict[Span, State]:
    """Return the states of the nodes under ``root`` by (first leaf, one past the last)."""
    spans: dict[Node, Span] = {}
    leaves = 0
    for node in _children_first(root):
        if node.children is None:
            spans[node] = (leaves, leaves + 1)
            leaves += 1
        else:
            spans[node] = (spans[node.children[0]][0], spans[node.children[1]][1])
    return {span: node.state for node, span in spans.items()}


def _children_first(root: Node) -> list[Node]:
    """Return ``root`` and all nodes under it, children before parents, from left to right."""
    found: list[Node] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(node.children or ())
    return found[::-1]
