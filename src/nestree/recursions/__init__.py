"""Recursions: ways of folding a sequence of states with a cell, alone or inside the outer tree of RIR."""

from nestree.recursions.balanced import Balanced as Balanced
from nestree.recursions.base import Recursion as Recursion
from nestree.recursions.base import SingleRootRecursion as SingleRootRecursion
from nestree.recursions.beam.beam_tree import BeamTree as BeamTree
from nestree.recursions.beam.gumbel_tree import GumbelTree as GumbelTree
from nestree.recursions.beam.one_soft import OneSoftBeamTree as OneSoftBeamTree
from nestree.recursions.chain import Chain as Chain
from nestree.recursions.continuous import Continuous as Continuous
from nestree.recursions.draws import Draws as Draws
from nestree.recursions.draws import KeyedDraws as KeyedDraws
from nestree.recursions.ordered_memory import OrderedMemory as OrderedMemory
from nestree.recursions.outer import Outer as Outer
