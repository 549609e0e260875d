"""Tokens, scores and nodes of encoders with a beam tree inside, and the layer that returns tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from nestree.checks import MOST_LAYERS, Options, check_at_least, real_positions
from nestree.encoders.base import Encoder, Encoding, EncodingRequest
from nestree.encoders.inputs import AnyLengths, States, as_lengths
from nestree.layers import ParentAttention
from nestree.recursions import BalancedTree, BeamTree, Chain
from nestree.recursions.along import AlongTrees, GivenNodes, check_trees
from nestree.recursions.base import Leaves, Recursion, TreeSearch
from nestree.recursions.beam.beam_tree import distinct
from nestree.recursions.beam.engine.paths import Places
from nestree.recursions.draws import Draws
from nestree.recursions.guided import tree_log_prob
from nestree.recursions.outer import Outer
from nestree.recursions.outputs import OutputRequest
from nestree.recursions.shapes import Packed, Padded
from nestree.trees import ParsedTree, Span
from nestree.trees.scores import allowed


@dataclass(frozen=True)
class TokenOptions(Options):
    """Options of token states."""

    token_rounds: int = 0
    """Rounds of parent attention, which computes a state for every token; 0: the encoder returns only roots."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("token_rounds", self.token_rounds, 0, MOST_LAYERS)

    def attention(self, dim: int, dropout: float) -> ParentAttention | None:
        """Return the parent attention; None without rounds."""
        return ParentAttention(dim, rounds=self.token_rounds, dropout=dropout) if self.token_rounds else None


def encode_with_request(
    inner: Recursion,
    leaves: Leaves,
    outer: Outer,
    request: EncodingRequest,
    attention: ParentAttention | None,
    *,
    trees: bool,
    draws: Draws | None,
) -> Encoding:
    """Encode with a beam tree or along given trees, and also return what ``request`` asks for.

    Raises:
        ValueError: ``inner`` does not support the request, or tokens are requested without attention.
    """
    if request.tokens and attention is None:
        raise ValueError("tokens must be False, or the encoder built with token_rounds of at least 1")
    if request.along is not None:
        return encode_along(inner, leaves, request, attention, trees=trees, draws=draws)
    if not isinstance(inner, BeamTree):
        asked = next(name for name in ("tokens", "scores", "nodes", "together") if getattr(request, name))
        right = "None" if asked == "together" else "False"
        raise ValueError(f"{asked} must be {right}: {type(inner).__name__} does not have them, only a beam tree")
    if request.together is not None:
        check_together(request.together, leaves.lengths.host, outer, training=inner.training)
    outputs = OutputRequest(
        attention if request.tokens else None,
        scores=request.scores or trees,
        nodes=request.nodes,
        together=request.together,
    )
    found = inner.recurse_with_outputs(leaves, outer, outputs, draws)
    parsed = None
    if trees:
        assert found.scores is not None
        weights = found.scores.detach().softmax(-1).tolist()
        parsed = [distinct(own, row[: len(own)]) for own, row in zip(found.beams, weights, strict=True)]
    return Encoding(
        found.root,
        parsed,
        found.tokens,
        found.scores if request.scores else None,
        found.beams if request.scores else (),
        found.nodes if request.nodes else None,
    )


def check_together(together: Sequence[Sequence[Span]], lengths: list[int], outer: Outer, *, training: bool) -> None:
    """Check that all of these spans can be constituents, given the groups that ``outer`` cuts.

    Raises:
        ValueError: names ``together``.
    """
    if len(together) != len(lengths):
        raise ValueError(f"together must be {len(lengths)} lists of spans, one for each sequence, not {len(together)}")
    groups = outer.groups(lengths, training=training)
    partly = outer.roots > 1 and len(outer.levels(lengths, training=training)) > 1
    for row, (spans, length, own) in enumerate(zip(together, lengths, groups, strict=True)):
        for first, end in spans:
            if not 0 <= first < end <= length:
                raise ValueError(f"together[{row}] has {(first, end)}, which is not a span of {length} tokens")
            if any(first < start < end < stop for start, stop in spans):
                raise ValueError(f"together[{row}] has spans that cross each other, {(first, end)} among them")
        if len(allowed(spans, own)) < len(spans) or (partly and spans):
            raise ValueError(f"together[{row}] must not cross group boundaries: use a higher arity, or flat inference")


def encode_along(
    inner: Recursion,
    leaves: Leaves,
    request: EncodingRequest,
    attention: ParentAttention | None,
    *,
    trees: bool,
    draws: Draws | None,
) -> Encoding:
    """Fold along the trees of ``request`` with the cell of ``inner``, and also return what ``request`` asks for.

    Raises:
        ValueError: ``inner`` does not fold with a single cell, scores are requested but it has no pair scorer, or the
            trees do not match the sequences.
    """
    along = request.along or ()
    if not isinstance(inner, TreeSearch | Chain | BalancedTree):
        raise ValueError(f"along must be None: {type(inner).__name__} does not fold binary trees with a single cell")
    scorer = inner.scorer if isinstance(inner, TreeSearch) else None
    if request.scores and (scorer is None or scorer.reads_parents):
        raise ValueError(f"scores must be False: {type(inner).__name__} has no pair scorer to score given trees with")
    check_trees(along, leaves.lengths.host)
    given = GivenNodes(along, leaves.inputs.device)
    fold = AlongTrees(inner.cell, inner.training, draws)
    fast = isinstance(inner, BeamTree) and inner.search.engine != "naive"
    states = fold.fast(leaves, given) if fast else fold.naive(leaves, given)
    tokens = None
    if attention is not None and request.tokens:
        paths, rows = Places.under(given.roots, given).paths(given.leaves)
        weights = states.new_ones(len(along))
        tokens = attention(states[: given.leaves], states[rows], paths, weights)
    nodes = None
    if request.nodes:
        spans = [tree.all_spans() for tree in along]
        rows_of_states = states.unbind()  # one node of the graph; the gradient of each states[row] would fill a table
        nodes = [
            {span: rows_of_states[row] for span, row in zip(own, rows, strict=True)}
            for own, rows in zip(spans, given.rows, strict=True)
        ]
    return Encoding(
        states[given.roots],
        [[ParsedTree(tree, 1.0)] for tree in along] if trees else None,
        tokens,
        tree_log_prob(scorer, states, given, along).unsqueeze(-1) if request.scores and scorer is not None else None,
        [[tree] for tree in along] if request.scores else (),
        nodes,
    )


class Contextualizer(nn.Module):
    """Wraps an encoder that has token states as a layer from states to states, to be stacked with other layers.

    A recursion finds trees over its input, and every token attends to the nodes above it; see
    [`ParentAttention`][nestree.layers.parent_attention.ParentAttention].

    Args:
        encoder: an encoder with token states: a beam tree with ``token_rounds``, a Transformer or an S4D stack.

    Examples:
        >>> tree = nestree.Contextualizer(nestree.build("rir-ebt-grc", dim=16, token_rounds=1))
        >>> attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        >>> states, lengths = torch.randn(2, 40, 16), torch.tensor([40, 7])
        >>> attention(tree(states, lengths), src_key_padding_mask=tree.padding(states, lengths)).shape
        torch.Size([2, 40, 16])
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.dim = encoder.dim
        self.encoder = encoder

    def forward(
        self,
        states: States,
        lengths: AnyLengths | None = None,
        *,
        mask: Tensor | None = None,
        cu_seqlens: AnyLengths | None = None,
        draws: Draws | torch.Generator | None = None,
    ) -> Padded | Packed:
        """Return the tokens' states (B, L, D), zero in the padding, or (T, D) with ``cu_seqlens``.

        For the arguments see [`Encoder.forward`][].

        Raises:
            ValueError: as for [`Encoder.forward`][], or the encoder has no tokens.
        """
        tokens = self.encoder(states, lengths, mask=mask, cu_seqlens=cu_seqlens, tokens=True, draws=draws).tokens
        assert tokens is not None
        return tokens

    @staticmethod
    def padding(states: Padded, lengths: AnyLengths) -> Bool[Tensor, "b l"]:
        """Return a mask (B, L) that is true in the padding, the convention of ``torch.nn``'s attention."""
        return ~real_positions(as_lengths(lengths).to(states.device, torch.int64), states.shape[1])
