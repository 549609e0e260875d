"""Logical inference: the relation between two propositional formulas (Bowman et al. 2015)."""

from nestree.tasks.logic.formula import RELATIONS, VOCABULARY, encode, operators, relation, truth_table
from nestree.tasks.logic.generator import draw_pairs
from nestree.tasks.logic.reader import find_files, read_pairs
from nestree.tasks.logic.task import Logic, LogicOptions

__all__ = [
    "RELATIONS",
    "VOCABULARY",
    "Logic",
    "LogicOptions",
    "draw_pairs",
    "encode",
    "find_files",
    "operators",
    "read_pairs",
    "relation",
    "truth_table",
]
