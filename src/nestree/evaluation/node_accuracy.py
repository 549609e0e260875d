"""Accuracy at the labelled nodes of gold trees, as recursive networks report it on the Sentiment Treebank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nestree.data.batches import budget_batches, collate
from nestree.data.ragged import RaggedExamples
from nestree.data.shapes import COUNT, Ruled
from nestree.evaluation.intervals import wilson
from nestree.models import Classifier
from nestree.tasks.base import DataOptions
from nestree.trees.scores import GoldTree

NODES = Ruled(
    dict.fromkeys(("nodes", "right", "roots", "right_roots", "common"), COUNT),
    lambda values: (
        "has more right answers than nodes"
        if values["right"] > values["nodes"] or values["right_roots"] > values["roots"]
        else None
    ),
)
"""Shape of a score in ``evaluation.json``."""


@dataclass(frozen=True)
class NodeScore:
    """Correct labels at the nodes of the gold trees of a test, folding along these trees."""

    nodes: int
    """Number of nodes that carry a label, words and roots included."""
    right: int
    """Number of them whose most probable label is right."""
    roots: int
    """Number of roots that carry a label."""
    right_roots: int
    """Number of them whose most probable label is right."""

    common: int
    """Number of nodes that carry the most common label: most phrases of the Sentiment Treebank are neutral."""

    @property
    def all(self) -> float:
        """Accuracy at all nodes; NaN without nodes."""
        return self.right / self.nodes if self.nodes else float("nan")

    @property
    def root(self) -> float:
        """Accuracy at the roots; NaN without roots."""
        return self.right_roots / self.roots if self.roots else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return counts, accuracies and their 95 % intervals as JSON values."""
        return {
            "nodes": self.nodes,
            "right": self.right,
            "roots": self.roots,
            "right_roots": self.right_roots,
            "common": self.common,
            "all": round(self.all, 6),
            "root": round(self.root, 6),
            "all_interval": [round(end, 6) for end in wilson(self.right, self.nodes)],
            "root_interval": [round(end, 6) for end in wilson(self.right_roots, self.roots)],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NodeScore:
        """Return the score of values that [`as_dict`][] returned."""
        return cls(values["nodes"], values["right"], values["roots"], values["right_roots"], values["common"])


@torch.inference_mode()
def node_accuracy(
    model: Classifier,
    examples: RaggedExamples,
    gold: Callable[[NDArray[np.unsignedinteger]], GoldTree | None],
    *,
    tokens: int = DataOptions.evaluation_tokens,
) -> NodeScore:
    """Return the accuracy at the labelled nodes of the examples' gold trees.

    Nodes of one sentence are not independent, so the interval over all nodes is too narrow.

    Args:
        model: a model for single sequences; it is switched to evaluation mode.
        examples: examples; those without labelled nodes are left out.
        gold: [`nestree.tasks.base.Task.gold`][].
        tokens: maximal number of tokens per batch, padding included.

    Raises:
        ValueError: the encoder does not fold along given trees, or no example has labelled nodes.
    """
    model.eval()
    device = next(model.parameters()).device
    counts = np.zeros(4, dtype=np.int64)
    of_labels: Counter[int] = Counter()
    for indices in budget_batches(examples.lengths, tokens=tokens):
        golds = {index: gold(examples.sequences(index)[0]) for index in indices.tolist()}
        known = {index: tree for index, tree in golds.items() if tree is not None and tree.labels}
        if not known:
            continue
        batch = collate(examples, list(known))
        of_trees = model.node_states(
            batch.tokens.to(device), batch.lengths.to(device), [tree.tree for tree in known.values()]
        )
        answers = model.classify(torch.cat(of_trees)).argmax(-1).cpu().numpy()
        labels = np.array(
            [tree.labels.get(span, -1) for tree in known.values() for span in tree.tree.all_spans()], dtype=np.int64
        )
        ends = np.cumsum([len(states) for states in of_trees]) - 1
        correct, labelled = answers == labels, labels >= 0
        of_labels.update(labels[labelled].tolist())
        counts += [labelled.sum(), correct.sum(), labelled[ends].sum(), correct[ends].sum()]
    if not counts[0]:
        raise ValueError("no example has a gold tree with labelled nodes")
    nodes, right, roots, right_roots = counts.tolist()
    return NodeScore(nodes, right, roots, right_roots, max(of_labels.values()))
