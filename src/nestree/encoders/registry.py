"""Encoders by name, each with a frozen dataclass of its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields

from nestree.checks import check_at_least, check_one_of, check_probability
from nestree.encoders.contract import Encoder
from nestree.encoders.rir import INFERENCES, RIR
from nestree.encoders.rvnn import RvNN
from nestree.layers import BidirectionalS4D, GatedRecursiveCell, LeafTransform, PairScorer
from nestree.recursions import Balanced, BeamTree, Chain, Outer
from nestree.recursions.beam_tree import ENGINES
from nestree.recursions.contract import Recursion
from nestree.suggest import unknown


@dataclass(frozen=True)
class EncoderOptions(ABC):
    """Options that every encoder has."""

    dim: int = 128
    """Width D of states, features."""
    dropout: float = 0.1
    """Share of the cell's hidden features dropped in training."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_at_least("dim", self.dim, 1)
        check_probability("dropout", self.dropout)

    @abstractmethod
    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""

    def cell(self) -> GatedRecursiveCell:
        """Return a cell."""
        return GatedRecursiveCell(self.dim, dropout=self.dropout)


@dataclass(frozen=True)
class GRCOptions(EncoderOptions):
    """Recurrent GRC: a chain from left to right."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(Chain(self.cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class BBTGRCOptions(EncoderOptions):
    """Balanced binary tree."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(Balanced(self.cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class BeamOptions:
    """Options of a beam tree."""

    beam_size: int = 5
    """Beams W that the search keeps."""
    scorer_width: int | None = 64
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""
    noise: bool = True
    """Select with Gumbel noise in training."""
    merge_equal: bool = False
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str = ENGINES[0]
    """Implementation of the search: fast, or its naive twin."""

    def check_beam(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        check_at_least("beam_size", self.beam_size, 1)
        if self.scorer_width is not None:
            check_at_least("scorer_width", self.scorer_width, 1)
        check_one_of("engine", self.engine, ENGINES)

    def beam_tree(self, cell: GatedRecursiveCell) -> BeamTree:
        """Return a beam tree of ``cell``."""
        width = None if self.scorer_width is None else min(self.scorer_width, cell.dim)
        scorer = PairScorer(cell.dim, width=width)
        return BeamTree(
            cell,
            scorer,
            beam_size=self.beam_size,
            noise=self.noise,
            merge_equal=self.merge_equal,
            engine=self.engine,
        )


@dataclass(frozen=True)
class EBTGRCOptions(BeamOptions, EncoderOptions):
    """Efficient beam tree."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        self.check_beam()

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        return RvNN(self.beam_tree(self.cell()), LeafTransform(self.dim))


@dataclass(frozen=True)
class RIROptions(EncoderOptions):
    """Options that RIR has with any inner recursion."""

    arity: int = 30
    """Items k of a group of the outer tree."""
    split_from: int | None = None
    """Sequences of at least so many items are cut into groups; null: k + k // 2."""
    training_split_from: int | None = None
    """The same in training, to cut shorter sequences too; null: as split_from."""
    s4d: bool = True
    """Begin with a bidirectional S4D layer over the whole sequence."""
    s4d_dropout: float = 0.1
    """Share of channels dropped in the S4D layer in training."""
    inference: str = INFERENCES[0]
    """At evaluation: grouped, as in training, or flat: one group holds the whole sequence."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_probability("s4d_dropout", self.s4d_dropout)
        check_one_of("inference", self.inference, INFERENCES)
        self.outer()

    def outer(self) -> Outer:
        """Return the outer tree's options."""
        return Outer(self.arity, self.split_from, self.training_split_from)

    @abstractmethod
    def inner(self) -> Recursion:
        """Return the inner recursion."""

    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""
        context = BidirectionalS4D(self.dim, dropout=self.s4d_dropout) if self.s4d else None
        return RIR(self.inner(), LeafTransform(self.dim), self.outer(), context=context, inference=self.inference)


@dataclass(frozen=True)
class RIRGRCOptions(RIROptions):
    """Recursion in recursion with a recurrent GRC inside."""

    def inner(self) -> Recursion:
        """Return the inner recursion."""
        return Chain(self.cell())


@dataclass(frozen=True)
class RIREBTGRCOptions(BeamOptions, RIROptions):
    """Recursion in recursion with a beam tree inside."""

    beam_size: int = 7
    """Beams W that the search keeps."""
    alignment: str = "sampled"
    """How a group's beams fill the next level's slots: sampled, systematic, random or none."""
    temperature: float = 1.0
    """Divides the scores before a group's beams are drawn for alignment."""
    sample_at_evaluation: bool = False
    """Draw alignments at evaluation too; false keeps it deterministic."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        self.check_beam()

    def outer(self) -> Outer:
        """Return the outer tree's options."""
        return Outer(
            self.arity,
            self.split_from,
            self.training_split_from,
            alignment=self.alignment,
            temperature=self.temperature,
            sample_at_evaluation=self.sample_at_evaluation,
        )

    def inner(self) -> Recursion:
        """Return the inner recursion."""
        return self.beam_tree(self.cell())


ENCODERS: dict[str, type[EncoderOptions]] = {
    "rir-ebt-grc": RIREBTGRCOptions,
    "rir-grc": RIRGRCOptions,
    "ebt-grc": EBTGRCOptions,
    "bbt-grc": BBTGRCOptions,
    "grc": GRCOptions,
}
"""Every encoder that can be built by name. A new one is a class of options and a line here."""


def check_known(name: str, options: Collection[str]) -> None:
    """Make sure that there is an encoder ``name`` and that it has these options.

    Raises:
        ValueError: there is no such encoder or option; says what may have been meant.
    """
    if name not in ENCODERS:
        raise ValueError(unknown("encoder", name, ENCODERS))
    known = [field.name for field in fields(ENCODERS[name])]
    for option in options:
        if option not in known:
            raise ValueError(f"encoder {name}: {unknown('option', option, known)}")


def build(name: str, **options: object) -> Encoder:
    """Return a freshly initialized encoder.

    Args:
        name: a key of :data:`ENCODERS`.
        options: fields of that encoder's options class.

    Raises:
        ValueError: no such encoder or option, or a value that the option cannot take.

    Example:
        >>> build("rir-ebt-grc", dim=64, beam_size=5).dim
        64
    """
    check_known(name, options)
    return ENCODERS[name](**options).build()  # pyright: ignore[reportArgumentType]
