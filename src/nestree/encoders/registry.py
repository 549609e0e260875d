"""Encoders by name, each with a frozen dataclass of its options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass

from nestree.encoders.base import Encoder
from nestree.encoders.bow import BagOfWordsOptions
from nestree.encoders.bt import BTGRCOneSoftOptions, BTGRCOptions
from nestree.encoders.crvnn import CRvNNOptions, RIRCRvNNOptions
from nestree.encoders.ebt import EBTGRCOptions
from nestree.encoders.gumbel import EGTGRCOptions, GTGRCOptions
from nestree.encoders.lstm import LSTMOptions
from nestree.encoders.om import OMOptions, RIROMOptions
from nestree.encoders.options import EncoderOptions, preset
from nestree.encoders.rir import RIREBTGRCOptions, RIRGRCOptions
from nestree.encoders.rvnn import BBTGRCOptions, GRCOptions
from nestree.encoders.s4d import S4DOptions
from nestree.encoders.transformer import TransformerOptions
from nestree.encoders.typed_build import typed
from nestree.plugins import Registry
from nestree.suggest import unknown

EBTGRCNoSliceOptions = preset(
    "EBTGRCNoSliceOptions",
    EBTGRCOptions,
    "Efficient beam tree whose scorer reads all features of a child.",
    module=__name__,
    scorer_width=None,
)

GROUP = "nestree.encoders"
"""Entry point group in which other packages declare encoders: a name, and a class of options."""


def _checked(name: str, options: object) -> type[EncoderOptions]:
    if not (isinstance(options, type) and issubclass(options, EncoderOptions) and is_dataclass(options)):
        raise ValueError(
            f"the options of encoder {name} must be a dataclass derived from EncoderOptions, not {options!r}"
        )
    return options


BUILT_IN: dict[str, type[EncoderOptions]] = {
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
    "bilstm": LSTMOptions,
    "bow": BagOfWordsOptions,
    "om": OMOptions,
    "crvnn": CRvNNOptions,
}
"""The encoders that ship with nestree; after a change here run `tools/write_typed_build.py`."""

ENCODERS: Registry[type[EncoderOptions]] = Registry("encoder", GROUP, _checked, **BUILT_IN)
"""The options of every encoder that can be built by name: those above, those added by [`register`][], and those that
installed packages declare as entry points of the group ``nestree.encoders``."""


def register(name: str, options: type[EncoderOptions]) -> None:
    """Add an encoder, which can then be built, trained and measured by name like any other.

    The registration holds for this process. To use the encoder from the command line, declare it as an entry point of
    your package, or name the module that registers it in the environment variable ``NESTREE_MODULES``.

    Args:
        name: a name that is not taken.
        options: a dataclass derived from [`EncoderOptions`][nestree.encoders.options.EncoderOptions], whose ``build``
            returns the encoder.

    Raises:
        ValueError: the name is taken, or ``options`` is not such a class.

    Examples:
        >>> register("mean", MeanOptions)
        >>> build("mean", {"dim": 64})
    """
    ENCODERS.register(name, options)


def check_known(name: str, options: Collection[str]) -> None:
    """Check that there is an encoder ``name`` and that it has these options.

    Raises:
        ValueError: there is no such encoder or option; suggests similar names.
    """
    if name not in ENCODERS:
        raise ValueError(unknown("encoder", name, ENCODERS))
    known = [field.name for field in fields(ENCODERS[name])]
    for option in options:
        if option not in known:
            raise ValueError(f"encoder {name}: {unknown('option', option, known)}")


@typed
def build(name: str, options: Mapping[str, object] | None = None, **keywords: object) -> Encoder:
    """Return a freshly initialized encoder.

    Type checkers know the options of the built-in encoders. If the name is known only at run time, or belongs to an
    encoder of another package, pass the options as a mapping.

    Args:
        name: a key of [`ENCODERS`][].
        options: fields of that encoder's options class, by name.
        keywords: the same, as keyword arguments.

    Raises:
        ValueError: no such encoder or option, or an invalid value.

    Examples:
        >>> build("rir-ebt-grc", dim=64, beam_size=5).dim
        64
        >>> [build(name, {"dim": 64}).dim for name in ("grc", "s4d")]
        [64, 64]
    """
    given = {**(options or {}), **keywords}
    check_known(name, given)
    return ENCODERS[name](**given).build()  # pyright: ignore[reportArgumentType]
