"""The interface of every encoder, and the result that it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nestree.checks import check_at_least, check_positive
from nestree.encoders.inputs import AnyLengths, Batch, States, as_draws
from nestree.encoders.interop import (
    attach_parameters,
    check_dtype,
    in_parameter_dtype,
    not_compiled,
    refuse_sharded_parts,
    refuse_tracing,
    without_view,
)
from nestree.recursions.draws import Draws, widest
from nestree.recursions.lengths import Lengths
from nestree.trees import ParsedTree, Span, Tree

SHORT = 2
"""In sequences of at most this many tokens the root does not depend on all parameters."""


class Encoding(NamedTuple):
    """The result of encoding a batch; a tuple, so that wrappers such as DistributedDataParallel find its tensors."""

    root: Tensor
    """(B, D): one vector per sequence."""
    trees: list[list[ParsedTree]] | None = None
    """With ``trees=True``: the trees of each sequence, most probable first; their probabilities add up to 1."""
    tokens: Tensor | None = None
    """With ``tokens=True``: (B, L, D), a state for each token, zero in the padding; with ``cu_seqlens`` (T, D)."""
    scores: Tensor | None = None
    """With ``scores=True``: (B, W), the score of each beam, differentiable; -inf where a sequence has fewer beams. Only
    differences between the beams of one sequence have a meaning."""
    beams: Sequence[list[Tree]] = ()
    """With ``scores=True``: the tree of every beam of each sequence. Several beams may hold the same tree."""
    nodes: list[dict[Span, Tensor]] | None = None
    """With ``nodes=True``: for each sequence, the states (D,) of the nodes of its most probable beam, leaves included;
    keys are spans (first token, one past the last)."""

    def log_probabilities(self) -> Float[Tensor, "b w"]:
        """Return ``log softmax(score)`` over each sequence's beams; -inf where a sequence has fewer beams.

        Raises:
            ValueError: the encoder was called without ``scores=True``.
        """
        return self._scores().log_softmax(-1)

    def log_prob(self, trees: Sequence[Tree]) -> Float[Tensor, " b"]:
        """Return the log-probability of each sequence's tree under its distribution over beams; -inf if no beam has it.

        Raises:
            ValueError: the encoder was called without ``scores=True``, or the number of trees is not that of sequences.
        """
        logs = self.log_probabilities()
        if len(trees) != len(logs):
            raise ValueError(f"trees must be {len(logs)}, one for each sequence, not {len(trees)}")
        same = torch.zeros(logs.shape, dtype=torch.bool)
        for row, (tree, found) in enumerate(zip(trees, self.beams, strict=True)):
            wanted = set(tree.spans())
            for beam, other in enumerate(found):
                same[row, beam] = other.leaves == tree.leaves and set(other.spans()) == wanted
        same = same.to(logs.device)
        known = same.any(-1)
        chosen = logs.masked_fill(~same & known.unsqueeze(-1), -torch.inf)
        return chosen.logsumexp(-1).masked_fill(~known, -torch.inf)

    def entropy(self) -> Float[Tensor, " b"]:
        """Return the entropy of each sequence's distribution over its beams, in nats.

        Raises:
            ValueError: the encoder was called without ``scores=True``.
        """
        logs = self.log_probabilities()
        absent = logs == -torch.inf
        return -(logs.exp() * logs.masked_fill(absent, 0)).sum(-1)

    def sample(self, *, temperature: float = 1.0, generator: torch.Generator | None = None) -> list[Tree]:
        """Draw one tree per sequence, with probability proportional to ``exp(score / temperature)``.

        Raises:
            ValueError: the encoder was called without ``scores=True``, or ``temperature`` is not above 0.
        """
        scores = self._scores().detach()
        weights = (scores.to(widest(scores.device)) / check_positive("temperature", temperature)).softmax(-1)
        drawn = torch.multinomial(weights, 1, generator=generator).squeeze(-1).tolist()
        return [found[beam] for found, beam in zip(self.beams, drawn, strict=True)]

    def _scores(self) -> Float[Tensor, "b w"]:
        if self.scores is None:
            raise ValueError("scores must be requested: encoder(states, lengths, scores=True)")
        return self.scores


@dataclass(frozen=True)
class EncodingRequest:
    """What a caller wants of an encoder in addition to roots and trees."""

    tokens: bool = False
    scores: bool = False
    nodes: bool = False
    along: Sequence[Tree] | None = None
    """Fold along these trees instead of searching."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""

    def __bool__(self) -> bool:
        """Return whether anything is requested."""
        return any((self.tokens, self.scores, self.nodes, self.along is not None, self.together is not None))


class Encoder(nn.Module, ABC):
    """A module that maps token states and their lengths to one root per sequence.

    Subclasses implement [`encode`][], whose arguments are already checked and whose states are zero in the padding.
    """

    takes_packed: ClassVar[bool] = False
    """Whether [`encode`][] takes the concatenated states of all sequences, (T, D), instead of a padded batch; the
    tokens that it returns are then (T, D) too."""

    def __init__(self, dim: int) -> None:
        """Set the width D of the states.

        Raises:
            ValueError: ``dim`` is below 1.
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)

    @not_compiled
    def forward(
        self,
        states: States,
        lengths: AnyLengths | None = None,
        *,
        mask: Tensor | None = None,
        cu_seqlens: AnyLengths | None = None,
        trees: bool = False,
        tokens: bool = False,
        scores: bool = False,
        nodes: bool = False,
        along: Sequence[Tree] | None = None,
        together: Sequence[Sequence[Span]] | None = None,
        draws: Draws | torch.Generator | None = None,
    ) -> Encoding:
        """Encode a batch.

        Args:
            states: (B, L, D), with the dtype and device of the parameters; padding is ignored. Or a PackedSequence or
                nested tensor, which have their own lengths.
            lengths: (B,) integers from 1 to L: a tensor, list or array; None: all are L.
            mask: (B, L) instead of lengths: true at the tokens, which must come first in each row.
            cu_seqlens: (B + 1,) integers instead of lengths: where each sequence begins, and T; states are then (T, D),
                the concatenated sequences.
            trees: also return the trees that were used.
            tokens: also return a state for each token. A beam tree computes them by parent attention, which it only has
                if it was built with ``token_rounds`` of at least 1.
            scores: also return the scores of a beam tree's beams.
            nodes: also return the states of the nodes of the most probable beam.
            along: one tree per sequence, to fold along instead of searching. Sequences are then not cut into groups,
                and the score is the log-probability of finding that tree; see
                [`tree_log_prob`][nestree.recursions.guided.tree_log_prob].
            together: for each sequence, spans (first token, one past the last) that must be constituents: a beam tree
                merges no pair that would cross one.
            draws: source of a beam tree's noise, alignments and dropout masks in training, or a generator on the
                states' device. None uses PyTorch's global generator; all other dropout always does.

        Raises:
            ValueError: shapes that do not match, an empty batch, a length out of range, a NaN or infinite number at a
                real position, or a request that this encoder does not support; names the argument.
            RuntimeError: the call is traced or exported, or FSDP shards parts of the encoder instead of the whole.
        """
        refuse_tracing()
        refuse_sharded_parts(self)
        draws = as_draws(draws)
        batch = Batch.of(states, lengths, mask, cu_seqlens, self.dim)
        check_dtype(self, batch.states)
        read = batch.rows() if self.takes_packed else batch.padded()
        request = EncodingRequest(tokens, scores, nodes, along, together)
        if request:
            found = self.encode_request(read, batch.lengths, request, trees=trees, draws=draws)
        else:
            found = self.encode(read, batch.lengths, trees=trees, draws=draws)
        of_tokens = (
            in_parameter_dtype(batch.like_given(found.tokens), self) if tokens and found.tokens is not None else None
        )
        found = found._replace(
            root=without_view(in_parameter_dtype(found.root, self)),
            tokens=None if of_tokens is None else without_view(of_tokens),
        )
        if batch.lengths.longest > SHORT and along is None:
            return found
        # A loss may use any one of them.
        return found._replace(
            root=attach_parameters(found.root, self),
            tokens=None if found.tokens is None else attach_parameters(found.tokens, self),
            scores=None if found.scores is None else attach_parameters(found.scores, self),
        )

    @abstractmethod
    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states (B, L, D) whose padding is zero; (T, D) if ``takes_packed`` is true.

        Token states may be returned whether requested or not.
        """

    def encode_request(
        self, states: Tensor, lengths: Lengths, request: EncodingRequest, *, trees: bool, draws: Draws | None
    ) -> Encoding:
        """Encode, and also return what ``request`` asks for.

        Raises:
            ValueError: this encoder does not support the request.
        """
        if request.along is not None:
            raise ValueError("along must be None: this encoder does not fold binary trees with a single cell")
        if request.together is not None:
            raise ValueError("together must be None: only a beam tree can keep spans as constituents")
        if request.scores or request.nodes:
            raise ValueError(f"{'scores' if request.scores else 'nodes'} must be False: only a beam tree has them")
        found = self.encode(states, lengths, trees=trees, draws=draws)
        if found.tokens is None:
            raise ValueError(
                "tokens must be False: only Transformer, S4D, LSTM, and beam trees built with token_rounds have them"
            )
        return found
