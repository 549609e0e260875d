"""How a beam tree searches."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import MOST_BEAMS, Options, check_at_least, check_one_of

ENGINES = ("fast", "torch", "naive")
"""fast: the compiled library if it supports cell and scorer, else PyTorch; torch: PyTorch; naive: plain autograd."""


@dataclass(frozen=True)
class BeamSelection(Options):
    """The number of beams, and how they are selected."""

    beam_size: int = 5
    """Beam width W: number of beams that the search keeps."""
    noise: bool = True
    """Add Gumbel noise to the selection of merges in training, so that other trees get explored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("beam_size", self.beam_size, 1, MOST_BEAMS)


@dataclass(frozen=True)
class BeamSearch(BeamSelection):
    """How a beam tree searches.

    With ``merge_equal``, the W beams hold W different frontiers instead of several orders of the same merges. The fast
    engine searches over a node store and then replays the surviving nodes for the gradients, in the compiled library if
    it is installed and supports cell and scorer; ``torch`` does the same without the library; ``naive`` is plain
    autograd.
    """

    merge_equal: bool = False
    """Merge beams with equal frontiers into one, with the log-sum-exp of their scores."""
    engine: str = ENGINES[0]
    """Implementation of the search: fast (the compiled library where possible), torch (PyTorch only), or naive (slow,
    plain autograd, supports every derivative)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("engine", self.engine, ENGINES)
