"""What `build` takes, for editors and type checkers: the options of every encoder that nestree brings.

Written by ``tools/write_typed_build.py`` from the classes of options; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypedDict, Unpack, cast, overload, runtime_checkable

from nestree.encoders.base import Encoder


class _RIREBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    arity: int
    """Items k of a group of the outer tree."""
    split_from: int | None
    """Sequences of at least so many items are cut into groups; null: k + k // 2."""
    training_split_from: int | None
    """The same in training, to cut shorter sequences too; null: as split_from."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity from this range, lower ones more often (equal shares of its logarithm);
    null: arity."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Begin with a bidirectional S4D layer over the whole sequence."""
    s4d_dropout: float
    """Share of channels dropped in the S4D layer in training."""
    s4d_zero_init: bool
    """Begin with an S4D layer that hands states on unchanged, to put one into a model that is trained already."""
    inference: str
    """At evaluation: grouped, as in training, or flat: one group holds the whole sequence."""
    beam_size: int
    """Beams W that the search keeps."""
    noise: bool
    """Select with Gumbel noise in training."""
    merge_equal: bool
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast, torch or naive."""
    scorer_width: int | None
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""
    alignment: str
    """How a group's beams fill the next level's slots: sampled, systematic, random or none."""
    temperature: float
    """Divides the scores before a group's beams are drawn for alignment."""
    sample_at_evaluation: bool
    """Draw alignments at evaluation too; false keeps it deterministic."""
    partial: float
    """Partial folding: share of a group's items that it is folded to, at most a half, instead of to one root. The next
    level goes on with them, together with those of the neighbouring groups."""
    token_rounds: int
    """Rounds of parent attention, which gives every token a state; 0: the encoder has roots alone."""


class _RIRGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    arity: int
    """Items k of a group of the outer tree."""
    split_from: int | None
    """Sequences of at least so many items are cut into groups; null: k + k // 2."""
    training_split_from: int | None
    """The same in training, to cut shorter sequences too; null: as split_from."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity from this range, lower ones more often (equal shares of its logarithm);
    null: arity."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Begin with a bidirectional S4D layer over the whole sequence."""
    s4d_dropout: float
    """Share of channels dropped in the S4D layer in training."""
    s4d_zero_init: bool
    """Begin with an S4D layer that hands states on unchanged, to put one into a model that is trained already."""
    inference: str
    """At evaluation: grouped, as in training, or flat: one group holds the whole sequence."""


class _RIROMOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    slots: int
    """Memory slots; 12 are published for logical inference."""
    memory_dropout: float
    """Share of features dropped in training where slots are attended to."""
    arity: int
    """Items k of a group of the outer tree."""
    split_from: int | None
    """Sequences of at least so many items are cut into groups; null: k + k // 2."""
    training_split_from: int | None
    """The same in training, to cut shorter sequences too; null: as split_from."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity from this range, lower ones more often (equal shares of its logarithm);
    null: arity."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Begin with a bidirectional S4D layer over the whole sequence."""
    s4d_dropout: float
    """Share of channels dropped in the S4D layer in training."""
    s4d_zero_init: bool
    """Begin with an S4D layer that hands states on unchanged, to put one into a model that is trained already."""
    inference: str
    """At evaluation: grouped, as in training, or flat: one group holds the whole sequence."""


class _RIRCRvNNOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    window: int
    """Items that the scorer reads: an item and as many neighbours on each side; odd."""
    threshold: float
    """What an item's existence must exceed for it to count; a sequence with at most one such item stops."""
    arity: int
    """Items k of a group of the outer tree."""
    split_from: int | None
    """Sequences of at least so many items are cut into groups; null: k + k // 2."""
    training_split_from: int | None
    """The same in training, to cut shorter sequences too; null: as split_from."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity from this range, lower ones more often (equal shares of its logarithm);
    null: arity."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Begin with a bidirectional S4D layer over the whole sequence."""
    s4d_dropout: float
    """Share of channels dropped in the S4D layer in training."""
    s4d_zero_init: bool
    """Begin with an S4D layer that hands states on unchanged, to put one into a model that is trained already."""
    inference: str
    """At evaluation: grouped, as in training, or flat: one group holds the whole sequence."""


class _EBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    beam_size: int
    """Beams W that the search keeps."""
    noise: bool
    """Select with Gumbel noise in training."""
    merge_equal: bool
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast, torch or naive."""
    scorer_width: int | None
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""
    token_rounds: int
    """Rounds of parent attention, which gives every token a state; 0: the encoder has roots alone."""


class _EBTGRCNoSliceOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    beam_size: int
    """Beams W that the search keeps."""
    noise: bool
    """Select with Gumbel noise in training."""
    merge_equal: bool
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast, torch or naive."""
    scorer_width: int | None
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""
    token_rounds: int
    """Rounds of parent attention, which gives every token a state; 0: the encoder has roots alone."""


class _BTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    beam_size: int
    """Beams W that the search keeps."""
    noise: bool
    """Select with Gumbel noise in training."""
    merge_equal: bool
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast, torch or naive."""
    token_rounds: int
    """Rounds of parent attention, which gives every token a state; 0: the encoder has roots alone."""


class _BTGRCOneSoftOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    beam_size: int
    """Beams W that the search keeps."""
    noise: bool
    """Select with Gumbel noise in training."""


class _GTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    temperature: float
    """Temperature of the softmax that the gradient goes through."""


class _EGTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    temperature: float
    """Temperature of the softmax that the gradient goes through."""
    scorer_width: int | None
    """Features S of a child that the pair scorer reads, at most ``dim``; null: all of them."""


class _BBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""


class _GRCOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""


class _S4DOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of channels dropped in each layer in training, the same at every time step."""
    layers: int
    """Layers of the stack."""
    prenorm: bool
    """Normalize what a layer reads instead of what it returns."""


class _TransformerOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of features dropped in training behind attention and feed-forward parts, and inside the latter."""
    layers: int
    """Layers of attention and feed-forward."""
    heads: int
    """Heads of attention; ``dim`` is divided between them."""
    feedforward: int
    """Hidden width of each layer's feed-forward part, features."""


class _OMOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    slots: int
    """Memory slots; 12 are published for logical inference."""
    memory_dropout: float
    """Share of features dropped in training where slots are attended to."""


class _CRvNNOptions(TypedDict, total=False):
    dim: int
    """Width D of states, features."""
    dropout: float
    """Share of the cell's hidden features dropped in training."""
    cell: str
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""
    window: int
    """Items that the scorer reads: an item and as many neighbours on each side; odd."""
    threshold: float
    """What an item's existence must exceed for it to count; a sequence with at most one such item stops."""


@runtime_checkable
class Build(Protocol):
    """`nestree.build`: options are keyword arguments, or a mapping where the name is only known at run time."""

    @overload
    def __call__(self, name: Literal["rir-ebt-grc"], **options: Unpack[_RIREBTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["rir-grc"], **options: Unpack[_RIRGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["rir-om"], **options: Unpack[_RIROMOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["rir-crvnn"], **options: Unpack[_RIRCRvNNOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["ebt-grc"], **options: Unpack[_EBTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["ebt-grc-noslice"], **options: Unpack[_EBTGRCNoSliceOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["bt-grc"], **options: Unpack[_BTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["bt-grc-onesoft"], **options: Unpack[_BTGRCOneSoftOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["gt-grc"], **options: Unpack[_GTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["egt-grc"], **options: Unpack[_EGTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["bbt-grc"], **options: Unpack[_BBTGRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["grc"], **options: Unpack[_GRCOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["s4d"], **options: Unpack[_S4DOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["transformer"], **options: Unpack[_TransformerOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["om"], **options: Unpack[_OMOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["crvnn"], **options: Unpack[_CRvNNOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: str, options: Mapping[str, object] | None = None) -> Encoder: ...


def typed(function: Callable[..., Encoder]) -> Build:
    """Return the function, with the signatures of [`Build`][] for who reads the types."""
    return cast(Build, function)
