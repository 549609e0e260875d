"""Recursion in Recursion: a balanced k-ary outer tree whose groups are folded by an inner recursion."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from nestree.checks import MOST, Checked, check_one_of, check_probability, check_share
from nestree.encoders.base import Encoder, Encoding, EncodingRequest
from nestree.encoders.ebt import SliceOptions
from nestree.encoders.options import CellOptions
from nestree.encoders.tokens import TokenOptions, encode_with_request
from nestree.errors import OptionError
from nestree.layers import BidirectionalS4D, LeafTransform, ParentAttention
from nestree.recursions import BeamSearch, BeamTree, Chain, Outer
from nestree.recursions.base import Leaves, Recursion
from nestree.recursions.draws import Draws
from nestree.recursions.lengths import Lengths
from nestree.recursions.outer import AlignmentOptions, GroupOptions

INFERENCES = ("grouped", "flat")


class RIR(Checked, Encoder):
    """Tokens -> (S4D) -> leaf transform -> outer recursion over groups of k, each folded by ``inner``.

    The depth of the recursion is about k log_k n instead of n.

    Source: Ray Chowdhury and Caragea 2023, *Recursion in Recursion* (arXiv 2311.04449), sections 3 and 4.

    Examples:
        >>> inner = BeamTree(GatedRecursiveCell(16), PairScorer(16), BeamSearch(beam_size=3))
        >>> encoder = RIR(inner, LeafTransform(16), Outer(arity=8), context=BidirectionalS4D(16))
        >>> encoder(torch.randn(2, 50, 16), torch.tensor([50, 20])).root.shape
        torch.Size([2, 16])
    """

    checks: ClassVar = {
        "inference": lambda name, value: check_one_of(name, value, INFERENCES),
        "training_arities": lambda name, value: None if value is None else _check_range(name, value),
        "training_flat": check_share,
    }
    takes_packed = True

    def __init__(
        self,
        inner: Recursion,
        leaf: LeafTransform,
        outer: Outer,
        *,
        context: BidirectionalS4D | None = None,
        inference: str = "grouped",
        training_arities: tuple[int, int] | None = None,
        training_flat: float = 0.0,
        attention: ParentAttention | None = None,
    ) -> None:
        """Make an encoder.

        Args:
            inner: folds a group.
            leaf: the leaf transform.
            outer: arity and alignment.
            context: layer that runs over the whole sequence first; None: no such layer.
            inference: ``grouped``, as in training, or ``flat``: at evaluation one group holds the whole sequence.
            training_arities: in training every batch draws its arity from this range, log-uniformly, instead of using
                that of ``outer``; sequences of at least 1.5 times the drawn arity are cut.
            training_flat: share of the training batches in which one group holds the whole sequence.
            attention: computes the tokens' states, if ``inner`` is a beam tree; None: no token states.

        Raises:
            ValueError: a part has another width than ``inner``, ``outer`` has no arity, or an option is out of range;
                names the argument.
        """
        super().__init__(inner.dim)
        for name, part in (("leaf", leaf), ("context", context), ("attention", attention)):
            if part is not None and part.dim != inner.dim:
                raise OptionError(
                    name, f"must be for states of the inner recursion's width {inner.dim}, not {part.dim}"
                )
        if outer.arity is None:
            raise OptionError("outer", "must have an arity of at least 2; without one use RvNN")
        self.context = context
        self.leaf = leaf
        self.inner = inner
        self.outer = outer
        self.inference = inference
        self.training_arities = training_arities
        self.training_flat = training_flat
        self.attention = attention

    def encode(self, states: Tensor, lengths: Lengths, *, trees: bool, draws: Draws | None) -> Encoding:
        """Encode checked states."""
        leaves, outer = self._leaves(states, lengths), self._outer(draws)
        folded = self.inner.recurse(leaves, outer, trees=trees, draws=draws)
        return self._with_groups(Encoding(folded.root, folded.trees), lengths, outer)

    def encode_request(
        self, states: Tensor, lengths: Lengths, request: EncodingRequest, *, trees: bool, draws: Draws | None
    ) -> Encoding:
        """Encode, and also return what ``request`` asks for."""
        leaves, outer = self._leaves(states, lengths), self._outer(draws)
        found = encode_with_request(self.inner, leaves, outer, request, self.attention, trees=trees, draws=draws)
        return found if request.along is not None else self._with_groups(found, lengths, outer)

    def _leaves(self, states: Tensor, lengths: Lengths) -> Leaves:
        if self.context is not None:
            states = self.context(states, lengths.host)
        # At once: what the transform reads need not be there during the recursion, if there is no gradient.
        return Leaves(self.leaf(states), lengths)

    def _outer(self, draws: Draws | None) -> Outer:
        return self._training_outer(draws or Draws()) if self.training else self._evaluation_outer()

    def _with_groups(self, found: Encoding, lengths: Lengths, outer: Outer) -> Encoding:
        """Add the groups of the outer tree to the trees, if trees were requested."""
        if found.trees is None:
            return found
        groups = outer.groups(lengths.host, training=self.training)
        pairs = zip(found.trees, groups, strict=True)
        return found._replace(trees=[[replace(tree, groups=own) for tree in trees] for trees, own in pairs])

    def _evaluation_outer(self) -> Outer:
        return _flat(self.outer) if self.inference == "flat" else self.outer

    def _training_outer(self, draws: Draws) -> Outer:
        if self.training_arities is None and self.training_flat == 0:
            return self.outer
        flat, place = draws.cut()
        if flat < self.training_flat:
            return _flat(self.outer)
        if self.training_arities is None:
            return self.outer
        low, high = self.training_arities
        arity = int(low * ((high + 1) / low) ** place)
        return replace(self.outer, arity=arity, training_split_from=None, split_from=None)


def _check_range(name: str, value: tuple[int, int]) -> tuple[int, int]:
    """Return ``value``, or raise a ValueError that names the argument if it is not a range of arities."""
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in value)
    if not whole or len(value) != 2 or not 2 <= value[0] <= value[1]:
        raise OptionError(name, f"must be two integers, at least 2 and the lower one first, not {value!r}")
    return value


def _flat(outer: Outer) -> Outer:
    """Return an outer tree in which one group holds the whole sequence."""
    # Not Outer(): a sequence of one token must stay its own root, as in a tree that cuts.
    return replace(outer, split_from=MOST, training_split_from=None)


@dataclass(frozen=True)
class RIROptions(GroupOptions, CellOptions):
    """Options of RIR that do not depend on the inner recursion."""

    arity: int = 30
    """Number of items k in a group of the outer tree."""
    training_arities: tuple[int, int] | None = None
    """In training every batch draws its arity log-uniformly from this range (two integers); null: always ``arity``."""
    training_flat: float = 0.0
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool = True
    """Run a bidirectional S4D layer over the whole sequence before it is cut into groups."""
    s4d_dropout: float = 0.1
    """Dropout rate of the S4D layer's channels."""
    s4d_zero_init: bool = False
    """Initialize the S4D layer as the identity, to add one to a model that is already trained."""
    inference: str = INFERENCES[0]
    """How evaluation cuts sequences: grouped, as in training, or flat, one group that holds the whole sequence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probability("s4d_dropout", self.s4d_dropout)
        check_one_of("inference", self.inference, INFERENCES)
        check_share("training_flat", self.training_flat)
        if self.training_arities is not None:
            _check_range("training_arities", self.training_arities)
            if self.training_split_from is not None:
                raise OptionError(
                    "training_split_from", f"must be left out with training_arities, not {self.training_split_from!r}"
                )

    def outer(self) -> Outer:
        """Return the outer tree's options."""
        return Outer(self.arity, self.split_from, self.training_split_from)

    @abstractmethod
    def inner(self) -> Recursion:
        """Return the inner recursion."""

    def tokens(self) -> ParentAttention | None:
        """Return the parent attention that computes the tokens' states; None: no token states."""
        return None

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        context = None
        if self.s4d:
            context = BidirectionalS4D(self.dim, dropout=self.s4d_dropout, zero_init=self.s4d_zero_init)
        return RIR(
            self.inner(),
            LeafTransform(self.dim),
            self.outer(),
            context=context,
            inference=self.inference,
            training_arities=self.training_arities,
            training_flat=self.training_flat,
            attention=self.tokens(),
        )


@dataclass(frozen=True)
class RIRGRCOptions(RIROptions):
    """Recursion in recursion with a recurrent GRC inside."""

    def inner(self) -> Recursion:
        """Return the inner recursion."""
        return Chain(self.new_cell())


@dataclass(frozen=True)
class RIREBTGRCOptions(TokenOptions, AlignmentOptions, SliceOptions, BeamSearch, RIROptions):
    """Recursion in recursion with a beam tree inside."""

    beam_size: int = 7

    def outer(self) -> Outer:
        """Return the outer tree's options."""
        return self.part(Outer)

    def inner(self) -> Recursion:
        """Return the inner recursion."""
        return BeamTree(self.new_cell(), self.scorer(self.dim), self.part(BeamSearch))

    def tokens(self) -> ParentAttention | None:
        """Return the parent attention that computes the tokens' states; None: no token states."""
        return self.attention(self.dim, self.dropout)
