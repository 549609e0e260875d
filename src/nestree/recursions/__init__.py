"""Recursions: ways of folding a sequence of states with a cell, alone or inside the outer tree of RIR."""

import warnings
from typing import TYPE_CHECKING

from nestree.recursions.balanced import BalancedTree as BalancedTree
from nestree.recursions.base import Recursion as Recursion
from nestree.recursions.base import SingleRootRecursion as SingleRootRecursion
from nestree.recursions.beam.beam_tree import BeamTree as BeamTree
from nestree.recursions.beam.gumbel_tree import GumbelTree as GumbelTree
from nestree.recursions.beam.one_soft import OneSoftBeamTree as OneSoftBeamTree
from nestree.recursions.beam.options import BeamSearch as BeamSearch
from nestree.recursions.beam.options import BeamSelection as BeamSelection
from nestree.recursions.chain import Chain as Chain
from nestree.recursions.continuous import ContinuousRecursion as ContinuousRecursion
from nestree.recursions.draws import Draws as Draws
from nestree.recursions.draws import KeyedDraws as KeyedDraws
from nestree.recursions.ordered_memory import OrderedMemory as OrderedMemory
from nestree.recursions.outer import Outer as Outer

if not TYPE_CHECKING:
    _RENAMED = {"Balanced": BalancedTree, "Continuous": ContinuousRecursion}

    def __getattr__(name: str) -> type:
        """Return a class under its name of version 0.1."""
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        new = _RENAMED[name]
        warnings.warn(f"nestree.recursions.{name} is now {new.__name__}", DeprecationWarning, stacklevel=2)
        return new
