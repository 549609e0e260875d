"""How a beam tree searches."""

from __future__ import annotations

from dataclasses import dataclass

from nestree.checks import Options, check_at_least, check_one_of

ENGINES = ("fast", "torch", "naive")
"""The compiled library where it is there and serves the parts, else PyTorch; PyTorch always; plain autograd."""


@dataclass(frozen=True)
class BeamSelection(Options):
    """How many beams are selected, and how."""

    beam_size: int = 5
    """Beams W that the search keeps."""
    noise: bool = True
    """Select with Gumbel noise in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("beam_size", self.beam_size, 1)


@dataclass(frozen=True)
class BeamSearch(BeamSelection):
    """How a beam tree searches.

    With ``merge_equal``, W beams hold W different forests instead of orders of the same merges. The fast engine
    searches over a store of nodes and replays what is left for the gradients, by the compiled library where it is there
    and serves the parts; ``torch`` does the same without the library; ``naive`` is plain autograd.
    """

    merge_equal: bool = False
    """Count beams with equal frontiers once, with the log-sum-exp of their scores."""
    engine: str = ENGINES[0]
    """Implementation of the search: fast, torch or naive."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of("engine", self.engine, ENGINES)
