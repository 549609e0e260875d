"""Options that every encoder has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, make_dataclass
from typing import TypeVar

from nestree.checks import Options, check_at_least, check_probability
from nestree.encoders.base import Encoder
from nestree.errors import OptionError
from nestree.layers import Cell
from nestree.layers.cells import CELLS, build_cell

Encoders = TypeVar("Encoders", bound="EncoderOptions")


@dataclass(frozen=True)
class EncoderOptions(Options, ABC):
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
        super().__post_init__()
        check_at_least("dim", self.dim, 1)
        check_probability("dropout", self.dropout)

    @abstractmethod
    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""

    @property
    def compiled(self) -> bool:
        """Whether the compiled library does the encoder's work here, with all threads of a process."""
        return False


@dataclass(frozen=True)
class CellOptions(EncoderOptions):
    """Options of encoders that compose with a cell."""

    cell: str = "grc"
    """What composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class for your own."""

    def __post_init__(self) -> None:
        """Check each option.

        Raises:
            ValueError: names the option.
        """
        super().__post_init__()
        check_cell(self.cell, self.dim)

    def new_cell(self) -> Cell:
        """Return a new cell, or the one that was given."""
        given: object = self.cell
        return given if isinstance(given, Cell) else build_cell(self.cell, self.dim, dropout=self.dropout)


def check_cell(cell: object, dim: int) -> None:
    """Make sure that ``cell`` is the name of one, or one for states of width ``dim``.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(cell, Cell):
        if cell.dim != dim:
            raise OptionError("cell", f"must be for states of width {dim}, not {cell.dim}")
    elif not isinstance(cell, str) or (cell not in CELLS and ":" not in cell):
        raise OptionError("cell", f"must be one of {', '.join(CELLS)}, module:Class or a Cell, not {cell!r}")


def preset(name: str, options: type[Encoders], doc: str, *, module: str, **defaults: object) -> type[Encoders]:
    """Return ``options`` with other defaults: a published ablation under a name of its own.

    Args:
        name: of the class.
        options: whose fields they are.
        doc: one line that says what it is.
        module: where the class is assigned to ``name``.
        defaults: new defaults of some fields.
    """
    changed = [(field.name, field.type, defaults[field.name]) for field in fields(options) if field.name in defaults]
    namespace = {"__doc__": doc, "__module__": module}
    return make_dataclass(name, changed, bases=(options,), frozen=True, namespace=namespace)
