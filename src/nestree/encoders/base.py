"""What every encoder takes and gives."""

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
from nestree.encoders.surroundings import (
    check_dtype,
    in_full,
    never_compiled,
    reaching_all,
    refuse_sharded_parts,
    refuse_tracing,
)
from nestree.recursions.draws import Draws, widest
from nestree.recursions.lengths import Lengths
from nestree.trees import ParsedTree, Span, Tree

SHORT = 2
"""Sequences of at most so many tokens leave some parameters without a part in the root."""


class Encoding(NamedTuple):
    """What an encoder makes of a batch: a tuple, so that whatever wraps a module sees the tensors in it."""

    root: Tensor
    """(B, D): one vector a sequence."""
    trees: list[list[ParsedTree]] | None = None
    """When asked for: the trees found for each sequence, most probable first; their probabilities add up to 1."""
    tokens: Tensor | None = None
    """When asked for: (B, L, D), a state for each token, zero in the padding; (T, D) where states came packed, by
    ``cu_seqlens``."""
    scores: Tensor | None = None
    """When asked for: (B, W), the score of each beam, with its gradient; -inf where there is no such beam. Beams of one
    sequence share an offset that means nothing."""
    beams: Sequence[list[Tree]] = ()
    """With the scores: the tree of every beam that has one. Several may hold the same tree."""
    nodes: list[dict[Span, Tensor]] | None = None
    """When asked for: the states (D,) of the nodes of each sequence's most probable beam, leaves included, by
    (first token, one past the last)."""

    def log_probabilities(self) -> Float[Tensor, "b w"]:
        """Return ``log softmax(score)`` over each sequence's beams; -inf where there is no such beam.

        Raises:
            ValueError: the scores were not asked for.
        """
        return self._scores().log_softmax(-1)

    def log_prob(self, trees: Sequence[Tree]) -> Float[Tensor, " b"]:
        """Return the log-probability of one tree for each sequence among those that were found; -inf if it was not.

        Raises:
            ValueError: the scores were not asked for, or there are not as many trees as sequences.
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
            ValueError: the scores were not asked for.
        """
        logs = self.log_probabilities()
        absent = logs == -torch.inf
        return -(logs.exp() * logs.masked_fill(absent, 0)).sum(-1)

    def sample(self, *, temperature: float = 1.0, generator: torch.Generator | None = None) -> list[Tree]:
        """Draw one tree for each sequence, with a probability proportional to ``exp(score / temperature)``.

        Raises:
            ValueError: the scores were not asked for, or ``temperature`` is not above 0.
        """
        scores = self._scores().detach()
        weights = (scores.to(widest(scores.device)) / check_positive("temperature", temperature)).softmax(-1)
        drawn = torch.multinomial(weights, 1, generator=generator).squeeze(-1).tolist()
        return [found[beam] for found, beam in zip(self.beams, drawn, strict=True)]

    def _scores(self) -> Float[Tensor, "b w"]:
        if self.scores is None:
            raise ValueError("scores must be asked for: encoder(states, lengths, scores=True)")
        return self.scores


@dataclass(frozen=True)
class Wanted:
    """What is asked of an encoder beyond roots and trees."""

    tokens: bool = False
    scores: bool = False
    nodes: bool = False
    along: Sequence[Tree] | None = None
    """Trees to fold along."""
    together: Sequence[Sequence[Span]] | None = None
    """Spans of each sequence that must be constituents."""

    def __bool__(self) -> bool:
        """Return whether anything is."""
        return any((self.tokens, self.scores, self.nodes, self.along is not None, self.together is not None))


class Encoder(nn.Module, ABC):
    """A module from token states and lengths to one root a sequence.

    Subclasses implement [`encode`][], which may rely on checked arguments and on zeros in the padding.
    """

    takes_packed: ClassVar[bool] = False
    """Whether [`encode`][] takes the states of all sequences one after the other, (T, D), instead of a padded batch;
    its tokens then are (T, D) too."""

    def __init__(self, dim: int) -> None:
        """Note the width of the states, D.

        Raises:
            ValueError: ``dim`` is below 1.
        """
        super().__init__()
        self.dim = check_at_least("dim", dim, 1)

    @never_compiled
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
            states: (B, L, D), of the dtype and on the device of the parameters; what stands in the padding has no
                effect. Or a PackedSequence, or a nested tensor, which know their lengths.
            lengths: (B,) integers from 1 to L: a tensor, list or array; None: all are L.
            mask: (B, L) instead of lengths: true where a sequence has a token, which is at the first positions.
            cu_seqlens: (B + 1,) integers instead of lengths, where each sequence begins, and T: states are (T, D), one
                sequence after the other. Padding is then neither given nor, but by the Transformer, computed.
            trees: also return the trees that were found.
            tokens: also return a state for each token: of a beam tree by parent attention, which it has to be built
                with (``token_rounds``).
            scores: also return the scores of a beam tree's beams.
            nodes: also return the states of the nodes of the most probable beam.
            along: fold along these trees, one for each sequence, instead of looking for some. Groups are not cut. The
                score is then the log-probability of finding such a tree; see
                [`tree_log_prob`][nestree.recursions.guided.tree_log_prob].
            together: for each sequence, the (first token, one past the last) of parts that must be constituents: a beam
                tree merges no pair that would cross one.
            draws: where a beam tree's noise, alignments and dropout masks come from in training, or a generator on the
                states' device; None takes PyTorch's global generator, which every other dropout uses always.

        Raises:
            ValueError: names the argument: misfitting shapes, an empty batch, a length out of range, or a NaN or an
                infinite number at a real position; or what this encoder does not have.
            RuntimeError: in a trace or an export, or parts are sharded on their own.
        """
        refuse_tracing()
        refuse_sharded_parts(self)
        draws = as_draws(draws)
        batch = Batch.of(states, lengths, mask, cu_seqlens, self.dim)
        check_dtype(self, batch.states)
        read = batch.rows() if self.takes_packed else batch.padded()
        wanted = Wanted(tokens, scores, nodes, along, together)
        if wanted:
            found = self.encode_more(read, batch.lengths, wanted, trees=trees, draws=draws)
        else:
            found = self.encode(read, batch.lengths, trees=trees, draws=draws)
        of_tokens = in_full(batch.like_given(found.tokens), self) if tokens and found.tokens is not None else None
        found = found._replace(root=in_full(found.root, self), tokens=of_tokens)
        if batch.lengths.longest > SHORT and along is None:
            return found
        # Whichever of them a loss is made of.
        return found._replace(
            root=reaching_all(found.root, self),
            tokens=None if of_tokens is None else reaching_all(of_tokens, self),
            scores=None if found.scores is None else reaching_all(found.scores, self),
        )

    @abstractmethod
    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states (B, L, D) whose padding is zero; (T, D) where ``takes_packed`` is true.

        An encoder that has tokens anyway may return them always.
        """

    def encode_more(
        self, states: Tensor, lengths: Lengths, wanted: Wanted, *, trees: bool, draws: Draws | None
    ) -> Encoding:
        """Encode, and return what is wanted too.

        Raises:
            ValueError: this encoder does not have it.
        """
        if wanted.along is not None:
            raise ValueError("along must be None: this encoder does not fold along binary trees with one cell")
        if wanted.together is not None:
            raise ValueError("together must be None: only a beam tree looks for trees that could have such parts")
        if wanted.scores or wanted.nodes:
            raise ValueError(f"{'scores' if wanted.scores else 'nodes'} must be False: only a beam tree has them")
        found = self.encode(states, lengths, trees=trees, draws=draws)
        if found.tokens is None:
            raise ValueError(
                "tokens must be False: only beam trees that were built with token_rounds, Transformer and S4D have them"
            )
        return found
