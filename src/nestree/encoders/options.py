"""Options that every encoder has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, make_dataclass
from typing import TypeVar

from nestree.checks import Options, check_at_least, check_probability
from nestree.encoders.base import Encoder
from nestree.layers import GatedRecursiveCell

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

    def cell(self) -> GatedRecursiveCell:
        """Return a cell."""
        return GatedRecursiveCell(self.dim, dropout=self.dropout)


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
