"""Tokens, scores and nodes of a beam tree, from the engine or from the naive implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from nestree.recursions.base import Leaves
from nestree.recursions.beam.engine.nodes import OpenForest
from nestree.recursions.beam.engine.paths import Places
from nestree.recursions.beam.engine.recomputed import fixed_weights, in_type_of
from nestree.recursions.beam.naive import Beam
from nestree.recursions.beam.naive_tokens import naive_tokens, states_by_span
from nestree.recursions.draws import Draws
from nestree.recursions.outer import Outer
from nestree.recursions.outputs import OutputRequest, Outputs
from nestree.recursions.shapes import Packed, Rows, State, States
from nestree.trees import Span, Tree, tree_from_nodes

if TYPE_CHECKING:
    from nestree.recursions.beam.beam_tree import BeamTree


def tree_outputs(tree: BeamTree, leaves: Leaves, outer: Outer, request: OutputRequest, draws: Draws | None) -> Outputs:
    """Fold every sequence through the levels of ``outer``, and return what ``request`` asks for."""
    if tree.search.engine == "naive":
        return naive_outputs(tree, leaves, outer, request, draws)
    opened = OpenForest.of(tree.fast(outer, draws, together=request.together), leaves)
    sequence, beam = opened.beams()
    roots = opened.forest.beams.nodes[sequence, beam]
    places, count = opened.places(), len(roots)
    paths, rows = places.paths(opened.forest.store.leaves)
    owner = torch.empty_like(rows)
    owner[paths.node] = sequence[paths.beam[paths.segment]]
    states, scores = opened.read(torch.cat([roots, rows]), torch.cat([sequence, owner]))
    weights = scores.softmax(-1)[sequence, beam]
    root = states.new_zeros(len(scores), states.shape[1])
    root = root.index_add(0, sequence, states[:count] * weights.to(states.dtype).unsqueeze(-1))
    tokens = None
    if request.attention is not None:
        tokens = request.attention(opened.leaves, states[count:], paths, weights)
    lengths = leaves.lengths.host
    return Outputs(
        root,
        tokens,
        scores if request.scores else None,
        beam_trees(places, sequence, lengths) if request.scores else [],
        nodes_by_span(places, beam, opened.leaves, states[count:], rows, lengths) if request.nodes else [],
    )


def beam_trees(places: Places, sequence: Rows, lengths: list[int]) -> list[list[Tree]]:
    """Return the trees of the beams of each sequence; ``sequence`` (K,) is the sequence of each beam."""
    owner = sequence.tolist()
    starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    found: list[list[Tree]] = [[] for _ in lengths]
    for beam, nodes in enumerate(_nodes_of_beams(places, len(owner))):
        start, length = starts[owner[beam]], lengths[owner[beam]]
        found[owner[beam]].append(tree_from_nodes(range(start, start + length), *nodes))
    return found


def nodes_by_span(
    places: Places, beam: Integer[Tensor, " k"], leaves: Packed, states: States, rows: Rows, lengths: list[int]
) -> list[dict[Span, State]]:
    """Return the nodes of each sequence's best beam, by span.

    Args:
        places: the trees of all K beams.
        beam: (K,) rank of each beam within its sequence; 0 is the best.
        leaves: (T, D) states of all leaves.
        states: (M, D) states of the nodes at ``rows``.
        rows: (M,) rows of the node store.
        lengths: lengths of the sequences.
    """
    number = {row: place for place, row in enumerate(rows.tolist())}
    best = {place for place, which in enumerate(beam.tolist()) if which == 0}
    found: list[dict[Span, State]] = []
    start = 0
    for place, (children, root) in enumerate(_nodes_of_beams(places, len(beam))):
        if place not in best:
            continue
        length = lengths[len(found)]
        bounds = {start + leaf: (leaf, leaf + 1) for leaf in range(length)}
        by_span = {(leaf, leaf + 1): leaves[start + leaf] for leaf in range(length)}
        waiting = [root]
        while waiting:
            node = waiting[-1]
            missing = [child for child in children.get(node, ()) if child not in bounds]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            if node not in bounds:
                left, right = children[node]
                bounds[node] = (bounds[left][0], bounds[right][1])
                by_span[bounds[node]] = states[number[node]]
        found.append(by_span)
        start += length
    return found


def _nodes_of_beams(places: Places, count: int) -> list[tuple[dict[int, tuple[int, int]], int]]:
    """Return, for each beam, the children of every composed row, and the root."""
    rows, parents, beams = places.row.tolist(), places.parent.tolist(), places.beam.tolist()
    found: list[tuple[dict[int, tuple[int, int]], int]] = [({}, rows[beam]) for beam in range(count)]
    first: dict[int, int] = {}  # the left child comes before the right one
    for place in range(count, len(rows)):
        parent = parents[place]
        if parent in first:
            found[beams[place]][0][rows[parent]] = (first.pop(parent), rows[place])
        else:
            first[parent] = rows[place]
    return found


def naive_outputs(tree: BeamTree, leaves: Leaves, outer: Outer, request: OutputRequest, draws: Draws | None) -> Outputs:
    """Do the same as [`tree_outputs`][], sequence by sequence, with plain autograd."""
    from nestree.recursions.beam.beam_tree import expected_root, tree_of

    padded, lengths = in_type_of(tree.cell, leaves.states), leaves.lengths.host
    together = request.together or [()] * len(lengths)
    with torch.autocast(padded.device.type, enabled=False), fixed_weights(tree.cell, tree.scorer):
        sequences = [
            tree.naive(outer, row, padded.device, draws, together=together[row])(states[:length])
            for row, (states, length) in enumerate(zip(padded, lengths, strict=True))
        ]
    width = tree.search.beam_size
    return Outputs(
        torch.stack([expected_root(beams) for beams in sequences]),
        None if request.attention is None else naive_tokens(request.attention, sequences),
        torch.stack([_scores(beams, width) for beams in sequences]) if request.scores else None,
        [[tree_of(beam) for beam in beams] for beams in sequences] if request.scores else [],
        [states_by_span(beams[0].frontier[0]) for beams in sequences] if request.nodes else [],
    )


def _scores(beams: list[Beam], width: int) -> Float[Tensor, " w"]:
    """Return the scores (W,) of one sequence's beams, padded with -inf."""
    scores = torch.stack([beam.score for beam in beams])
    return torch.cat([scores, scores.new_full((width - len(beams),), -torch.inf)])
