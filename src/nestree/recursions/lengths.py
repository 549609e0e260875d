"""Lengths of sequences, or sizes of groups, on the device and the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nestree.recursions.shapes import SequenceIndex


@dataclass(frozen=True)
class Lengths:
    """The lengths of a batch, on the device and on the host: reading them back from a device would synchronize.

    Examples:
        >>> Lengths.of([3, 1]).tensor
        tensor([3, 1])
    """

    tensor: SequenceIndex
    """(B,) int64, on the device of the states."""
    host: list[int]
    """The same as Python integers."""

    @classmethod
    def of(cls, host: list[int], device: torch.device | None = None) -> Lengths:
        """Return ``host`` with a copy on ``device``."""
        return cls(torch.tensor(host, device=device), host)

    @property
    def longest(self) -> int:
        """The largest length."""
        return max(self.host)

    def longest_first(self) -> list[int]:
        """Return the rows in descending order of their lengths."""
        return sorted(range(len(self.host)), key=lambda row: -self.host[row])
