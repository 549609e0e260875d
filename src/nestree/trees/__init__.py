"""Binary trees over the tokens of a sequence: bracket strings, drawings and scores."""

from nestree.trees.parsed import ParsedTree as ParsedTree
from nestree.trees.parsed import Span as Span
from nestree.trees.tree import Tree as Tree
from nestree.trees.tree import tree_from_nodes as tree_from_nodes
