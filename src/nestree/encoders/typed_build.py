"""What `build` takes, for editors and type checkers: the options of every encoder that nestree brings.

Written by ``tools/write_typed_build.py`` from the classes of options; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypedDict, Unpack, cast, overload, runtime_checkable

from nestree.encoders.base import Encoder


class _RIREBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    arity: int
    """Number of items k in a group of the outer tree."""
    split_from: int | None
    """Only sequences of at least this many items are cut into groups; null: 1.5 times the arity."""
    training_split_from: int | None
    """``split_from`` during training, for example lower, to cut shorter sequences too; null: the same."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity log-uniformly from this range (two integers); null: always ``arity``."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Run a bidirectional S4D layer over the whole sequence before it is cut into groups."""
    s4d_dropout: float
    """Dropout rate of the S4D layer's channels."""
    s4d_zero_init: bool
    """Initialize the S4D layer as the identity, to add one to a model that is already trained."""
    inference: str
    """How evaluation cuts sequences: grouped, as in training, or flat, one group that holds the whole sequence."""
    beam_size: int
    """Beam width W: number of beams that the search keeps."""
    noise: bool
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""
    merge_equal: bool
    """Merge beams with equal frontiers into one, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast (the compiled library where possible), torch (PyTorch only), or naive (slow,
    plain autograd, supports every derivative)."""
    scorer_width: int | None
    """Number of leading features of each child that the pair scorer reads, capped at ``dim``; null: all."""
    alignment: str
    """How the beams of the next level are chosen from those of each group: sampled, systematic, random or none."""
    temperature: float
    """Temperature of beam alignment: scores are divided by it before beams are sampled."""
    sample_at_evaluation: bool
    """Sample alignments at evaluation too; false: evaluation is deterministic."""
    partial: float
    """Partial folding: number of roots that a group is folded to, as a share of its items, at most 0.5; 0: one root.
    The next level merges them with the roots of neighbouring groups."""
    token_rounds: int
    """Rounds of parent attention, which computes a state for every token; 0: the encoder returns only roots."""


class _RIRGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    arity: int
    """Number of items k in a group of the outer tree."""
    split_from: int | None
    """Only sequences of at least this many items are cut into groups; null: 1.5 times the arity."""
    training_split_from: int | None
    """``split_from`` during training, for example lower, to cut shorter sequences too; null: the same."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity log-uniformly from this range (two integers); null: always ``arity``."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Run a bidirectional S4D layer over the whole sequence before it is cut into groups."""
    s4d_dropout: float
    """Dropout rate of the S4D layer's channels."""
    s4d_zero_init: bool
    """Initialize the S4D layer as the identity, to add one to a model that is already trained."""
    inference: str
    """How evaluation cuts sequences: grouped, as in training, or flat, one group that holds the whole sequence."""


class _RIROMOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    slots: int
    """Number of memory slots, which bounds the depth of the stack; the paper uses 12 for logical inference."""
    memory_dropout: float
    """Dropout rate in the attention over memory slots."""
    arity: int
    """Number of items k in a group of the outer tree."""
    split_from: int | None
    """Only sequences of at least this many items are cut into groups; null: 1.5 times the arity."""
    training_split_from: int | None
    """``split_from`` during training, for example lower, to cut shorter sequences too; null: the same."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity log-uniformly from this range (two integers); null: always ``arity``."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Run a bidirectional S4D layer over the whole sequence before it is cut into groups."""
    s4d_dropout: float
    """Dropout rate of the S4D layer's channels."""
    s4d_zero_init: bool
    """Initialize the S4D layer as the identity, to add one to a model that is already trained."""
    inference: str
    """How evaluation cuts sequences: grouped, as in training, or flat, one group that holds the whole sequence."""


class _RIRCRvNNOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    window: int
    """Number of items that the scorer reads, centred on the item that it scores; odd, at least 3."""
    threshold: float
    """Halting threshold: a sequence stops once at most one item has a probability of existence above it."""
    arity: int
    """Number of items k in a group of the outer tree."""
    split_from: int | None
    """Only sequences of at least this many items are cut into groups; null: 1.5 times the arity."""
    training_split_from: int | None
    """``split_from`` during training, for example lower, to cut shorter sequences too; null: the same."""
    training_arities: tuple[int, int] | None
    """In training every batch draws its arity log-uniformly from this range (two integers); null: always ``arity``."""
    training_flat: float
    """Share of the training batches in which one group holds the whole sequence."""
    s4d: bool
    """Run a bidirectional S4D layer over the whole sequence before it is cut into groups."""
    s4d_dropout: float
    """Dropout rate of the S4D layer's channels."""
    s4d_zero_init: bool
    """Initialize the S4D layer as the identity, to add one to a model that is already trained."""
    inference: str
    """How evaluation cuts sequences: grouped, as in training, or flat, one group that holds the whole sequence."""


class _EBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    beam_size: int
    """Beam width W: number of beams that the search keeps."""
    noise: bool
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""
    merge_equal: bool
    """Merge beams with equal frontiers into one, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast (the compiled library where possible), torch (PyTorch only), or naive (slow,
    plain autograd, supports every derivative)."""
    scorer_width: int | None
    """Number of leading features of each child that the pair scorer reads, capped at ``dim``; null: all."""
    token_rounds: int
    """Rounds of parent attention, which computes a state for every token; 0: the encoder returns only roots."""


class _EBTGRCNoSliceOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    beam_size: int
    """Beam width W: number of beams that the search keeps."""
    noise: bool
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""
    merge_equal: bool
    """Merge beams with equal frontiers into one, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast (the compiled library where possible), torch (PyTorch only), or naive (slow,
    plain autograd, supports every derivative)."""
    scorer_width: int | None
    """Number of leading features of each child that the pair scorer reads, capped at ``dim``; null: all."""
    token_rounds: int
    """Rounds of parent attention, which computes a state for every token; 0: the encoder returns only roots."""


class _BTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    beam_size: int
    """Beam width W: number of beams that the search keeps."""
    noise: bool
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""
    merge_equal: bool
    """Merge beams with equal frontiers into one, with the log-sum-exp of their scores."""
    engine: str
    """Implementation of the search: fast (the compiled library where possible), torch (PyTorch only), or naive (slow,
    plain autograd, supports every derivative)."""
    token_rounds: int
    """Rounds of parent attention, which computes a state for every token; 0: the encoder returns only roots."""


class _BTGRCOneSoftOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    beam_size: int
    """Beam width W: number of beams that the search keeps."""
    noise: bool
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""


class _GTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    temperature: float
    """Temperature of the Gumbel-softmax; it affects only the gradient."""


class _EGTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    temperature: float
    """Temperature of the Gumbel-softmax; it affects only the gradient."""
    scorer_width: int | None
    """Number of leading features of each child that the pair scorer reads, capped at ``dim``; null: all."""


class _BBTGRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""


class _GRCOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""


class _S4DOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Share of channels dropped in each layer in training, the same at every time step."""
    layers: int
    """Layers of the stack."""
    prenorm: bool
    """Normalize what a layer reads instead of what it returns."""


class _TransformerOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate after attention and feed-forward blocks, and inside the latter."""
    layers: int
    """Number of Transformer layers."""
    heads: int
    """Attention heads per layer; must divide ``dim``."""
    feedforward: int
    """Hidden width of each layer's feed-forward block."""


class _LSTMOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of what each layer returns."""
    layers: int
    """Number of LSTM layers."""
    hidden: int | None
    """Width of each direction, projected to ``dim``; null: ``dim`` divided by the number of directions, not projected
    unless that is odd."""
    bidirectional: bool
    """Read from both ends."""
    pool: str
    """Root of a sequence: max or mean over its token states; or last, each direction's state after its last step."""


class _BagOfWordsOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the pooled features, and of what each layer returns."""
    layers: int
    """Number of feed-forward layers on the pooled features."""
    pool: str
    """Mean, sum or max over the tokens."""


class _OMOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    slots: int
    """Number of memory slots, which bounds the depth of the stack; the paper uses 12 for logical inference."""
    memory_dropout: float
    """Dropout rate in the attention over memory slots."""


class _CRvNNOptions(TypedDict, total=False):
    dim: int
    """Width D of the states, in features."""
    dropout: float
    """Dropout rate of the cell's hidden features."""
    cell: str
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""
    window: int
    """Number of items that the scorer reads, centred on the item that it scores; odd, at least 3."""
    threshold: float
    """Halting threshold: a sequence stops once at most one item has a probability of existence above it."""


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
    def __call__(self, name: Literal["bilstm"], **options: Unpack[_LSTMOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["bow"], **options: Unpack[_BagOfWordsOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["om"], **options: Unpack[_OMOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: Literal["crvnn"], **options: Unpack[_CRvNNOptions]) -> Encoder: ...
    @overload
    def __call__(self, name: str, options: Mapping[str, object] | None = None) -> Encoder: ...


def typed(function: Callable[..., Encoder]) -> Build:
    """Return the function, with the signatures of [`Build`][] for who reads the types."""
    return cast(Build, function)
