"""Tokens, scores and nodes of encoders with a beam tree inside, and the layer that hands tokens on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from nestree.checks import Options, check_at_least, real_positions
from nestree.encoders.base import Encoder, Encoding, Wanted
from nestree.layers import ParentAttention
from nestree.recursions import BeamTree
from nestree.recursions.base import Leaves, Recursion
from nestree.recursions.beam.beam_tree import distinct
from nestree.recursions.draws import Draws
from nestree.recursions.extras import Extras
from nestree.recursions.outer import Outer


@dataclass(frozen=True)
class TokenOptions(Options):
    """Options of the tokens' states."""

    token_rounds: int = 0
    """Rounds of parent attention, which gives every token a state; 0: the encoder has roots alone."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_at_least("token_rounds", self.token_rounds, 0)

    def attention(self, dim: int, dropout: float) -> ParentAttention | None:
        """Return the attention; None where there are no rounds."""
        return ParentAttention(dim, rounds=self.token_rounds, dropout=dropout) if self.token_rounds else None


def explore(
    inner: Recursion,
    leaves: Leaves,
    outer: Outer,
    wanted: Wanted,
    attention: ParentAttention | None,
    *,
    trees: bool,
    draws: Draws | None,
) -> Encoding:
    """Encode by a beam tree, and return what is wanted too.

    Raises:
        ValueError: ``inner`` is no beam tree, or tokens are wanted of an encoder without attention.
    """
    if not isinstance(inner, BeamTree):
        asked = next(name for name in ("tokens", "scores", "nodes") if getattr(wanted, name))
        raise ValueError(f"{asked} must be False: {type(inner).__name__} does not have them, only a beam tree")
    if wanted.tokens and attention is None:
        raise ValueError("tokens must be False, or the encoder built with token_rounds of at least 1")
    extras = Extras(attention if wanted.tokens else None, scores=wanted.scores or trees, nodes=wanted.nodes)
    found = inner.explore(leaves, outer, extras, draws)
    parsed = None
    if trees:
        assert found.scores is not None
        weights = found.scores.detach().softmax(-1).tolist()
        parsed = [distinct(own, row[: len(own)]) for own, row in zip(found.beams, weights, strict=True)]
    return Encoding(
        found.root,
        parsed,
        None if found.tokens is None else leaves.padded(found.tokens),
        found.scores if wanted.scores else None,
        found.beams if wanted.scores else [],
        found.nodes if wanted.nodes else None,
    )


class Contextualizer(nn.Module):
    """A layer from token states to token states, of any encoder that has them: it stacks with other layers.

    A recursion finds trees over its input, and every token reads the nodes above it; see
    [`ParentAttention`][nestree.layers.parent_attention.ParentAttention].

    Examples:
        >>> tree = nestree.Contextualizer(nestree.build("rir-ebt-grc", dim=16, token_rounds=1))
        >>> attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        >>> states, lengths = torch.randn(2, 40, 16), torch.tensor([40, 7])
        >>> attention(tree(states, lengths), src_key_padding_mask=tree.padding(states, lengths)).shape
        torch.Size([2, 40, 16])
    """

    def __init__(self, encoder: Encoder) -> None:
        """Take an encoder that has tokens: a beam tree with ``token_rounds``, a Transformer or an S4D stack."""
        super().__init__()
        self.dim = encoder.dim
        self.encoder = encoder

    def forward(
        self, states: Float[Tensor, "b l d"], lengths: Integer[Tensor, " b"], *, draws: Draws | None = None
    ) -> Float[Tensor, "b l d"]:
        """Return the tokens' states, zero in the padding.

        Raises:
            ValueError: as the encoder does; it has no tokens.
        """
        tokens = self.encoder(states, lengths, tokens=True, draws=draws).tokens
        assert tokens is not None
        return tokens

    @staticmethod
    def padding(states: Float[Tensor, "b l d"], lengths: Integer[Tensor, " b"]) -> Tensor:
        """Return a boolean mask (B, L): true in the padding, as ``torch.nn``'s attention takes it."""
        return ~real_positions(lengths.to(states.device, torch.int64), states.shape[1])
