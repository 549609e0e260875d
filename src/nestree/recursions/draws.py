"""The random numbers of a beam tree.

The naive implementation and the engine make the same draws in different orders. So that both can get the same numbers,
every draw is addressed by its coordinates: sequence, level of the outer tree, group, step, beam, position.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nestree.recursions.shapes import (
    Anything,
    Bits,
    GroupIndex,
    Numbers,
    PairIndex,
    PairLogits,
    ProposedIndex,
    ProposedScores,
    RandomBits,
    Rows,
    SequenceIndex,
    Uniforms,
)


@dataclass(frozen=True)
class Sites:
    """The coordinates of G groups of one level."""

    sequence: GroupIndex
    """(G,) the sequence's row in the batch."""
    group: GroupIndex
    """(G,) the group's number within its sequence."""
    level: int
    """Level of the outer tree, 0 at the leaves."""

    def __len__(self) -> int:
        """Return G."""
        return len(self.sequence)

    def take(self, rows: Rows | slice) -> Sites:
        """Return the sites at ``rows``, in that order."""
        return Sites(self.sequence[rows], self.group[rows], self.level)


class Draws:
    """Draws from PyTorch's global generator, or from a given one: fast, but results depend on the order of calls."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        """Use a generator on the device of the states; None: PyTorch's global generator."""
        self.generator = generator

    def pair_noise(self, sites: Sites, step: int, beams: int, pairs: int, dtype: torch.dtype) -> PairLogits:
        """Return Gumbel noise (G, ``beams``, ``pairs``) for the choice of each beam's best pairs."""
        return self._gumbel((len(sites), beams, pairs), sites, dtype)

    def candidate_noise(self, sites: Sites, step: int, position: ProposedIndex, dtype: torch.dtype) -> ProposedScores:
        """Return Gumbel noise (G, V, K) for the choice among candidates: the beams' pairs at ``position`` (G, V, K)."""
        return self._gumbel(tuple(position.shape), sites, dtype)

    def alignment(self, sites: Sites, slots: int) -> Uniforms:
        """Return uniforms (G, ``slots``) in [0, 1), float64, that sample the beam for each slot of the next level."""
        return self._uniforms(sites, slots)

    def slot_order(self, sites: Sites, slots: int) -> Uniforms:
        """Return uniforms (G, ``slots``) in [0, 1), float64, whose order permutes the slots of systematic alignment."""
        return self._uniforms(sites, slots)

    def cut(self) -> tuple[float, float]:
        """Return two uniforms in [0, 1) that decide whether a training batch is cut, and with which arity."""
        device = "cpu" if self.generator is None else self.generator.device
        flat, arity = torch.rand(2, dtype=torch.float64, device=device, generator=self.generator).tolist()
        return flat, arity

    def random_bits(self, sites: Sites, step: int, beam: Rows, features: int) -> RandomBits:
        """Return random bits (M, ``features``) for dropout masks, int16 over its whole range.

        Row m is for the node that ``beam[m]`` composes at site m; see [`dropout_mask`][].
        """
        drawn = torch.empty((len(sites), -(-features // 4)), dtype=torch.int64, device=sites.group.device)
        return drawn.random_(-(2**63), None, generator=self.generator).view(torch.int16)[:, :features]

    def _uniforms(self, sites: Sites, slots: int) -> Uniforms:
        device = sites.group.device
        return torch.rand((len(sites), slots), dtype=widest(device), device=device, generator=self.generator)

    def _gumbel(self, shape: tuple[int, ...], sites: Sites, dtype: torch.dtype) -> Anything:
        uniform = torch.rand(shape, dtype=dtype, device=sites.group.device, generator=self.generator)
        return uniform.clamp_(min=torch.finfo(dtype).tiny).log_().neg_().log_().neg_()


@dataclass(frozen=True)
class SearchDraws:
    """The sources of a search's random numbers."""

    noise: Draws | None = None
    """Gumbel noise for the selection; None selects by log-probability."""
    dropout: Draws | None = None
    """Dropout masks of the nodes; None: no dropout."""
    alignment: Draws | None = None
    """Beam alignment; None uses the quantiles of systematic alignment."""


class KeyedDraws(Draws):
    """Draws that depend only on a seed and their coordinates: slower, for comparing two implementations.

    Each number is a hash (the finalizer of splitmix64, Steele et al. 2014) of the seed and its coordinates.
    """

    _PAIR, _CANDIDATE, _ALIGNMENT, _ORDER, _KEEP, _CUT = range(6)

    def __init__(self, seed: int, *, identities: SequenceIndex | None = None) -> None:
        """Use ``seed``, and optionally ``identities`` that keep a sequence's draws when its row in the batch changes.

        Args:
            seed: any 64-bit integer.
            identities: (B,) integers to use instead of the row numbers; None: the row numbers.
        """
        super().__init__()
        self.seed = seed
        self.identities = identities

    def pair_noise(self, sites: Sites, step: int, beams: int, pairs: int, dtype: torch.dtype) -> PairLogits:
        """Return Gumbel noise (G, ``beams``, ``pairs``)."""
        position = torch.arange(pairs, device=sites.group.device).expand(len(sites), beams, pairs)
        return self._keyed_gumbel(self._PAIR, sites, step, position, dtype)

    def candidate_noise(self, sites: Sites, step: int, position: ProposedIndex, dtype: torch.dtype) -> ProposedScores:
        """Return Gumbel noise (G, V, K)."""
        return self._keyed_gumbel(self._CANDIDATE, sites, step, position, dtype)

    def alignment(self, sites: Sites, slots: int) -> Uniforms:
        """Return uniforms (G, ``slots``)."""
        return self._uniform(self._key(self._ALIGNMENT, sites, 0), slots)

    def slot_order(self, sites: Sites, slots: int) -> Uniforms:
        """Return uniforms (G, ``slots``)."""
        return self._uniform(self._key(self._ORDER, sites, 0), slots)

    def cut(self) -> tuple[float, float]:
        """Return two uniforms in (0, 1), the same for every batch."""
        flat, arity = self._uniform(mix_bits(torch.tensor(self.seed) + self._CUT), 2).tolist()
        return flat, arity

    def random_bits(self, sites: Sites, step: int, beam: Rows, features: int) -> RandomBits:
        """Return random bits (M, ``features``), int16."""
        keys = mix_bits(self._key(self._KEEP, sites, step) + beam)
        return mix_bits(keys.unsqueeze(-1) + torch.arange(features, device=beam.device)).to(torch.int16)

    def _keyed_gumbel(self, kind: int, sites: Sites, step: int, position: PairIndex, dtype: torch.dtype) -> PairLogits:
        beam = torch.arange(position.shape[1], device=position.device)
        keys = mix_bits(self._key(kind, sites, step).unsqueeze(-1) + beam).unsqueeze(-1)
        return _open_interval(mix_bits(keys + position)).log_().neg_().log_().neg_().to(dtype)

    def _key(self, kind: int, sites: Sites, step: int) -> GroupIndex:
        sequence = sites.sequence if self.identities is None else self.identities.to(sites.group.device)[sites.sequence]
        # Mixed first: else a seed's draws of one kind would equal those of the seed before of the next kind.
        key = mix_bits(torch.full_like(sites.group, self.seed))
        for coordinate in (kind, sequence, sites.level, sites.group, step):
            key = mix_bits(key + coordinate)
        return key

    def _uniform(self, key: Bits, count: int) -> Float[Tensor, "*any draws"]:
        """Return (*key, count) float64 in the open interval (0, 1)."""
        bits = mix_bits(key.unsqueeze(-1) + torch.arange(count, device=key.device))
        return _open_interval(bits)


NO_FLOAT64 = ("mps",)
"""Device types without float64."""


def widest(device: torch.device) -> torch.dtype:
    """Return the most precise floating-point dtype of a device."""
    return torch.float32 if device.type in NO_FLOAT64 else torch.float64


def dropout_mask(random_bits: Bits, rate: float, dtype: torch.dtype) -> Numbers:
    """Return an unscaled dropout mask: 0 with probability ``rate``, to within 2^-17, else 1."""
    least = min(round(rate * 2**16), 2**16 - 1) - 2**15  # 2^15 does not fit into int16
    return torch.ge(random_bits, least, out=torch.empty(random_bits.shape, dtype=dtype, device=random_bits.device))


def _open_interval(bits: Bits) -> Numbers:
    """Return float64 in the open interval (0, 1) from the upper 52 of 64 random bits, or float32 from 23."""
    if widest(bits.device) == torch.float32:
        return (_shift(bits, 41).float() + 0.5) * 2.0**-23  # also exact: 23 bits and a half
    return (_shift(bits, 12).double() + 0.5) * 2.0**-52  # exact: float32 would round some numbers up to 1


def _shift(bits: Bits, by: int) -> Bits:
    """Return an unsigned right shift of signed 64-bit integers."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def mix_bits(bits: Bits) -> Bits:
    """Return splitmix64's next output for each state; int64 multiplication wraps around."""
    bits = bits + -7046029254386353131  # 0x9E3779B97F4A7C15
    bits = (bits ^ _shift(bits, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    bits = (bits ^ _shift(bits, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return bits ^ _shift(bits, 31)
