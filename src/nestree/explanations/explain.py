"""The prediction for every node of a tree: the classification head, applied to the node's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nestree.data.batches import Batch, budget_batches, collate
from nestree.data.ragged import RaggedExamples
from nestree.evaluation.predictions import TokenIds, as_examples
from nestree.models import Classifier
from nestree.tasks import Task
from nestree.tasks.base import DataOptions
from nestree.trees import ParsedTree, Span, Tree

UNTRAINED = "Nodes below the root were never trained to carry a label: the head learned from whole texts only."
ALONE = "This encoder has no states of nodes: each part of the text was read by itself."


class NoTrees(ValueError):
    """The encoder has no trees."""


@dataclass(frozen=True)
class ExplainedNode:
    """What the head says at a node."""

    span: Span
    """First token, and one past the last."""
    label: str
    """The most probable label."""
    probability: float
    """Its probability."""
    probabilities: dict[str, float]
    """Of every label, in the order of the task's ``label_names``."""


@dataclass(frozen=True)
class ExplainedTree:
    """The most probable tree of a text, with a prediction for every node."""

    tree: ParsedTree
    """The tree, with words."""
    nodes: tuple[ExplainedNode, ...]
    """The leaves from left to right, then the merges in the tree's order, the root last."""

    @property
    def root(self) -> ExplainedNode:
        """The prediction for the whole text, equal to that of [`Run.predict`][nestree.runs.run.Run.predict]."""
        return self.nodes[-1]

    def text(self, node: ExplainedNode) -> str:
        """Return the words below a node, separated by spaces."""
        return " ".join(self.tree.words[slice(*node.span)])


@dataclass(frozen=True)
class Explanation:
    """What a model answers to an input, and at every node of its trees.

    As the last line of a notebook cell it draws itself.
    """

    sides: tuple[ExplainedTree, ...]
    """One tree; for pairs, one for each text. The nodes of one text of a pair are read with the other text's root."""
    notes: tuple[str, ...] = ()
    """What to know about these predictions, a sentence each: whether nodes were trained, and how they were read."""

    @property
    def label(self) -> str:
        """The most probable label."""
        return self.sides[0].root.label

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.sides[0].root.probability

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of every label, in the order of the task's ``label_names``."""
        return self.sides[0].root.probabilities

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON values."""
        return {
            "label": self.label,
            "probability": round(self.probability, 6),
            "sides": [
                {
                    **side.tree.as_dict(),
                    "nodes": [
                        {
                            "span": list(node.span),
                            "text": side.text(node),
                            "label": node.label,
                            "probability": round(node.probability, 6),
                            "probabilities": {name: round(share, 6) for name, share in node.probabilities.items()},
                        }
                        for node in side.nodes
                    ],
                }
                for side in self.sides
            ],
            "notes": list(self.notes),
        }

    def svg(self, *, depth: int | None = None, width: int | None = 64, label: str | None = None) -> str:
        """Return a drawing as an SVG document, with a mark at every node.

        Args:
            depth: maximal depth that is drawn, in merges below the root; None for no limit.
            width: maximal number of leaves and folded parts; None for no limit.
            label: show the probability of this label at every node, instead of each node's own label.

        Raises:
            ValueError: ``depth`` or ``width`` is below 1, or there is no such label.
        """
        from nestree.explanations.draw import draw_explanations

        return draw_explanations([self], depth=depth, width=width, label=label)

    def _repr_svg_(self) -> str:
        """Called by notebooks."""
        return self.svg()


@torch.inference_mode()
def explain(
    model: Classifier,
    task: Task,
    inputs: Sequence[TokenIds],
    *,
    notes: Sequence[str] = (),
    tokens: int = DataOptions.evaluation_tokens,
) -> list[Explanation]:
    """Return a model's explanations of inputs.

    The states of nodes come from folding along the most probable tree, which gives those of the search: a node is the
    cell applied to its two children. Where that is not so (soft trees; chains, which start from a zero state), every
    part of the text is read by itself instead, and a note says so. For a chain without a layer of context this is
    exact too. At the root, the model's own answer is taken, which for a beam tree is that to the average over beams.

    Args:
        model: a model; it is switched to evaluation mode.
        task: the task of the model.
        inputs: a sequence of token ids per side, as [`nestree.evaluation.predictions.encode_all`][] returns them.
        notes: notes for every explanation.
        tokens: maximal number of tokens per batch, padding included.

    Raises:
        NoTrees: the encoder has no trees.
    """
    model.eval()
    examples, exact = as_examples(task, inputs), model.folds_along()
    notes = (*notes, *(() if exact else (ALONE,)))
    found: dict[int, Explanation] = {}
    for indices in budget_batches(examples.lengths, tokens=tokens, sides=examples.sides):
        batch = _on_device(collate(examples, indices), model)
        encoding = model.encode(batch.tokens, batch.lengths, trees=True)
        if encoding.trees is None:
            raise NoTrees("the encoder has no trees")
        parsed = [trees[0] for trees in encoding.trees]
        trees = [one.tree for one in parsed]
        states = (
            model.node_states(batch.tokens, batch.lengths, trees)
            if exact
            else _alone_states(model, batch, trees, tokens)
        )
        for place, index in enumerate(indices.tolist()):
            rows = range(place * task.sides, (place + 1) * task.sides)
            sides = []
            for row, sequence in zip(rows, inputs[index], strict=True):
                of_nodes = torch.cat([states[row][:-1], encoding.root[row : row + 1]])
                other = None if task.sides == 1 else (rows.index(row), encoding.root[rows[1 - rows.index(row)]])
                shares = _logits(model, of_nodes, other).float().softmax(-1).cpu().numpy()
                tree = parsed[row].with_tokens(task.words(sequence))
                sides.append(ExplainedTree(tree, _nodes(tree.tree, task.label_names, shares)))
            found[index] = Explanation(tuple(sides), notes)
    return [found[index] for index in range(len(inputs))]


def _alone_states(
    model: Classifier, batch: Batch, trees: Sequence[Tree], tokens: int
) -> list[Float[Tensor, "nodes d"]]:
    """Return the roots of encoding the tokens below each node by themselves."""
    rows = batch.tokens.cpu().numpy().astype(np.uint32)
    spans = [tree.all_spans() for tree in trees]
    parts = [row[first:end] for row, own in zip(rows, spans, strict=True) for first, end in own]
    examples = RaggedExamples.from_sequences(parts, [0] * len(parts), name="parts", dtype=np.uint32)
    states = torch.empty(len(parts), model.encoder.dim, device=batch.tokens.device)
    for indices in budget_batches(examples.lengths, tokens=tokens):
        part = _on_device(collate(examples, indices), model)
        states[torch.from_numpy(indices).to(states.device)] = model.encode(part.tokens, part.lengths).root.float()
    return list(states.split([len(own) for own in spans]))


def _logits(
    model: Classifier, states: Float[Tensor, "nodes d"], other: tuple[int, Float[Tensor, " d"]] | None
) -> Float[Tensor, "nodes classes"]:
    """Return the head's logits; ``other`` is the side of these nodes in a pair, and the other side's root."""
    if other is None:
        return model.classify(states)
    side, root = other
    both = [states, root.expand_as(states)]
    return model.classify(torch.stack(both if side == 0 else both[::-1], dim=1).flatten(0, 1))


def _nodes(tree: Tree, labels: Sequence[str], shares: np.ndarray) -> tuple[ExplainedNode, ...]:
    found = []
    for span, row in zip(tree.all_spans(), shares, strict=True):
        named = dict(zip(labels, row.tolist(), strict=True))
        label = labels[int(row.argmax())]
        found.append(ExplainedNode(span, label, named[label], named))
    return tuple(found)


def _on_device(batch: Batch, model: Classifier) -> Batch:
    device = next(model.parameters()).device
    return batch._replace(tokens=batch.tokens.to(device), lengths=batch.lengths.to(device))
