"""ListOps: the value of a nested list of minima, maxima, medians and sums (Nangia and Bowman 2018)."""

from nestree.tasks.listops.expression import (
    OPERATORS,
    VOCABULARY,
    decode,
    depth,
    encode,
    evaluate,
    gold_tree,
    operator_spans,
    root_operator,
)
from nestree.tasks.listops.reader import read_tsv, write_tsv
from nestree.tasks.listops.splits import SPLITS, Split, load_split
from nestree.tasks.listops.task import ListOps, ListOpsOptions

__all__ = [
    "OPERATORS",
    "SPLITS",
    "VOCABULARY",
    "ListOps",
    "ListOpsOptions",
    "Split",
    "decode",
    "depth",
    "encode",
    "evaluate",
    "gold_tree",
    "load_split",
    "operator_spans",
    "read_tsv",
    "root_operator",
    "write_tsv",
]
