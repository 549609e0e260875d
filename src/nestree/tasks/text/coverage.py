"""How much of some texts a model reads: known tokens, and what was cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nestree.data.text import UNKNOWN

LEAST_KNOWN = 0.8
"""With a smaller share of known tokens, there is advice."""


@dataclass
class Coverage:
    """Counts of texts and of their tokens."""

    texts: int = 0
    tokens: int = 0
    """Tokens that are read."""
    unknown: int = 0
    """Those of them that are outside the vocabulary, at word and character level."""
    cut: int = 0
    """Texts that are longer than the limit."""
    dropped: int = 0
    """Tokens beyond the limit, which are not read."""
    longest: int = 0
    """Length of the longest text, with what is not read."""

    def add(self, whole: NDArray[np.unsignedinteger], limit: int | None) -> NDArray[np.unsignedinteger]:
        """Count a text, given all its token ids, and return those that are read."""
        read = whole[:limit]
        self.texts += 1
        self.tokens += len(read)
        self.unknown += int(np.count_nonzero(read == UNKNOWN))
        self.cut += len(read) < len(whole)
        self.dropped += len(whole) - len(read)
        self.longest = max(self.longest, len(whole))
        return read

    def as_dict(self) -> dict[str, int]:
        """Return the counts as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the counts of values that [`as_dict`][] returned."""
        return cls(**values)

    def cut_line(self, what: str, limit: int | None) -> str | None:
        """Return a line about the texts that are cut at ``limit`` tokens; None if none is."""
        if not self.cut or limit is None:
            return None
        return (
            f"{what}: {self.cut:,} of {self.texts:,} text{'s' * (self.texts != 1)} cut at {limit:,} tokens "
            f"(data.max_tokens): {self.dropped:,} token{'s' * (self.dropped != 1)} not read, "
            f"the longest text has {self.longest:,}"
        )


def known_line(what: str, share: float, help_: str) -> str:
    """Return a line about the share of known tokens; if it is low, with the options of training that would help."""
    if share >= LEAST_KNOWN:
        return f"{what}: {share:.1%} of the tokens are known"
    return f"{what}: only {share:.1%} of the tokens are known: train with {help_}"
