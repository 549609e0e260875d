"""Options that every encoder has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, make_dataclass
from typing import TypeVar

from nestree.checks import WIDEST, Options, check_at_least, check_probability
from nestree.encoders.base import Encoder
from nestree.errors import OptionError
from nestree.layers import Cell
from nestree.layers.cells import CELLS, build_cell

Encoders = TypeVar("Encoders", bound="EncoderOptions")


@dataclass(frozen=True)
class EncoderOptions(Options, ABC):
    """Options that every encoder has."""

    dim: int = 128
    """Width D of the states, in features."""
    dropout: float = 0.1
    """Dropout rate of the cell's hidden features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("dim", self.dim, 1, WIDEST)
        check_probability("dropout", self.dropout)

    @abstractmethod
    def build(self) -> Encoder:
        """Return a freshly initialized encoder."""

    @property
    def compiled(self) -> bool:
        """Whether the compiled library runs this encoder on this machine, using all threads of the process."""
        return False


@dataclass(frozen=True)
class CellOptions(EncoderOptions):
    """Options of encoders that compose with a cell."""

    cell: str = "grc"
    """Cell, which composes two states: grc, bilinear, grc-swiglu, multiplicative, tree-lstm, or module:Class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell, self.dim)

    def new_cell(self) -> Cell:
        """Return a new cell, or the cell object that was passed."""
        given: object = self.cell
        return given if isinstance(given, Cell) else build_cell(self.cell, self.dim, dropout=self.dropout)


def check_cell(cell: object, dim: int) -> None:
    """Check that ``cell`` is the name of a cell, or a cell for states of width ``dim``.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(cell, Cell):
        if cell.dim != dim:
            raise OptionError("cell", f"must be for states of width {dim}, not {cell.dim}")
    elif not isinstance(cell, str) or (cell not in CELLS and ":" not in cell):
        raise OptionError("cell", f"must be one of {', '.join(CELLS)}, module:Class or a Cell, not {cell!r}")


def preset(name: str, options: type[Encoders], doc: str, *, module: str, **defaults: object) -> type[Encoders]:
    """Return a subclass of ``options`` with other defaults: a published ablation with its own name.

    Args:
        name: name of the class.
        options: the class to derive from.
        doc: docstring of the class, one line.
        module: module in which the class is assigned to ``name``.
        defaults: new default values by field.
    """
    changed = [(field.name, field.type, defaults[field.name]) for field in fields(options) if field.name in defaults]
    namespace = {"__doc__": doc, "__module__": module}
    return make_dataclass(name, changed, bases=(options,), frozen=True, namespace=namespace)
