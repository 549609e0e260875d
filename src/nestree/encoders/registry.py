"""Encoders by name, each with a frozen dataclass of its options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

from nestree.encoders.base import Encoder
from nestree.encoders.bt import BTGRCOneSoftOptions, BTGRCOptions
from nestree.encoders.crvnn import CRvNNOptions, RIRCRvNNOptions
from nestree.encoders.ebt import EBTGRCOptions
from nestree.encoders.gumbel import EGTGRCOptions, GTGRCOptions
from nestree.encoders.om import OMOptions, RIROMOptions
from nestree.encoders.options import EncoderOptions, preset
from nestree.encoders.rir import RIREBTGRCOptions, RIRGRCOptions
from nestree.encoders.rvnn import BBTGRCOptions, GRCOptions
from nestree.encoders.s4d import S4DOptions
from nestree.encoders.transformer import TransformerOptions
from nestree.suggest import unknown

EBTGRCNoSliceOptions = preset(
    "EBTGRCNoSliceOptions",
    EBTGRCOptions,
    "Efficient beam tree whose scorer reads all features of a child.",
    module=__name__,
    scorer_width=None,
)

ENCODERS: dict[str, type[EncoderOptions]] = {
    "rir-ebt-grc": RIREBTGRCOptions,
    "rir-grc": RIRGRCOptions,
    "rir-om": RIROMOptions,
    "rir-crvnn": RIRCRvNNOptions,
    "ebt-grc": EBTGRCOptions,
    "ebt-grc-noslice": EBTGRCNoSliceOptions,
    "bt-grc": BTGRCOptions,
    "bt-grc-onesoft": BTGRCOneSoftOptions,
    "gt-grc": GTGRCOptions,
    "egt-grc": EGTGRCOptions,
    "bbt-grc": BBTGRCOptions,
    "grc": GRCOptions,
    "s4d": S4DOptions,
    "transformer": TransformerOptions,
    "om": OMOptions,
    "crvnn": CRvNNOptions,
}
"""Every encoder that can be built by name. A new one is a file with a class of options, and a line here."""


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
        name: a key of [`ENCODERS`][].
        options: fields of that encoder's options class.

    Raises:
        ValueError: no such encoder or option, or a value that the option cannot take.

    Examples:
        >>> build("rir-ebt-grc", dim=64, beam_size=5).dim
        64
    """
    check_known(name, options)
    return ENCODERS[name](**options).build()  # pyright: ignore[reportArgumentType]
