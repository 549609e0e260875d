"""Explanations: what a model's head says at every node of the trees that it found."""

from nestree.explanations.explain import ExplainedNode as ExplainedNode
from nestree.explanations.explain import ExplainedTree as ExplainedTree
from nestree.explanations.explain import Explanation as Explanation
